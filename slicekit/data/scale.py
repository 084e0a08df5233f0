"""The size of a pixel, where a scan does not tell it."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from slicekit.errors import DataWarning
from slicekit.recipes import InputRecipe
from slicekit.superpixels.body import body_box
from slicekit.volume import Volume

BODY_WIDTH_MM = 350.0
"""Width of an adult's trunk, from side to side."""
SLICE_MM = 3.0
"""Distance between slices that is taken where nobody knows it."""


def with_likely_spacing(image: Volume, recipe: InputRecipe, *, name: str = "the scan") -> Volume:
    """Return a scan with a spacing that its networks can use.

    Scans that know their spacing are returned as they are. Pictures do not: for them a pixel is
    taken to be as large as makes the body ``BODY_WIDTH_MM`` wide, which for adults is within
    the change of size that training practises.

    Args:
        image: The scan, intensities as the recipe expects them.
        recipe: How the body is told from the air.
        name: How the warning calls the scan.

    Warns:
        DataWarning: The spacing was guessed.
    """
    if getattr(image.source, "spacing_known", True) or recipe.body_above_hu is None:
        return image
    _, _, left, right = body_box(image.array, threshold_hu=recipe.body_above_hu)
    pixel_mm = BODY_WIDTH_MM / (right - left)
    warnings.warn(
        f"{name}: the networks work with {pixel_mm:.2f} mm a pixel, which makes the body "
        f"{BODY_WIDTH_MM:g} mm wide, and {SLICE_MM:g} mm between slices; volumes are told in "
        "voxels, not in ml - say --spacing Z Y X (mm) to be sure",
        DataWarning,
        stacklevel=2,
    )
    steps = np.array([SLICE_MM, pixel_mm, pixel_mm]) / image.spacing_mm
    affine = image.affine.copy()
    affine[:3, :3] *= steps
    return replace(image, affine=affine)
