"""The windows of a model, told without loading it."""

from __future__ import annotations

from pathlib import Path

import slicekit
from slicekit.errors import SlicekitError
from slicekit.recipes import read_recipe
from slicekit.windows import Window

_OWN = "models"


def model_windows(model: str | None) -> tuple[Window, ...]:
    """Return the windows through which a model sees CT; none where its recipe is not a file.

    Args:
        model: A bundled model's name or a recipe; weights are not opened for this.
    """
    if model is None:
        return ()
    package = Path(slicekit.__file__).parent
    folders = (package / "_models", package.parent / _OWN, Path(_OWN))
    files = [Path(model), *(folder / f"{model}.toml" for folder in folders)]
    for file in files:
        if file.suffix == ".toml" and file.is_file():
            try:
                recipe = read_recipe(file)
            except SlicekitError:
                return ()  # told when the model is loaded
            return tuple(dict.fromkeys(recipe.input.three_windows))
    return ()
