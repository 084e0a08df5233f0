"""Whether intensities can be what a recipe expects, told before a network sees them."""

from __future__ import annotations

import math
import warnings

import numpy as np

from slicekit.errors import DataWarning, ReadError
from slicekit.io import FolderSource, with_gray_range
from slicekit.recipes import InputRecipe
from slicekit.volume import Volume
from slicekit.windows import percentile_window

_AIR_OR_FAT_HU = -50.0
_SURELY_HU = -100.0
_SHARE_OF_AIR = 0.005
_WHITE = 255.0
_MOST_HU = 3071.0
"""Of 12 bits; beyond are metal and whatever is no CT."""
_METAL = 0.05
"""Share of a scan that metal does not reach."""
_KINDS = ("CT", "MR", "PT")


def as_expected(image: Volume, recipe: InputRecipe, *, name: str = "the scan") -> Volume:
    """Return a scan whose intensities are in the recipe's unit, as far as that can be known.

    Pictures without a unit are taken to show the recipe's first window. Other CTs are used as
    they are; a warning says when they cannot be HU. MR has no unit: 0.5 % of its voxels become
    0 and 0.5 % become 1, and the recipe's windows are ranges between. A recipe for any modality
    takes for HU what reaches -100 in one voxel of 200; all else is stretched over its windows.

    Args:
        image: The scan as it was read.
        recipe: What the networks expect.
        name: How messages call the scan.

    Warns:
        DataWarning: A window was assumed, the values cannot be HU, or the scan says itself that
            it is of another modality.
    """
    told = getattr(image.source, "modality", None)
    other = told in _KINDS and recipe.modality in _KINDS and told != recipe.modality
    if other:
        warnings.warn(
            f"{name}: is of the modality {told} by its DICOM header, but the model is one of "
            f"{recipe.modality}; the result will be doubtful - choose another --model",
            DataWarning,
            stacklevel=2,
        )
    if recipe.modality == "MR":
        return image.with_array(percentile_window(image.array).apply(image.array))
    if recipe.modality == "any":
        if holds_hu(image):
            return image
        low, high = recipe.range_hu
        unit = percentile_window(image.array).apply(image.array)
        return image.with_array(unit * np.float32(high - low) + np.float32(low))
    if image.source is not None and getattr(image.source, "gray_range", ...) is None:
        low, high = recipe.three_windows[0].range_hu
        warnings.warn(
            f"{name}: 8-bit pictures have no HU; taken to show {low:g} to {high:g} HU, the "
            "model's first window - say it with --gray-range LO HI if that is not so",
            DataWarning,
            stacklevel=2,
        )
        return with_gray_range(image, low, high)
    low, high = float(image.array.min()), float(image.array.max())
    beyond = (
        high > _MOST_HU and np.count_nonzero(image.array > _MOST_HU) > _METAL * image.array.size
    )
    if not other and (low >= _AIR_OR_FAT_HU or high - low < 50 or beyond):
        warnings.warn(
            f"{name}: values from {low:g} to {high:g} cannot be HU of a body, which holds fat "
            "and air below -50 and little above 3071; the result will be doubtful - 8-bit values "
            "need a gray range (--gray-range LO HI), label maps and MR are no input for a model of "
            "CT",
            DataWarning,
            stacklevel=2,
        )
    return image


def holds_hu(image: Volume) -> bool:
    """Tell whether a scan can be a CT: one voxel of 200 reaches -100, where MR has nothing."""
    below = int(np.count_nonzero(image.array <= _SURELY_HU))  # one odd voxel makes no CT
    return below > _SHARE_OF_AIR * image.array.size


def from_gray(image: Volume, low: float, high: float, *, name: str = "the scan") -> Volume:
    """Give 8-bit values their intensities, whether they come from pictures or from NIfTI.

    Args:
        image: Values from 0 to 255.
        low: Intensity that 0 stands for (HU on CT).
        high: Intensity that 255 stands for.
        name: How messages call the scan.

    Returns:
        The same place in the patient, float32 from ``low`` to ``high``.

    Raises:
        ReadError: There are other values than 0 to 255, the intensities are known already, or
            ``low`` and ``high`` are not finite, the lower one first.
    """
    if isinstance(image.source, FolderSource):
        return with_gray_range(image, low, high)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ReadError(
            name, f"its gray range must be two numbers, the lower first, got {low:g}, {high:g}"
        )
    least, most = float(image.array.min()), float(image.array.max())
    if least < 0 or most > _WHITE:
        raise ReadError(
            name,
            f"holds values from {least:g} to {most:g}, so they are not 8-bit; a gray range is "
            "for values from 0 to 255, leave it out",
        )
    step = np.float32((high - low) / _WHITE)
    return image.with_array(image.array.astype(np.float32) * step + np.float32(low))
