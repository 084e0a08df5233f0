"""The body that a phantom's organs lie in: skin, fat, muscle, bones, lungs and bowel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slicekit.data.phantom_anatomy import Anatomy
from slicekit.data.phantom_shapes import Box, Field, Patch, Space, blob, smooth_field, tube

AIR_HU = -1000.0
LUNG_HU = -840.0
FAT_HU = -105.0
MUSCLE_HU = 55.0
_VERTEBRA_MM = 32.0
_RIB_MM = 25.0
_MIDDLE_Y_MM = 8.0
_SPINE_Y_MM = 54.0


@dataclass(frozen=True, eq=False)
class Body:
    """A body without its organs, to be painted on; the arrays are meant to be changed."""

    hu: Field
    """``(z, y, x)`` intensities."""
    labels: NDArray[np.uint8]
    """``(z, y, x)`` organs painted so far."""
    inner_mm: Field
    """Distance to the inner side of the muscle wall, negative in the cavity."""
    dome_mm: Field
    """``(z, y, x)``: millimetres above the diaphragm, negative in the belly."""
    solid: NDArray[np.bool_]
    """Where no organ may go: bone and muscle."""

    def room(self, box: Box, *, thorax: bool = False) -> NDArray[np.bool_]:
        """Tell where in a box an organ may lie; above the diaphragm only with ``thorax``."""
        free = ~self.solid[box] & (self.inner_mm[box] < -1.5)
        return free if thorax else free & (self.dome_mm[box] < -3.0)

    def paint(self, patch: Patch, hu: float, *, solid: bool = False) -> None:
        """Paint a shape of one intensity into the cavity, or as bone or muscle."""
        if solid:
            here = patch.inside & (self.inner_mm[patch.box] < 60.0)
            self.solid[patch.box] |= here
        else:
            here = patch.inside & self.room(patch.box)
        self.hu[patch.box][here] = hu


def build_body(anatomy: Anatomy, space: Space, rng: np.random.Generator) -> Body:
    """Build everything around the organs of one patient."""
    unevenness = smooth_field(rng, space.shape, (4, 5, 5))
    depth = _body_depth(anatomy, space)
    fat = np.float32(anatomy.fat_mm) * (1 + np.float32(0.18) * unevenness)
    inner = depth + fat + np.float32(anatomy.wall_mm)
    hu = np.full(space.shape, AIR_HU, dtype=np.float32)
    inside = depth < 0
    hu[inside] = FAT_HU
    hu[inside & (depth > -2.0)] = 0.0
    wall = inside & (depth < -fat) & (inner > 0)
    hu[wall] = MUSCLE_HU
    hu[(inner > -1.5) & (inner <= 0)] = FAT_HU
    frac = np.clip(inner / np.float32(-50.0), 0.0, 1.0)
    dome = np.float32(anatomy.dome_mm) - 52 * (1 - frac) ** 2 - np.float32(0.12) * space.y
    body = Body(
        hu=hu,
        labels=np.zeros(space.shape, dtype=np.uint8),
        inner_mm=inner,
        dome_mm=space.z - dome,
        solid=wall,
    )
    _muscles(body, space, fat + depth)
    _lungs(body, space, rng)
    _ribs(body, anatomy, space)
    _spine(body, space, rng)
    _table(body, anatomy, space)
    return body


def _body_depth(anatomy: Anatomy, space: Space) -> Field:
    """Distance to the skin: an ellipse with a flattened back."""
    across = space.x / np.float32(anatomy.half_width_mm)
    along = (space.y - np.float32(_MIDDLE_Y_MM)) / np.float32(anatomy.half_depth_mm)
    mean = np.float32((anatomy.half_width_mm + anatomy.half_depth_mm) / 2)
    ellipse = (np.sqrt(across**2 + along**2) - 1) * mean
    back = (along - np.float32(0.93)) * np.float32(anatomy.half_depth_mm)
    # A smooth maximum: the larger one, rounded over 12 mm where they meet
    gap = np.sqrt((ellipse - back) ** 2 + 12.0**2)
    return np.asarray((ellipse + back + gap) / 2, dtype=np.float32)


def _muscles(body: Body, space: Space, under_skin: Field) -> None:
    """Paint the muscles beside and behind the spine."""
    for side in (-1.0, 1.0):
        psoas = [(-12.0, 46.0, 46 * side), (60.0, 50.0, 40 * side), (125.0, 54.0, 26 * side)]
        body.paint(tube(space, psoas, (24, 19, 8)), MUSCLE_HU, solid=True)
        back = [(-12.0, 86.0, 30 * side), (120.0, 84.0, 30 * side), (252.0, 80.0, 26 * side)]
        erector = tube(space, back, (25, 24, 18))
        here = erector.inside & (under_skin[erector.box] < 0)
        body.solid[erector.box] |= here
        body.hu[erector.box][here] = MUSCLE_HU


def _lungs(body: Body, space: Space, rng: np.random.Generator) -> None:
    """Fill the space above the diaphragm with lung, heart and the fat between."""
    top = space.box(np.array([95.0, -200, -200]), np.array([260.0, 200, 200]))
    chest = (body.inner_mm[top] < -1.0) & (body.dome_mm[top] > 0) & ~body.solid[top]
    middle = ((space.x[top] + 2) / 47) ** 2 + ((space.y[top] - 24) / 50) ** 2 < 1
    vessels = smooth_field(rng, space.shape, (40, 60, 60))[top]
    lung = chest & ~middle
    body.hu[top][lung] = LUNG_HU + 60 * np.maximum(vessels[lung] - 0.5, 0) ** 2 * 6
    rind = (body.dome_mm[top] > -3) & (body.dome_mm[top] <= 0) & (body.inner_mm[top] < 0)
    body.hu[top][rind & ~body.solid[top]] = MUSCLE_HU
    heart = blob(space, (252.0, -28.0, 26.0), (44.0, 42.0, 58.0), (20.0, 0.0, 0.0))
    pumping = heart.inside & (body.inner_mm[heart.box] < -2) & (body.dome_mm[heart.box] > 0)
    body.hu[heart.box][pumping & ~body.solid[heart.box]] = 48.0


def _ribs(body: Body, anatomy: Anatomy, space: Space) -> None:
    """Paint ribs into the wall: oblique bands, lower in front, ending at the costal margin."""
    band = np.abs(body.inner_mm - np.float32(anatomy.wall_mm / 2)) < max(4.0, space.step_mm / 2)
    at = np.nonzero(band & body.solid)
    z, y, x = space.z[at], space.y[at] - np.float32(_MIDDLE_Y_MM), space.x[at]
    angle = np.arctan2(np.abs(x), -y)  # 0 in front, pi behind
    phase = np.mod((z - 20 * angle) / _RIB_MM, 1.0)
    margin = 95 + 35 * (1 + np.cos(angle))
    bone = (np.abs(phase - 0.5) < 0.24) & (z > margin)
    core = np.abs(phase - 0.5) < 0.10
    values = np.where(angle < 0.7, 120.0, np.where(core, 330.0, 620.0))  # cartilage in front
    chosen = tuple(axis[bone] for axis in at)
    body.hu[chosen] = values[bone]


def _spine(body: Body, space: Space, rng: np.random.Generator) -> None:
    """Paint vertebral bodies, discs, the canal, arches and their processes."""
    box = space.box(np.array([-20.0, 30, -48]), np.array([260.0, 118, 48]))
    z, x = space.z[box], space.x[box]
    y = space.y[box] - np.float32(_SPINE_Y_MM)
    level = np.mod(z + np.float32(rng.uniform(0, _VERTEBRA_MM)), np.float32(_VERTEBRA_MM))
    hu, solid = body.hu[box], body.solid[box]
    centre = (np.sqrt((x / 22) ** 2 + (y / 17) ** 2) - 1) * 19
    spongy = 190 + 45 * smooth_field(rng, space.shape, (30, 50, 50))[box]
    bone = np.where((centre > -2.5) | (level < 8) | (level > 30), np.float32(420.0), spongy)
    disc = level < 6.5
    canal = np.sqrt((x / 10) ** 2 + ((y - 25) / 9) ** 2)
    arch = (canal < 1.65) & ~disc & (level < 28)
    spinous = (np.abs(x) < 4) & (y > 34) & (y < 52) & (level > 6) & (level < 24)
    transverse = (np.abs(x) < 40) & (np.abs(y - 20) < 4.5) & (level > 14) & (level < 23)
    processes = (arch | spinous | transverse) & (body.inner_mm[box] < 30)
    hu[processes] = np.float32(480.0)
    column = centre < 0
    hu[column] = np.where(disc, np.float32(85.0), bone)[column]
    hu[canal < 1] = np.float32(25.0)
    solid |= column | processes | (canal < 1)


def _table(body: Body, anatomy: Anatomy, space: Space) -> None:
    """Lay the body on the scanner's table: a thin bright shell in the air."""
    y, x = space.axes[1][:, None], space.axes[2]
    edge = anatomy.half_depth_mm * 0.93 + _MIDDLE_Y_MM + 14 - 0.0006 * x**2
    shell = np.abs(y - edge) < max(1.5, space.step_mm / 2)
    outside = body.hu < AIR_HU + 1
    body.hu[outside & shell] = -120.0


def add_bowel(body: Body, anatomy: Anatomy, space: Space, rng: np.random.Generator) -> None:
    """Paint colon, small bowel and mesenteric vessels: none of the thirteen organs.

    Args:
        body: The body, painted on.
        anatomy: The patient.
        space: The grid.
        rng: Where the loops lie and what is in them.
    """
    colon = [
        [(-12.0, 8.0, -100.0), (40.0, 6.0, -104.0), (88.0, -6.0, -98.0)],
        [(92.0, -20.0, -90.0), (78.0, -66.0, -30.0), (84.0, -66.0, 40.0), (120.0, -20.0, 104.0)],
        [(130.0, 6.0, 112.0), (70.0, 22.0, 108.0), (-12.0, 14.0, 100.0)],
    ]
    for way in colon:
        bumps = 17 + 4 * np.sin(np.arange(24) * 1.3) + rng.normal(0, 1, 24)
        _loop(body, anatomy, space, rng, tube(space, way, bumps.tolist()), gas=0.6)
    for _ in range(int(rng.integers(12, 18))):
        start = rng.uniform((-5, -62, -78), (86, 8, 78))
        steps = rng.normal(0, (14, 12, 24), size=(3, 3)).cumsum(axis=0)
        points = [start, *np.clip(start + steps, (-12, -70, -90), (96, 16, 90))]
        way = [(float(z), float(y), float(x)) for z, y, x in points]
        _loop(body, anatomy, space, rng, tube(space, way, (12, 13, 12, 11)), gas=0.15)
    for _ in range(22):
        start = rng.uniform((0, -50, -60), (120, 15, 60))
        end = start + rng.normal(0, (14, 12, 16))
        twig = [(float(z), float(y), float(x)) for z, y, x in (start, (start + end) / 2 + 3, end)]
        vessel = tube(space, twig, (2.6, 2.2, 1.8))
        body.paint(vessel, 40 + 100 * anatomy.contrast)


def _loop(
    body: Body,
    anatomy: Anatomy,
    space: Space,
    rng: np.random.Generator,
    patch: Patch,
    *,
    gas: float,
) -> None:
    """Paint one loop of bowel: wall, contents and, in some, gas that has risen to the front."""
    here = patch.inside & body.room(patch.box)
    lumen = here & (patch.depth_mm < -2.8)
    hu = body.hu[patch.box]
    hu[here] = 38 + 45 * anatomy.contrast
    full = rng.random() < 0.6
    hu[lumen] = anatomy.oral_contrast_hu if full else rng.uniform(0, 45)
    if lumen.any() and rng.random() < gas:
        low = 0.15 * rng.random()
        _fill_gas(hu, lumen, space.y[patch.box], share=low + 0.5 * rng.random())


def _fill_gas(hu: Field, lumen: NDArray[np.bool_], y: Field, *, share: float) -> None:
    """Let gas rise to the front of a lumen, up to a level in every slice."""
    for z in np.flatnonzero(lumen.any(axis=(1, 2))):
        inside = lumen[z]
        level = np.quantile(y[z][inside], share)
        hu[z][inside & (y[z] < level)] = -880.0


def fill_stomach(
    body: Body, anatomy: Anatomy, space: Space, rng: np.random.Generator, patch: Patch
) -> None:
    """Paint what a stomach holds: drink, food and a bubble of gas."""
    lumen = patch.inside & body.room(patch.box) & (patch.depth_mm < -4.0)
    if not lumen.any():
        return
    hu = body.hu[patch.box]
    food = smooth_field(rng, space.shape, (20, 30, 30))[patch.box]
    hu[lumen] = (anatomy.oral_contrast_hu + 12 * food)[lumen]
    _fill_gas(hu, lumen, space.y[patch.box], share=float(rng.uniform(0.0, 0.35)))
