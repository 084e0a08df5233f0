"""Shape interpolation between drawn slices: no network, no weights.

The signed distance to a shape's outline is interpolated linearly between two drawn slices; beyond
the outermost ones the shape shrinks as the cap of a ball does. It is the control beside every
propagation, and what is left where no model fits.

Reference: Raya and Udupa 1990, "Shape-based interpolation of multidimensional objects"; the caps
are ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from slicekit.data.region import box_of, union
from slicekit.inference.stretch import Task

_TRUSTED_MM = 30.0


class Outline(NamedTuple):
    """One object in one slice."""

    z: int
    box: tuple[int, int, int, int]
    """Rows and columns ``(y0, y1, x0, x1)`` that ``inside`` covers."""
    plane: NDArray[np.uint8]
    """``(y, x)`` of the box: above one half of 255 inside, 255 a pixel or more from the outline."""
    doubt: float
    """How likely the mask is wrong, 0 to 1: it grows with the distance to what was drawn."""

    @property
    def nbytes(self) -> int:
        """Bytes of the plane."""
        return self.plane.nbytes

    def paste(self, shape: tuple[int, int]) -> tuple[tuple[slice, slice], NDArray[np.uint8]]:
        """Return rows and columns of a slice of ``shape``, and the plane."""
        y0, y1, x0, x1 = self.box
        return (slice(y0, y1), slice(x0, x1)), self.plane


def interpolate(task: Task, *, spacing_mm: tuple[float, float, float]) -> Iterator[Outline]:
    """Answer the slices of one gap.

    Between two drawn slices that show the object, distances are interpolated. Towards a slice that
    is drawn empty, or beyond the last one, the object shrinks like a ball of its own width, and
    faster where the empty slice is nearer, or half the way to the next drawn slice inwards (but
    not to less than half of such a ball).

    Args:
        task: The slices, and what is drawn at their ends.
        spacing_mm: Along ``(z, y, x)``.

    Returns:
        The slices that still hold the object, rising.
    """
    gap, guides = task.gap, task.guides
    ends = [z for z in (gap.left, gap.right) if z is not None]
    boxes = [box for z in ends if (box := box_of(guides[z])) is not None]
    if not boxes or not gap.slices:
        return
    box = _wider(union(boxes), guides[ends[0]].shape)
    step_mm, in_plane = spacing_mm[0], spacing_mm[1:]
    distances = {z: signed_distance(_cut(guides[z], box), in_plane) for z in ends}
    shown = [z for z in ends if guides[z].any()]
    for z in gap.slices:
        if len(shown) == 2:
            share = (z - ends[0]) / (ends[1] - ends[0])
            inside = (1 - share) * distances[ends[0]] + share * distances[ends[1]]
        else:
            start = shown[0]
            far = [abs(end - start) * step_mm for end in ends if end != start]
            near_mm = max((task.reach + 0.5) * step_mm, float(distances[start].max()) / 2)
            gone_mm = far[0] if far else near_mm
            inside = _cap(distances[start], abs(z - start) * step_mm, gone_mm)
        if (inside > 0).any():
            away_mm = min(abs(z - end) for end in shown) * step_mm
            soft = np.clip(inside / max(in_plane), -1, 1) * 127.5 + 127.5
            plane = np.where(inside > 0, np.maximum(np.rint(soft), 128), np.minimum(soft, 127))
            doubt = 1 - math.exp(-away_mm / _TRUSTED_MM)
            yield Outline(z, box, plane.astype(np.uint8), doubt)


def signed_distance(
    mask: NDArray[np.bool_],  # (y, x)
    spacing_mm: tuple[float, ...],
) -> NDArray[np.float32]:
    """Return the distance to the outline in mm, positive inside, half a pixel off at its pixels.

    A mask that fills the slice ends at the slice's edge.
    """
    half = min(spacing_mm) / 2
    if mask.all():
        return signed_distance(np.pad(mask, 1), spacing_mm)[1:-1, 1:-1]
    inside = ndimage.distance_transform_edt(mask, sampling=spacing_mm)
    outside = ndimage.distance_transform_edt(~mask, sampling=spacing_mm)
    signed = np.where(mask, inside - half, half - outside)
    return np.asarray(signed, dtype=np.float32)


def _cap(distance: NDArray[np.float32], away_mm: float, gone_mm: float) -> NDArray[np.float32]:
    """Shrink a shape as a ball shrinks from its equator to its pole."""
    radius = float(distance.max())
    height = min(radius, gone_mm)
    share = min(1.0, away_mm / height) if height > 0 else 1.0
    return distance - np.float32(radius * (1 - math.sqrt(1 - share * share)))


def _wider(box: tuple[int, int, int, int], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Leave a margin of one pixel, so that an outline is never cut off, inside the slice."""
    y0, y1, x0, x1 = box
    return max(0, y0 - 1), min(shape[0], y1 + 1), max(0, x0 - 1), min(shape[1], x1 + 1)


def _cut(plane: NDArray[Any], box: tuple[int, int, int, int]) -> NDArray[Any]:
    y0, y1, x0, x1 = box
    return plane[y0:y1, x0:x1]
