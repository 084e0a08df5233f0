"""What a model is, by its recipes and the headers of its weights; no network is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from slicekit.checkpoint import Weights
from slicekit.errors import CheckpointError, RecipeError
from slicekit.inference.model import DEFAULT_MODEL, agree, choose_propagator, expect_model
from slicekit.recipes import Recipe, expect_same_view, recipe_from_json
from slicekit.recipes.weights_header import read_header


class Outlined(Protocol):
    """What is known of a model, loaded or not."""

    @property
    def recipe(self) -> Recipe:
        """Of the reference, or of the volumetric model."""

    @property
    def propagator_recipe(self) -> Recipe | None:
        """Of the propagator, where there is one."""

    @property
    def sha256(self) -> Mapping[str, str]:
        """Model name to the SHA-256 of its tensors."""


@dataclass(frozen=True)
class Outline:
    """A model that is not loaded yet."""

    recipe: Recipe
    propagator_recipe: Recipe | None
    propagator: str | Path | None
    """What ``load_model`` takes as the propagator; ``None`` for none."""
    sha256: Mapping[str, str]
    """As the headers say; whether it is so is seen when the model is loaded."""


def outline_model(
    name: str | Path = DEFAULT_MODEL, *, propagator: bool | str | Path = True
) -> Outline:
    """Tell what ``load_model`` would load, in no time.

    Args:
        name: As for ``load_model``.
        propagator: As for ``load_model``.

    Raises:
        RecipeError: As of ``load_model``.
        CheckpointError: Weights are missing, no weights, or of another recipe.
    """
    recipe, digest = _glance(name, "reference", "volumetric")
    other = choose_propagator(recipe, name, propagator)
    if other is None:
        return Outline(recipe, None, None, {recipe.name: digest})
    its_recipe, its_digest = _glance(other, "propagator")
    expect_same_view(recipe, its_recipe, source=other)
    digests = {recipe.name: digest, its_recipe.name: its_digest}
    return Outline(recipe, its_recipe, other, digests)


def _glance(name: str | Path, *roles: str) -> tuple[Recipe, str]:
    """Return the recipe of a model and its tensors' SHA-256, as the header says."""
    path, recipe = expect_model(name, *roles)
    header = read_header(path)
    if not {"recipe", "sha256"} <= header.keys():
        raise CheckpointError(
            f"{path}: holds no recipe; it may be the state of a training run, whose weights lie "
            "beside it under the name of the model"
        )
    try:
        theirs = recipe_from_json(header["recipe"], source=str(path))
    except (RecipeError, ValueError, RecursionError) as fault:
        raise CheckpointError(f"{path}: its header cannot be understood ({fault})") from fault
    found = agree(recipe, Weights({}, theirs, {}, header["sha256"], path), *roles)
    return found, header["sha256"]
