"""Where the body lies in a scan."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from slicekit.checks import expect_shape

COARSE_PX = 128
"""Cells along the longer side of the coarse grid on which the body is sought."""
CELL_SHARE = 0.25
"""A cell belongs to something when so much of it is bright: fat straddles the usual threshold."""
MARGIN_SHARE = 0.02
"""Margin around the body on every side, as a share of the slice."""


def body_box(volume: NDArray[Any], *, threshold_hu: float = -100.0) -> tuple[int, int, int, int]:
    """Find the rectangle that holds the body in every slice.

    Cells of a coarse in-plane grid are bright or dark; thin things such as the table's shell are
    opened away; of what remains the largest piece in three dimensions is the body. Only
    comparisons with the threshold are made, so intensities clipped on either side of it give
    the same box.

    Args:
        volume: ``(z, y, x)`` intensities; blank slices and NaN are dark.
        threshold_hu: What is brighter may be body; the image's own unit where it is not CT.

    Returns:
        ``(y0, y1, x0, x1)``: rows ``y0:y1`` and columns ``x0:x1`` hold the body and a margin of
        2 % of the slice (2 pixels at least). The whole slice when nothing is found.

    Raises:
        ShapeError: The volume has not three axes.

    Example:
        >>> scan = np.full((4, 100, 100), -1000)
        >>> scan[:, 30:70, 20:80] = 40
        >>> body_box(scan)
        (28, 72, 18, 82)
    """
    expect_shape("volume", volume, "z y x")
    _, height, width = volume.shape
    cell = max(1, max(height, width) // COARSE_PX)
    pieces, count = ndimage.label(_coarse(volume, threshold_hu, cell=cell))
    if not count:
        return 0, height, 0, width
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    body = pieces == sizes.argmax()
    y0, y1 = _span(body.any(axis=(0, 2)), cell=cell, size=height)
    x0, x1 = _span(body.any(axis=(0, 1)), cell=cell, size=width)
    return y0, y1, x0, x1


def _coarse(volume: NDArray[Any], threshold_hu: float, *, cell: int) -> NDArray[np.bool_]:
    """Return ``(z, y / cell, x / cell)``: which cells are bright, thin things opened away."""
    slices, height, width = volume.shape
    rows, columns = -(-height // cell), -(-width // cell)
    coarse = np.zeros((slices, rows, columns), dtype=np.bool_)
    bright = np.zeros((rows * cell, columns * cell), dtype=np.bool_)
    for z, plane in enumerate(volume):
        np.greater(plane, threshold_hu, out=bright[:height, :width])
        share = bright.reshape(rows, cell, columns, cell).mean(axis=(1, 3))
        coarse[z] = ndimage.binary_opening(share >= CELL_SHARE, structure=np.ones((3, 3), np.bool_))
    return coarse


def _span(along: NDArray[np.bool_], *, cell: int, size: int) -> tuple[int, int]:
    """Return first and last + 1 pixel of the true cells of one axis, with the margin."""
    cells = np.flatnonzero(along)
    margin = max(2, round(MARGIN_SHARE * size))
    return (
        max(0, int(cells[0]) * cell - margin),
        min(size, (int(cells[-1]) + 1) * cell + margin),
    )
