"""A region of interest: a square around an organ, resampled so that organs come in one size.

A small network sees an adrenal gland and a liver alike, and a slice costs what the organ is
large, not what the slice is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F


@dataclass(frozen=True)
class Region:
    """A rectangle of the slices of one scan, and the pixels it is seen with.

    Both grids cover the same rectangle, so going there and back moves nothing. It may reach
    beyond the slice.
    """

    top: int
    """First row of the slice; may be negative."""
    left: int
    """First column."""
    height: int
    """Rows of the slice."""
    width: int
    """Columns."""
    size: int
    """Pixels a side that a network sees."""

    @classmethod
    def around(
        cls,
        box: tuple[int, int, int, int],  # rows and columns y0, y1, x0, x1; ends excluded
        *,
        spacing_mm: tuple[float, float],
        margin: float,
        least_mm: float,
        size: int,
        shift: tuple[float, float] = (0.0, 0.0),
    ) -> Region:
        """Return the square in mm around a box.

        Args:
            box: What it must hold.
            spacing_mm: Distance of rows and columns.
            margin: Added on each side, as a share of the longer side of the box.
            least_mm: Smallest side of the square.
            size: Pixels a side.
            shift: Of the centre, y and x, as shares of the square's side.
        """
        y0, y1, x0, x1 = box
        step_y, step_x = spacing_mm
        longer = max((y1 - y0) * step_y, (x1 - x0) * step_x)
        side = max(longer * (1 + 2 * margin), least_mm)
        height, width = max(1, round(side / step_y)), max(1, round(side / step_x))
        top = round((y0 + y1 - height) / 2 + shift[0] * height)
        left = round((x0 + x1 - width) / 2 + shift[1] * width)
        return cls(top, left, height, width, size)

    def moved(self, rows: int, columns: int) -> Region:
        """Return the same region for slices that begin elsewhere."""
        return replace(self, top=self.top + rows, left=self.left + columns)

    def cut(
        self, planes: NDArray[Any], *, fill: float = 0.0
    ) -> NDArray[np.float32]:  # (n, size, size)
        """Cut the region out of ``(n, y, x)`` planes, linearly and with anti-aliasing."""
        held = torch.from_numpy(_window(planes, self, fill))[:, None]
        sized = F.interpolate(
            held, (self.size, self.size), mode="bilinear", antialias=True, align_corners=False
        )
        out: NDArray[np.float32] = sized[:, 0].numpy()
        return out

    def paste(
        self,
        plane: NDArray[Any],  # (size, size)
        shape: tuple[int, int],
    ) -> tuple[tuple[slice, slice], NDArray[np.float32]]:
        """Bring a plane back to the pixels of the slice.

        Args:
            plane: What a network says of the region.
            shape: Rows and columns of the slice.

        Returns:
            Rows and columns of the slice that the region covers, and the values there; both are
            empty for a region that lies wholly outside.
        """
        held = torch.from_numpy(np.ascontiguousarray(plane, dtype=np.float32))[None, None]
        smaller = self.height < self.size or self.width < self.size
        sized = F.interpolate(
            held, (self.height, self.width), mode="bilinear", antialias=smaller,
            align_corners=False,
        )[0, 0].numpy()  # fmt: skip
        y0, y1 = _overlap(self.top, self.height, shape[0])
        x0, x1 = _overlap(self.left, self.width, shape[1])
        rows = slice(max(0, y0 - self.top), max(0, y1 - self.top))
        columns = slice(max(0, x0 - self.left), max(0, x1 - self.left))
        inside: NDArray[np.float32] = sized[rows, columns]
        return (slice(y0, y1), slice(x0, x1)), inside


def _window(planes: NDArray[Any], region: Region, fill: float) -> NDArray[np.float32]:
    """Copy a rectangle out of ``(n, y, x)``; what lies outside of the slices is ``fill``."""
    n, rows, columns = planes.shape
    out = np.full((n, region.height, region.width), fill, dtype=np.float32)
    y0, y1 = _overlap(region.top, region.height, rows)
    x0, x1 = _overlap(region.left, region.width, columns)
    if y0 < y1 and x0 < x1:
        inside = planes[:, y0:y1, x0:x1]
        out[:, y0 - region.top : y1 - region.top, x0 - region.left : x1 - region.left] = inside
    return out


def _overlap(start: int, length: int, size: int) -> tuple[int, int]:
    """Return where a stretch begins and ends inside of an axis; an empty stretch outside of it."""
    first = min(max(0, start), size)
    return first, max(first, min(size, start + length))


def box_of(mask: NDArray[Any]) -> tuple[int, int, int, int] | None:
    """Return rows and columns ``(y0, y1, x0, x1)`` that hold a mask's pixels, ends excluded."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def union(
    boxes: list[tuple[int, int, int, int]],
) -> tuple[int, int, int, int]:
    """Return the smallest box that holds all of them."""
    y0, y1, x0, x1 = zip(*boxes, strict=True)
    return min(y0), max(y1), min(x0), max(x1)
