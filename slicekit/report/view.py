"""How a slice is shown: as radiologists look at it, without the air around.

Axial slices have the patient's front up, coronal and sagittal ones the head; the right side is on
the left, on sagittal slices the front is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from slicekit.data.intensity import holds_hu
from slicekit.volume import Volume, along
from slicekit.windows import ABDOMEN, Window, percentile_window

_DARK = 0.08
_LEAST_SHARE = 0.01
Plane = Literal["axial", "coronal", "sagittal"]
_WORLD = {"axial": (1, 0), "coronal": (2, 0), "sagittal": (2, 1)}
"""World axis (right, front, head) that runs up the picture, and the one against its columns."""


@dataclass(frozen=True)
class View:
    """The part of every slice that is shown, and how it is turned."""

    swap: bool
    """Whether rows and columns change places."""
    flip_rows: bool
    flip_columns: bool
    rows: slice
    """Rows that are shown, of the turned slice."""
    columns: slice
    height_over_width: float
    """Proportions of the place on the page: those of what is shown, within what it can hold."""
    pixel_ratio: float = 1.0
    """True height of a pixel over its width."""

    @classmethod
    def of(
        cls,
        image: Volume,
        window: Window,
        slices: Sequence[int],
        labels: Volume,
        *,
        plane: Plane = "axial",
    ) -> View:
        """Choose a view that shows the same part of all given slices.

        Args:
            image: ``(z, y, x)`` intensities; from ``along_plane`` for another plane.
            window: What is darker than a twelfth of it at the edge of a slice is cut off.
            slices: Indices along the first axis.
            labels: Never cut off. On the grid of ``image``.
            plane: In which the slices lie.
        """
        up, right = _WORLD[plane]
        ras = image.affine[:3, :3]  # rows: right, front, head; columns: z, y, x
        swap = bool(abs(ras[right, 1]) > abs(ras[right, 2]) and abs(ras[up, 2]) > abs(ras[up, 1]))
        row, column = (2, 1) if swap else (1, 2)
        flip_rows, flip_columns = bool(ras[up, row] > 0), bool(ras[right, column] > 0)
        whole = cls(swap, flip_rows, flip_columns, slice(None), slice(None), 1.0)
        shown = [
            (window.apply(np.nan_to_num(image.array[z])) > _DARK) | (labels.array[z] > 0)
            for z in slices
        ]
        bright = whole.show(np.any(shown, axis=0))
        must = whole.show(np.any([labels.array[z] > 0 for z in slices], axis=0))
        rows, columns = (_extent(bright, must, axis) for axis in (1, 0))
        height_mm = (rows.stop - rows.start) * image.spacing_mm[row]
        width_mm = (columns.stop - columns.start) * image.spacing_mm[column]
        ratio = float(np.clip(height_mm / width_mm, 0.12, 2.5))
        pixel = float(image.spacing_mm[row] / image.spacing_mm[column])
        return cls(swap, flip_rows, flip_columns, rows, columns, ratio, pixel)

    def show(self, plane: NDArray[Any]) -> NDArray[Any]:
        """Turn and cut one ``(y, x)`` slice."""
        turned = plane.T if self.swap else plane
        turned = turned[::-1] if self.flip_rows else turned
        turned = turned[:, ::-1] if self.flip_columns else turned
        return turned[self.rows, self.columns]


def usual_window(image: Volume) -> Window:
    """Choose a window by what the intensities are: the abdomen's for HU, else of percentiles."""
    if holds_hu(image):
        return ABDOMEN
    return percentile_window(image.array[np.isfinite(image.array)])


def along_plane(volume: Volume, plane: Plane) -> Volume:
    """Return the same voxels with the slices of a plane in front, as a view."""
    if plane == "axial":
        return volume
    ras = np.abs(volume.affine[:3, :3])
    upright = bool(ras[1, 1] >= ras[1, 2])  # whether y runs from front to back, as it mostly does
    return along(volume, "y" if upright == (plane == "coronal") else "x")


def _extent(bright: NDArray[np.bool_], must: NDArray[np.bool_], axis: int) -> slice:
    """Find where a slice is not empty along one axis, with a margin of 3 %."""
    size = bright.shape[1 - axis]
    kept = (bright.mean(axis=axis) > _LEAST_SHARE) | must.any(axis=axis)
    where = np.flatnonzero(kept)
    if where.size == 0:
        return slice(0, size)
    margin = max(2, round(0.03 * size))
    return slice(max(0, int(where[0]) - margin), min(size, int(where[-1]) + 1 + margin))
