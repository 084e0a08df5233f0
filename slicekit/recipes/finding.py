"""Where models lie: recipes by name, and the weights that belong to a recipe."""

from __future__ import annotations

from pathlib import Path

import slicekit
from slicekit.recipes.tables import Recipe

OWN_MODELS = "models"
"""Folder, where the program runs, in which models are found by name beside the bundled ones."""


def bundled(kind: str) -> Path:
    """Return the folder of bundled ``"models"`` or ``"weights"``: of the wheel or the checkout."""
    package = Path(slicekit.__file__).parent
    inside = package / f"_{kind}"
    return inside if inside.is_dir() else package.parent / kind


def model_files(folder: Path | None = None) -> dict[str, Path]:
    """Return the recipes that are known by name: your own in ``models``, and the bundled ones.

    Args:
        folder: Of the bundled recipes; ``bundled("models")`` when ``None``. Of one name the
            bundled one counts.

    Returns:
        Name to TOML file, in the order of the names.
    """
    folders = (Path(OWN_MODELS), bundled("models") if folder is None else folder)
    found = {file.stem: file for place in folders for file in place.glob("*.toml")}
    return dict(sorted(found.items()))


def weights_of(recipe: Recipe, recipe_file: Path, folder: Path | None = None) -> Path:
    """Return where the weights of a recipe lie, or would lie: beside it, else among the bundled.

    Args:
        recipe: What the file holds.
        recipe_file: The TOML file.
        folder: Of the bundled weights; ``bundled("weights")`` when ``None``.
    """
    name = recipe.weights.file if recipe.weights else f"{recipe.name}.safetensors"
    beside = recipe_file.parent / name
    if beside.is_file():
        return beside
    return (bundled("weights") if folder is None else folder) / name
