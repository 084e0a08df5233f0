"""Where the organs of a phantom lie, how large they are and how bright.

Positions are ``(z, y, x)`` millimetres in the nominal body of ``phantom_shapes``: z toward
the head, y toward the back, x toward the patient's left, (y, x) from the middle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from slicekit.data.phantom_shapes import Patch, Point, Space, blob, carve, tube, union
from slicekit.labels import LabelSet

PHANTOM_LABELS = LabelSet(
    {
        "spleen": 1,
        "right_kidney": 2,
        "left_kidney": 3,
        "gallbladder": 4,
        "esophagus": 5,
        "liver": 6,
        "stomach": 7,
        "aorta": 8,
        "inferior_vena_cava": 9,
        "portal_splenic_vein": 10,
        "pancreas": 11,
        "right_adrenal_gland": 12,
        "left_adrenal_gland": 13,
    }
)
"""The thirteen organs of a phantom, with the ids of the abdominal CT benchmark."""

PAINT_ORDER = (
    "liver",
    "spleen",
    "stomach",
    "right_kidney",
    "left_kidney",
    "pancreas",
    "portal_splenic_vein",
    "inferior_vena_cava",
    "aorta",
    "gallbladder",
    "esophagus",
    "right_adrenal_gland",
    "left_adrenal_gland",
)
"""Where two shapes meet, the later one keeps the voxel: small organs are never swallowed."""

PLAIN_HU: dict[str, float] = {
    "spleen": 48,
    "right_kidney": 31,
    "left_kidney": 31,
    "gallbladder": 8,
    "esophagus": 36,
    "liver": 56,
    "stomach": 36,
    "aorta": 40,
    "inferior_vena_cava": 38,
    "portal_splenic_vein": 39,
    "pancreas": 36,
    "right_adrenal_gland": 22,
    "left_adrenal_gland": 22,
}
"""Mean intensity without contrast agent."""
PORTAL_HU: dict[str, float] = {
    "spleen": 118,
    "right_kidney": 170,
    "left_kidney": 170,
    "gallbladder": 10,
    "esophagus": 62,
    "liver": 108,
    "stomach": 75,
    "aorta": 150,
    "inferior_vena_cava": 128,
    "portal_splenic_vein": 160,
    "pancreas": 92,
    "right_adrenal_gland": 68,
    "left_adrenal_gland": 68,
}
"""Mean intensity in the portal venous phase."""


@dataclass(frozen=True)
class Anatomy:
    """One drawn patient; every length in millimetres of the nominal body."""

    half_width_mm: float
    half_depth_mm: float
    fat_mm: float
    """Thickness of the fat under the skin."""
    wall_mm: float
    """Thickness of the muscle wall."""
    dome_mm: float
    """Height of the diaphragm's top."""
    contrast: float
    """0 without contrast agent, about 1 in the portal venous phase."""
    oral_contrast_hu: float
    """Brightness of what was drunk: water to bright contrast agent."""
    noise_hu: float
    """Deviation of the scanner's noise."""
    shifts: Mapping[str, Point]
    """How far each organ lies from its usual place."""
    sizes: Mapping[str, float]
    """How large each organ is, 1 being usual."""
    turns_deg: Mapping[str, Point]
    """How each organ is turned."""
    offsets_hu: Mapping[str, float]
    """How much brighter than usual each organ is."""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Anatomy:
        """Draw a patient."""
        fat = float(rng.uniform(8.0, 26.0))
        height = float(rng.normal(0.0, 5.0))  # all organs ride up or down together
        shifts, sizes, turns, offsets = {}, {}, {}, {}
        for name in PHANTOM_LABELS.names:
            z, y, x = rng.normal(0.0, (3.0, 2.0, 2.5))
            shifts[name] = (height + float(z), float(y), float(x))
            sizes[name] = float(np.clip(rng.normal(1.0, 0.07), 0.85, 1.15))
            a, b, c = rng.normal(0.0, 8.0, size=3)
            turns[name] = (float(a), float(b), float(c))
            offsets[name] = float(rng.normal(0.0, 4.0))
        enhanced = rng.random() < 0.75
        return cls(
            half_width_mm=float(rng.uniform(142.0, 158.0)) + fat / 2,
            half_depth_mm=float(rng.uniform(102.0, 114.0)) + fat / 2,
            fat_mm=fat,
            wall_mm=float(rng.uniform(8.0, 13.0)),
            dome_mm=212.0 + height,
            contrast=float(rng.uniform(0.7, 1.2)) if enhanced else 0.0,
            oral_contrast_hu=float(rng.choice([10.0, 25.0, 180.0, 280.0])),
            noise_hu=float(rng.uniform(6.0, 14.0)),
            shifts=shifts,
            sizes=sizes,
            turns_deg=turns,
            offsets_hu=offsets,
        )

    def hu(self, organ: str) -> float:
        """Return an organ's mean intensity in this patient and phase."""
        plain = PLAIN_HU[organ]
        return plain + self.contrast * (PORTAL_HU[organ] - plain) + self.offsets_hu[organ]


def organ_shape(organ: str, anatomy: Anatomy, space: Space) -> Patch:
    """Build one organ of one patient on a grid.

    Args:
        organ: A name of ``PHANTOM_LABELS``.
        anatomy: The patient.
        space: The grid. Organs thinner than a voxel are thickened until they show.
    """
    shift = anatomy.shifts[organ]
    room = anatomy.half_width_mm - anatomy.fat_mm - anatomy.wall_mm - 132.0
    least = 0.9 * space.step_mm  # a ball this large holds a voxel wherever it lies

    def at(z: float, y: float, x: float) -> Point:
        return z + shift[0], y + shift[1], x + shift[2]

    def size(*radii: float) -> tuple[float, ...]:
        return tuple(max(radius * anatomy.sizes[organ], least) for radius in radii)

    def lump(centre: Point, rz: float, ry: float, rx: float) -> Patch:
        z, y, x = size(rz, ry, rx)
        return blob(space, centre, (z, y, x), anatomy.turns_deg[organ])

    if organ == "liver":
        right = lump(at(160, -16, -76 - 0.7 * room), 66, 72, 62)
        left = lump(at(176, -50, -4), 36, 34, 68)
        bare = blob(space, at(136, 48, -28), (58, 27, 26))  # beside the spine, behind the cava
        return carve(union(right, left), bare)
    if organ == "spleen":
        whole = lump(at(162, 36, 100 + room), 50, 46, 30)
        return carve(whole, blob(space, at(160, 14, 64 + room), (26, 22, 22)))
    if organ == "stomach":
        way = [
            at(192, 14, 72),
            at(170, -14, 74),
            at(142, -42, 52),
            at(126, -48, 18),
            at(126, -38, -12),
        ]
        return tube(space, way, size(31, 30, 22, 17, 11))
    if organ in ("right_kidney", "left_kidney"):
        side = -1.0 if organ == "right_kidney" else 1.0
        centre = at(96, 46, -58) if side < 0 else at(106, 44, 60)
        z, y, x = size(52, 25, 28)
        tilt = (25.0 * side, 0.0, 0.0)
        whole = blob(space, centre, (z, y, x), tilt)
        hilum = (centre[0], centre[1] - 12.0, centre[2] - side * 27.0)
        return carve(whole, blob(space, hilum, (15.0, 14.0, 17.0)))
    if organ == "gallbladder":
        return lump(at(122, -46, -52), 26, 17, 14)
    if organ == "esophagus":
        way = [at(252, 26, 6), at(222, 24, 10), at(204, 16, 20), at(194, 8, 40)]
        return tube(space, way, size(9, 9, 10, 10))
    if organ == "aorta":
        way = [at(-12, 26, 6), at(60, 28, 9), at(130, 30, 10), at(190, 36, 16), at(252, 40, 24)]
        return tube(space, way, size(9.5, 10, 11, 12, 13))
    if organ == "inferior_vena_cava":
        way = [
            at(-12, 30, -18),
            at(70, 29, -23),
            at(140, 22, -26),
            at(190, 10, -26),
            at(214, 4, -24),
        ]
        return tube(space, way, size(11, 12, 12.5, 13, 13))
    return _small_organ(organ, anatomy, space, least)


def _small_organ(organ: str, anatomy: Anatomy, space: Space, least: float) -> Patch:
    """Build the pancreas, its vein, or an adrenal gland."""
    size, (dz, dy, dx) = anatomy.sizes[organ], anatomy.shifts[organ]

    def way(*points: Point) -> list[Point]:
        return [(z + dz, y + dy, x + dx) for z, y, x in points]

    def wide(*radii: float) -> list[float]:
        return [max(radius * size, least) for radius in radii]

    if organ == "pancreas":
        points = way((96, -2, -26), (112, -8, -24), (126, -16, 4), (134, -6, 38), (146, 18, 78))
        return tube(space, points, wide(11, 15, 10, 12, 11))
    if organ == "portal_splenic_vein":
        points = way((148, 22, 80), (136, 8, 40), (124, -2, 4), (128, -6, -16), (150, -16, -40))
        return tube(space, points, wide(5, 5.5, 7, 7.5, 7))
    (z, y, x), lean = ((154, 35, -36), -8.0) if organ.startswith("right") else ((146, 29, 37), 8.0)
    tall, deep, thick = wide(15, 12, 2.8)
    limbs = [
        blob(space, (z + dz, y + dy, x + dx + side * 5.0), (tall, deep, thick), turn)
        for side, turn in ((-1.0, (lean - 24.0, 0.0, 0.0)), (1.0, (lean + 24.0, 0.0, 0.0)))
    ]
    return union(*limbs)
