"""What rules need beside the scans, asked for before anything is predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slicekit.data.cases import Case, Dataset
from slicekit.errors import DatasetError, RecipeError
from slicekit.inference.model import Carrier, Model
from slicekit.recipes import Recipe
from slicekit.training.pseudo.prior import Prior
from slicekit.training.pseudo.rules import Rule, kind_of

WORK = "pseudo"
"""Folder, inside of the new dataset, of what was predicted and measured."""


@dataclass(frozen=True, eq=False)
class Helpers:
    """What rules may want beside the model."""

    prior: Prior | None = None
    """What organs are like; learned from the labelled cases when ``None``."""
    other: Model | None = None
    """A committee that never learnt from the scans, for the rule ``loss``."""
    earlier: Path | None = None
    """The folder of an earlier round, for the rule ``stability``."""
    per_organ: int | None = None
    """How many cases an organ keeps, the best ones; all that pass for ``None``."""


def expect_possible(
    dataset: Dataset,
    labelled: Sequence[Case],
    recipe: Recipe,
    *,
    rules: Sequence[Rule],
    helpers: Helpers,
    carrier: Carrier | None,
) -> None:
    """Refuse at the door what would fail after hours.

    Args:
        dataset: Where the scans come from.
        labelled: Cases whose labels are true.
        recipe: Of the model that is to name the organs.
        rules: What an organ must pass.
        helpers: What there is beside the model.
        carrier: The model's propagator.

    Raises:
        DatasetError: The dataset names other organs than the model.
        RecipeError: A rule needs what is not there.
    """
    if dict(dataset.labels.ids) != recipe.organs:
        raise DatasetError(
            f"{dataset.folder / 'dataset.json'} names other organs than {recipe.name!r}: "
            f"{dict(dataset.labels.ids)} against {recipe.organs}; make them equal, ids too"
        )
    _expect_helpers(recipe, helpers)
    whole_slices = carrier is not None and not carrier.in_regions
    knows = helpers.prior is not None or bool(drawn_whole(labelled))
    missing = {
        "losses": helpers.other is None and "another model (--judge)",
        "earlier": helpers.earlier is None and "the folder of an earlier round (--earlier)",
        "members": len(recipe.networks) < 2 and "a committee of two networks or more",
        "confidence": recipe.role == "volumetric" and "a committee of networks",
        "both_ways": not whole_slices and "a propagator that carries whole slices",
        "prior": not knows and "labelled scans, drawn on all slices, or a prior (--prior)",
    }
    for rule in rules:
        kind = kind_of(rule.name)
        for need in (kind.argument, "prior" if kind.needs_prior else None):
            if need is not None and (lack := missing[need]):
                raise RecipeError(
                    f"the rule {rule.name!r} needs {lack}; give it, or leave the rule out"
                )


def drawn_whole(cases: Sequence[Case]) -> list[Case]:
    """Return the cases that tell how large organs are: those that were drawn on all slices."""
    return [case for case in cases if case.annotated_slices is None and case.labels is not None]


def prediction(folder: Path, case: str) -> Path:
    """Return where the labels of a case lie as they were predicted, nothing refused."""
    return folder / WORK / "predictions" / f"{case}.nii.gz"


def _expect_helpers(recipe: Recipe, helpers: Helpers) -> None:
    """Refuse a judge that names other organs, and an earlier round that is none."""
    other, earlier = helpers.other, helpers.earlier
    if other is not None and other.recipe.role != "reference":
        raise RecipeError(
            f"the judge {other.recipe.name!r} is a {other.recipe.role} model, wanted a reference; "
            "it is asked slice by slice"
        )
    if other is not None and other.recipe.organs != recipe.organs:
        raise RecipeError(
            f"the judge {other.recipe.name!r} names other organs than {recipe.name!r}: "
            f"{other.recipe.organs} against {recipe.organs}; take one that names the same, ids too"
        )
    if earlier is not None and not prediction(earlier, "any").parent.is_dir():
        raise RecipeError(
            f"{earlier} holds no labels of an earlier round; name a folder that slicekit pseudo "
            "wrote"
        )
