"""The models that are known by name: what each is, and whether its weights are there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slicekit.errors import CheckpointError, RecipeError
from slicekit.recipes import Recipe, read_recipe
from slicekit.recipes.finding import OWN_MODELS, model_files, weights_of
from slicekit.recipes.weights_header import read_header
from slicekit.report.text_table import text_table

_SHORT = 12


@dataclass(frozen=True)
class ModelEntry:
    """One model, by its recipe and the header of its weights; the tensors stay on disk."""

    name: str
    """What ``--model`` takes."""
    recipe_file: Path
    recipe: Recipe | None
    """``None`` where it cannot be read."""
    weights: Path | None
    """Where the weights lie, or would lie."""
    size_bytes: int | None
    """``None`` where there are none."""
    header_sha256: str | None
    """SHA-256 of the tensors as the header says; whether it is so is seen when they are loaded."""
    fault: str | None
    """Why the recipe or the weights cannot be used."""

    @property
    def is_own(self) -> bool:
        """Whether it lies in the folder ``models`` where the program runs."""
        return self.recipe_file.parent == Path(OWN_MODELS)

    @property
    def recipe_sha256(self) -> str | None:
        """SHA-256 of the tensors that the recipe asks for."""
        asked = self.recipe.weights if self.recipe else None
        return asked.sha256 if asked else None

    @property
    def mean_dsc(self) -> float | None:
        """Mean of the scores by organ; ``None`` where the recipe tells none."""
        scores = list(self.recipe.scores.values()) if self.recipe else []
        return sum(scores) / len(scores) if scores else None

    def to_json(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        recipe = self.recipe
        return {
            "name": self.name,
            "recipe": str(self.recipe_file),
            "own": self.is_own,
            "role": recipe.role if recipe else None,
            "modality": recipe.input.modality if recipe else None,
            "organs": dict(recipe.organs) if recipe else {},
            "about": " ".join(recipe.about.split()) if recipe else "",
            "licence": recipe.licence if recipe else "",
            "scores": dict(recipe.scores) if recipe else {},
            "weights": {
                "file": str(self.weights) if self.weights else None,
                "there": self.size_bytes is not None,
                "bytes": self.size_bytes,
                "sha256_in_recipe": self.recipe_sha256,
                "sha256_in_header": self.header_sha256,
            },
            "fault": self.fault,
        }


def list_models() -> tuple[ModelEntry, ...]:
    """Look at every model that is known by name, bundled or in ``models`` where the program runs.

    A recipe or a file of weights that cannot be read is listed with its fault.
    """
    return tuple(_look(name, file) for name, file in model_files().items())


def models_text(models: tuple[ModelEntry, ...]) -> str:
    """Write models as a table for a person, with faults, organs and licences below it."""
    rows = [["model", "role", "scans", "organs", "mean DSC", "MB", "sha256", "weights"]]
    organs: dict[str, list[str]] = {}
    licences: dict[str, list[str]] = {}
    for one in models:
        recipe = one.recipe
        size = "-" if one.size_bytes is None else f"{one.size_bytes / 1e6:.1f}"
        there = "missing" if one.size_bytes is None else "there"
        rows.append([
            one.name + (" (own)" if one.is_own else ""),
            recipe.role if recipe else "?",
            recipe.input.modality if recipe else "?",
            (str(len(recipe.organs)) if recipe.organs else "any") if recipe else "?",
            "-" if one.mean_dsc is None else f"{one.mean_dsc:.3f}",
            size, (one.header_sha256 or "-")[:_SHORT], "at fault" if one.fault else there,
        ])  # fmt: skip
        if recipe and recipe.organs:
            organs.setdefault(", ".join(recipe.organs), []).append(one.name)
        if recipe and recipe.licence:
            licences.setdefault(recipe.licence, []).append(one.name)
    blocks = [text_table(rows, left=(0, 1, 2, 6, 7)) if models else "no model is known by name"]
    blocks += [f"{one.name}: {one.fault}" for one in models if one.fault]
    for told in (organs, licences):
        blocks += [f"{', '.join(names)}:\n  {text}" for text, names in told.items()]
    return "\n\n".join(blocks)


def _look(name: str, file: Path) -> ModelEntry:
    """Read a recipe and the header of its weights."""
    try:
        recipe = read_recipe(file)
    except RecipeError as fault:
        return ModelEntry(name, file, None, None, None, None, str(fault))
    weights = weights_of(recipe, file)
    try:
        size = weights.stat().st_size
    except OSError:
        return ModelEntry(name, file, recipe, weights, None, None, None)
    try:
        found = read_header(weights).get("sha256")
    except CheckpointError as fault:
        return ModelEntry(name, file, recipe, weights, size, None, str(fault))
    asked = recipe.weights.sha256 if recipe.weights else found
    fault_text = None
    if asked != found:
        fault_text = (
            f"the tensors of {weights} have SHA-256 {str(found)[:_SHORT]}..., the recipe asks for "
            f"{str(asked)[:_SHORT]}...; they are other weights"
        )
    return ModelEntry(name, file, recipe, weights, size, found, fault_text)
