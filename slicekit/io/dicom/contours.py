"""Masks of a slice as closed contours, and back.

A contour runs midway between the centres of pixels within and without, a trifle nearer to those
within: readers that ask which centres it encloses get the mask again, and so do those that round
its corners to centres and paint the path too. A hole is part of the contour around it: a channel
of no width leads there, the keyhole of the standard (PS3.3 C.8.8.6.3), so that readers which
combine contours by OR and those which do by XOR agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
from contourpy import FillType, contour_generator
from numpy.typing import NDArray

_LEVEL = 0.51
"""Where a contour crosses the way from a centre without, 0, to one within, 1."""
_BESIDE = 0.25
"""Of a pixel: how far from the centres a channel runs."""
_ON_CENTRE = 0.02
"""Of a pixel: nearer than this, a point lies on the centre, and what is on the path is inside."""


def outlines(mask: NDArray[np.bool_]) -> Iterator[NDArray[np.float64]]:
    """Trace a mask.

    Args:
        mask: ``(row, column)``.

    Yields:
        ``(n, 2)`` columns and rows of the corners, a contour a component; the first corner is not
        repeated. Pixels that touch at a corner only are two components.
    """
    rows, columns = np.nonzero(mask)
    if not rows.size:
        return
    low = np.array([columns.min(), rows.min()])
    part = mask[low[1] : rows.max() + 1, low[0] : columns.max() + 1]
    traced = contour_generator(
        z=np.pad(part, 1).astype(np.float64), fill_type=FillType.OuterOffset
    ).filled(_LEVEL, 2.0)
    for points, offsets in zip(*traced, strict=True):
        rings = [points[a : b - 1] for a, b in pairwise(offsets)]
        yield _corners(_keyholes(rings)) + (low - 1)


def fill(contours: Iterable[NDArray[np.float64]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels whose centres lie within contours, or on the path of one.

    A pixel in an odd number of contours is within: a contour in another is a hole of it.

    Args:
        contours: Each ``(n, 2)`` columns and rows of its corners.
        shape: Rows and columns; what lies beyond is left out.
    """
    rows, columns = shape
    crossed = np.zeros((rows, columns + 1), dtype=bool)
    path = np.zeros((rows, columns), dtype=bool)
    for contour in contours:
        whole = np.round(contour)
        _enter(crossed, path, np.where(np.abs(contour - whole) <= _ON_CENTRE, whole, contour))
    return np.logical_xor.accumulate(crossed[:, :columns], axis=1) | path


def _enter(
    crossed: NDArray[np.bool_], path: NDArray[np.bool_], points: NDArray[np.float64]
) -> None:
    """Enter a contour: from where on each row is within or not, and which centres lie on it."""
    rows, columns = path.shape
    ends = np.stack([points, np.roll(points, -1, axis=0)])
    order = np.argsort(ends[:, :, 1], axis=0)[:, :, None]
    (x0, y0), (x1, y1) = np.take_along_axis(ends, order, axis=0).transpose(0, 2, 1)
    first, last = np.maximum(np.ceil(y0), 0), np.minimum(np.floor(y1), rows - 1)
    flat = y0 == y1
    for y, one, other in zip(*(some[flat & (first <= last)] for some in (y0, x0, x1)), strict=True):
        low, high = int(np.ceil(min(one, other))), int(np.floor(max(one, other)))
        path[int(y), max(low, 0) : max(high + 1, 0)] = True
    count = np.where(flat, 0, np.maximum(last - first + 1, 0)).astype(int)
    side = np.repeat(np.arange(len(points)), count)  # of every crossing of a row
    y = first[side].astype(int) + np.arange(side.size) - np.repeat(count.cumsum() - count, count)
    x = x0[side] + (x1 - x0)[side] * ((y - y0[side]) / (y1 - y0)[side])
    whole = np.round(x)
    on = (np.abs(x - whole) <= _ON_CENTRE) & (whole >= 0) & (whole < columns)
    path[y[on], whole[on].astype(int)] = True
    above = y < y1[side]  # a corner belongs to the side that begins there
    begin = np.clip(np.ceil(x[above]), 0, columns).astype(int)
    np.logical_xor.at(crossed, (y[above], begin), True)


def _keyholes(rings: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Join holes to the outline around them, each by a channel straight up from its topmost point.

    Above that point the mask goes on to a corner of what bounds it there: of the outline, or of a
    hole that was joined before. The channel passes the centres on its way at a quarter of a pixel,
    for readers do not agree on what lies on a path.
    """
    outline = rings[0]
    for hole in sorted(rings[1:], key=lambda ring: float(ring[:, 1].min())):
        top = int(hole[:, 1].argmin())
        column, row = hole[top]
        above = np.flatnonzero((outline[:, 0] == column) & (outline[:, 1] < row))
        at = int(above[outline[above, 1].argmax()])
        rows = np.unique([np.ceil(outline[at, 1]), np.floor(row)])
        down = np.stack([np.full(rows.size, column + _BESIDE), rows], axis=1)
        turned = [hole[top:], hole[: top + 1]]
        outline = np.concatenate([outline[: at + 1], down, *turned, down[::-1], outline[at:]])
    return outline


def _corners(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """Leave out the points at which a contour goes straight on."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turn = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    straight = (np.abs(turn) < 1e-9) & ((before * after).sum(axis=1) > 0)
    corners: NDArray[np.float64] = ring[~straight]
    return corners
