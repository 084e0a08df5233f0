"""Whether intensities can be what a recipe expects, told before a network sees them."""

from __future__ import annotations

import warnings

import numpy as np

from slicekit.errors import DataWarning
from slicekit.io import with_gray_range
from slicekit.recipes import InputRecipe
from slicekit.volume import Volume

_AIR_OR_FAT_HU = -50.0


def as_expected(image: Volume, recipe: InputRecipe, *, name: str = "the scan") -> Volume:
    """Return a scan whose intensities are in the recipe's unit, as far as that can be known.

    Pictures without a unit are taken to show the recipe's first window. Other volumes are used
    as they are; a warning says when they cannot be HU.

    Args:
        image: The scan as it was read.
        recipe: What the networks expect.
        name: How messages call the scan.

    Warns:
        DataWarning: A window was assumed, or the values cannot be HU.
    """
    if recipe.modality != "CT":
        return image
    if image.source is not None and getattr(image.source, "gray_range", ...) is None:
        low, high = recipe.three_windows[0].range_hu
        warnings.warn(
            f"{name}: 8-bit pictures have no HU; taken to show {low:g} to {high:g} HU, the "
            "model's first window - say it with --gray-range LO HI if that is not so",
            DataWarning,
            stacklevel=2,
        )
        return with_gray_range(image, low, high)
    # a few hundred thousand voxels tell the range well enough
    step = max(1, image.array.size // 300_000)
    seen = image.array.reshape(-1)[::step]
    low, high = float(np.min(seen)), float(np.max(seen))
    if low >= _AIR_OR_FAT_HU or high - low < 50:
        warnings.warn(
            f"{name}: values from {low:g} to {high:g} cannot be HU of a body, which holds fat "
            "and air below -50; the result will be doubtful - for 8-bit values say "
            "--gray-range LO HI, else convert to HU",
            DataWarning,
            stacklevel=2,
        )
    return image
