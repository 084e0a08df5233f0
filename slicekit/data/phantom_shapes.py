"""Shapes that phantoms are made of: bent space, blobs, tubes and smooth random fields.

Lengths are millimetres of a nominal body that is 240 mm tall (z) and lies in a square of
384 mm (y, x); points and radii are in the order ``(z, y, x)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline, make_interp_spline
from scipy.spatial.transform import Rotation

Box = tuple[slice, slice, slice]
Point = tuple[float, float, float]
Field = NDArray[np.float32]

HEIGHT_MM = 240.0
WIDTH_MM = 384.0
FAR_MM = 1000.0
"""Depth written where a shape was not worked out because it is far away."""
RIM_MM = 8.0
"""How far around a shape its depth is worked out."""


@dataclass(frozen=True, eq=False)
class Space:
    """Where every voxel lies in the nominal body, bent by a smooth random warp."""

    z: Field
    """``(z, y, x)``: millimetres from the feet end."""
    y: Field
    """``(z, y, x)``: millimetres toward the back."""
    x: Field
    """``(z, y, x)``: millimetres toward the patient's left."""
    axes: tuple[Field, Field, Field]
    """The unbent coordinates along each axis, 1-D."""
    rough_mm: Field
    """``(z, y, x)``: fine unevenness for the surfaces of organs, deviation 1."""
    reach_mm: float
    """Largest distance by which the warp moves a point along one axis."""

    @classmethod
    def draw(
        cls, rng: np.random.Generator, shape: tuple[int, int, int], *, warp_mm: float
    ) -> Space:
        """Lay the nominal body over a grid and bend it by about ``warp_mm``."""
        spans = (HEIGHT_MM, WIDTH_MM, WIDTH_MM)
        starts = (0.0, -WIDTH_MM / 2, -WIDTH_MM / 2)
        z, y, x = (
            (start + (np.arange(count) + 0.5) / count * span).astype(np.float32)
            for count, span, start in zip(shape, spans, starts, strict=True)
        )
        bends = [smooth_field(rng, shape, (4, 7, 7)) * np.float32(warp_mm) for _ in range(3)]
        reach = max(float(np.abs(bend).max()) for bend in bends)
        return cls(
            z=bends[0] + z[:, None, None],
            y=bends[1] + y[:, None],
            x=bends[2] + x,
            axes=(z, y, x),
            rough_mm=smooth_field(rng, shape, (18, 32, 32)),
            reach_mm=reach,
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along ``(z, y, x)``."""
        z, y, x = (len(axis) for axis in self.axes)
        return z, y, x

    @property
    def step_mm(self) -> float:
        """Largest distance between neighbouring voxels."""
        return max(HEIGHT_MM / self.shape[0], WIDTH_MM / self.shape[1], WIDTH_MM / self.shape[2])

    def box(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> Box:
        """Find the voxels that may lie between two corners once space is bent."""
        limits = []
        for axis, start, stop in zip(self.axes, low, high, strict=True):
            first = int(np.searchsorted(axis, start - self.reach_mm))
            last = int(np.searchsorted(axis, stop + self.reach_mm, side="right"))
            limits.append(slice(min(first, len(axis)), max(first, last)))
        return limits[0], limits[1], limits[2]


@dataclass(frozen=True, eq=False)
class Patch:
    """A shape on the part of the grid that holds it."""

    box: Box
    """Where ``depth_mm`` lies on the grid."""
    depth_mm: Field
    """Distance to the surface, negative inside."""

    @property
    def inside(self) -> NDArray[np.bool_]:
        """The voxels of the shape, within the box."""
        return self.depth_mm < 0


def smooth_field(
    rng: np.random.Generator, shape: tuple[int, int, int], cells: tuple[int, int, int]
) -> Field:
    """Draw a smooth random field of mean about 0 and deviation 1.

    Args:
        rng: Where the randomness comes from.
        shape: Voxels along ``(z, y, x)``.
        cells: Cubic B-spline cells along ``(z, y, x)``; the fewer, the smoother.

    Returns:
        ``(z, y, x)`` float32.
    """
    field = rng.standard_normal([count + 3 for count in cells], dtype=np.float32)
    for axis, (size, count) in enumerate(zip(shape, cells, strict=True)):
        knots = np.arange(-3, count + 4, dtype=np.float64)
        places = (np.arange(size) + 0.5) / size * count
        basis = BSpline.design_matrix(places, knots, 3).toarray().astype(np.float32)
        field = np.moveaxis(np.tensordot(basis, field, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(field / max(float(field.std()), 1e-6))


def blob(space: Space, centre: Point, radii: Point, turn_deg: Point = (0.0, 0.0, 0.0)) -> Patch:
    """Make an ellipsoid.

    Args:
        space: The grid.
        centre: ``(z, y, x)`` in millimetres.
        radii: Half axes along ``(z, y, x)`` before turning.
        turn_deg: Turns about the three axes.
    """
    middle, half = np.array(centre), np.array(radii)
    turn = Rotation.from_rotvec(np.array(turn_deg), degrees=True).as_matrix()
    spread = np.sqrt(((turn * half) ** 2).sum(axis=1)) + RIM_MM
    box = space.box(middle - spread, middle + spread)
    # |diag(1 / half) turn' (p - middle)| without building the turned coordinates
    rows = (turn / half).T.astype(np.float32)
    along = [
        np.float32(value) - axis[box]
        for value, axis in zip(middle, (space.z, space.y, space.x), strict=True)
    ]
    radius = np.sqrt(sum((r[0] * along[0] + r[1] * along[1] + r[2] * along[2]) ** 2 for r in rows))
    return Patch(box, ((radius - 1.0) * np.float32(half.mean())).astype(np.float32))


def curve(points: Sequence[Point], count: int) -> NDArray[np.float64]:
    """Place ``count`` points on a smooth curve through ``points``: ``(count, 3)``."""
    nodes = np.array(points, dtype=np.float64)
    steps = np.linalg.norm(np.diff(nodes, axis=0), axis=1)
    at = np.concatenate([[0.0], np.cumsum(np.maximum(steps, 1e-3))])
    spline = make_interp_spline(at, nodes, k=min(3, len(nodes) - 1))
    return np.asarray(spline(np.linspace(0.0, at[-1], count)))


def tube(space: Space, points: Sequence[Point], radii: Sequence[float]) -> Patch:
    """Make a bent tube whose radius changes along its way.

    Args:
        space: The grid.
        points: Two or more ``(z, y, x)`` points that the middle line passes.
        radii: One radius a point.
    """
    length = float(np.linalg.norm(np.diff(np.array(points), axis=0), axis=1).sum())
    count = max(3, int(np.ceil(length / max(1.5, min(radii) / 3.0))))
    line = curve(points, count)
    widths = np.interp(np.linspace(0, 1, count), np.linspace(0, 1, len(radii)), radii)
    spread = widths[:, None] + RIM_MM
    box = space.box((line - spread).min(axis=0), (line + spread).max(axis=0))
    depth = np.full([part.stop - part.start for part in box], FAR_MM, dtype=np.float32)
    for middle, width in zip(line, widths, strict=True):
        here = space.box(middle - width - RIM_MM, middle + width + RIM_MM)
        z, y, x = (np.float32(value) for value in middle)
        away = np.sqrt(
            (space.z[here] - z) ** 2 + (space.y[here] - y) ** 2 + (space.x[here] - x) ** 2
        )
        target = depth[_within(here, box)]
        np.minimum(target, away - np.float32(width), out=target)
    return Patch(box, depth)


def union(*patches: Patch) -> Patch:
    """Join shapes into one."""
    box = _hull([patch.box for patch in patches])
    depth = np.full([part.stop - part.start for part in box], FAR_MM, dtype=np.float32)
    for patch in patches:
        target = depth[_within(patch.box, box)]
        np.minimum(target, patch.depth_mm, out=target)
    return Patch(box, depth)


def carve(patch: Patch, hole: Patch) -> Patch:
    """Take one shape out of another."""
    depth = np.full(patch.depth_mm.shape, -FAR_MM, dtype=np.float32)
    overlap = _slices(
        [max(a.start, b.start) for a, b in zip(patch.box, hole.box, strict=True)],
        [min(a.stop, b.stop) for a, b in zip(patch.box, hole.box, strict=True)],
    )
    if all(part.stop > part.start for part in overlap):
        depth[_within(overlap, patch.box)] = -hole.depth_mm[_within(overlap, hole.box)]
    return Patch(patch.box, np.maximum(patch.depth_mm, depth))


def roughen(patch: Patch, space: Space, *, by_mm: float) -> Patch:
    """Make a smooth surface uneven."""
    return Patch(patch.box, patch.depth_mm + np.float32(by_mm) * space.rough_mm[patch.box])


def _slices(starts: Sequence[int], stops: Sequence[int]) -> Box:
    z, y, x = (slice(start, stop) for start, stop in zip(starts, stops, strict=True))
    return z, y, x


def _within(inner: Box, outer: Box) -> Box:
    """Express a box relative to another that holds it."""
    origin = [part.start for part in outer]
    return _slices(
        [part.start - o for part, o in zip(inner, origin, strict=True)],
        [part.stop - o for part, o in zip(inner, origin, strict=True)],
    )


def _hull(boxes: Sequence[Box]) -> Box:
    return _slices(
        [min(box[axis].start for box in boxes) for axis in range(3)],
        [max(box[axis].stop for box in boxes) for axis in range(3)],
    )
