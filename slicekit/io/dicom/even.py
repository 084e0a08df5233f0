"""Resample slices that are missing, unevenly spaced or sheared onto an even, upright grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from slicekit.errors import ReadError
from slicekit.io.budget import expect_within_budget
from slicekit.io.dicom.grid import Grid

_WIDEST = 3
"""Times that the canvas of sheared slices may be larger than a slice."""
_NOTHING = 1e-3  # of a pixel
_THERE = 0.01
"""Of the way between two slices: nearer than this, a slice stands for itself."""


class Upright(NamedTuple):
    """What came of resampling."""

    array: NDArray[np.float32]
    """``(slice, row, column)``."""
    affine: NDArray[np.float64]
    """``(column, row, slice, 1)`` to RAS+ mm; its axes are at right angles."""
    told: str
    """What was done, in words."""


def even_out(path: Path, stack: NDArray[np.float32], grid: Grid, budget: int | None) -> Upright:
    """Interpolate linearly between slices, each first shifted in its plane to stand upright.

    Args:
        path: What was named, for messages.
        stack: ``(slice, row, column)`` intensities in the order of ``grid``.
        grid: Where the slices lie.
        budget: Bytes that the result may take.

    Returns:
        Slices at the usual distance from the first to the last. Where shifting bares the
        canvas, the smallest intensity stands.

    Raises:
        ReadError: The result would not fit into memory, or the slices drift too far apart.
    """
    across = grid.affine[:3, :2]
    pixel = np.linalg.norm(across, axis=0)
    normal = np.cross(across[:, 0], across[:, 1])
    normal *= np.sign((grid.positions[-1] - grid.positions[0]) @ normal) / np.linalg.norm(normal)
    offsets = grid.positions - grid.positions[0]
    heights = offsets @ normal
    shifts = (offsets @ across) / pixel**2  # (n, 2): columns, rows
    low = np.floor(shifts.min(axis=0) + _NOTHING)
    high = np.ceil(shifts.max(axis=0) - _NOTHING)
    columns, rows = (np.array(stack.shape[:0:-1]) + high - low).astype(int)
    count = round(heights[-1] / float(np.median(np.diff(heights)))) + 1
    usual = heights[-1] / (count - 1)
    if rows > _WIDEST * stack.shape[1] or columns > _WIDEST * stack.shape[2]:
        raise ReadError(path, "has slices that lie too far beside one another to be one volume")
    expect_within_budget(path, 2 * 4 * count * int(rows) * int(columns), budget)
    empty = float(stack.min())
    array = np.empty((count, rows, columns), dtype=np.float32)
    wanted = np.linspace(0, heights[-1], count)
    after = np.clip(np.searchsorted(heights, wanted), 1, len(heights) - 1)
    held: dict[int, NDArray[Any]] = {}
    for number, (height, upper) in enumerate(zip(wanted, after, strict=True)):
        held = {
            at: held[at]
            if at in held
            else _shifted(stack[at], shifts[at] - low, rows, columns, empty)
            for at in (int(upper) - 1, int(upper))
        }
        share = (height - heights[upper - 1]) / (heights[upper] - heights[upper - 1])
        share = share.round() if abs(share - share.round()) < _THERE else share
        array[number] = (1 - share) * held[int(upper) - 1] + share * held[int(upper)]
    affine = grid.affine.copy()
    affine[:3, 2] = normal * usual
    affine[:3, 3] = grid.positions[0] + across @ low
    told = f"they were interpolated to {count} slices every {usual:g} mm"
    if (rows, columns) != stack.shape[1:]:
        told += f", upright on {columns} x {rows} pixels"
    return Upright(array, affine, told)


def _shifted(
    plane: NDArray[np.float32], shift: NDArray[np.float64], rows: int, columns: int, empty: float
) -> NDArray[np.float32]:
    """Move a slice by (columns, rows) pixels on a larger canvas."""
    if np.abs(shift - np.round(shift)).max() <= _NOTHING:
        column, row = np.round(shift).astype(int)
        canvas = np.full((rows, columns), empty, dtype=np.float32)
        canvas[row : row + plane.shape[0], column : column + plane.shape[1]] = plane
        return canvas
    return np.asarray(
        ndimage.affine_transform(
            plane, np.ones(2), offset=-shift[::-1], output_shape=(rows, columns), order=1,
            mode="constant", cval=empty,
        ),
        dtype=np.float32,
    )  # fmt: skip
