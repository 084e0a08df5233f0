"""How a slice is shown: patient's front up, right side on the left, without the air around."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicekit.volume import Volume
from slicekit.windows import Window

_DARK = 0.08
_LEAST_SHARE = 0.01


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
    """True proportions of what is shown, within what a page can hold."""

    @classmethod
    def of(cls, image: Volume, window: Window, slices: Sequence[int], labels: Volume) -> View:
        """Choose a view that shows the same part of all given slices.

        Args:
            image: ``(z, y, x)`` intensities.
            window: What is darker than a twelfth of it at the edge of a slice is cut off.
            slices: Indices along z.
            labels: Never cut off. On the grid of ``image``.
        """
        ras = image.affine[:3, :3]  # rows: right, front, head; columns: z, y, x
        swap = bool(abs(ras[0, 1]) > abs(ras[0, 2]) and abs(ras[1, 2]) > abs(ras[1, 1]))
        row, column = (2, 1) if swap else (1, 2)
        flip_rows, flip_columns = bool(ras[1, row] > 0), bool(ras[0, column] > 0)
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
        ratio = float(np.clip(height_mm / width_mm, 0.3, 2.5))
        return cls(swap, flip_rows, flip_columns, rows, columns, ratio)

    def show(self, plane: NDArray[Any]) -> NDArray[Any]:
        """Turn and cut one ``(y, x)`` slice."""
        turned = plane.T if self.swap else plane
        turned = turned[::-1] if self.flip_rows else turned
        turned = turned[:, ::-1] if self.flip_columns else turned
        return turned[self.rows, self.columns]


def _extent(bright: NDArray[np.bool_], must: NDArray[np.bool_], axis: int) -> slice:
    """Find where a slice is not empty along one axis, with a margin of 3 %."""
    size = bright.shape[1 - axis]
    kept = (bright.mean(axis=axis) > _LEAST_SHARE) | must.any(axis=axis)
    where = np.flatnonzero(kept)
    if where.size == 0:
        return slice(0, size)
    margin = max(2, round(0.03 * size))
    return slice(max(0, int(where[0]) - margin), min(size, int(where[-1]) + 1 + margin))
