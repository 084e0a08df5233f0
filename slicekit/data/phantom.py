"""A made-up abdomen: a CT-like torso with thirteen organs, drawn from a random generator.

For trying every part of the tool without a patient's data. Each draw is another patient:
organs differ in place, size, turn and shape, contrast agent was given or not, stomach and
bowel hold water, contrast agent or gas.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from slicekit.data.phantom_anatomy import (
    PAINT_ORDER,
    PHANTOM_LABELS,
    Anatomy,
    organ_shape,
)
from slicekit.data.phantom_body import FAT_HU, Body, add_bowel, build_body, fill_stomach
from slicekit.data.phantom_shapes import (
    HEIGHT_MM,
    WIDTH_MM,
    Field,
    Patch,
    Point,
    Space,
    roughen,
    smooth_field,
    tube,
)
from slicekit.errors import GeometryError, ShapeError
from slicekit.volume import Volume

__all__ = ["PHANTOM_LABELS", "SMALLEST_SHAPE", "Phantom", "make_phantom"]

SMALLEST_SHAPE = (16, 48, 48)
"""Voxels along ``(z, y, x)`` below which thirteen organs do not fit."""
_HALO_MM = {
    "right_kidney": 4.0,
    "left_kidney": 4.0,
    "pancreas": 2.0,
    "aorta": 1.5,
    "right_adrenal_gland": 2.5,
    "left_adrenal_gland": 2.5,
}
_ROUGH_MM = {"liver": 1.0, "spleen": 0.8, "stomach": 2.0, "pancreas": 2.2, "gallbladder": 0.8}
_IN_THORAX = ("aorta", "esophagus", "inferior_vena_cava")
_LIVER_VEINS: tuple[tuple[Point, ...], ...] = (
    ((204, 6, -26), (186, -14, -62), (162, -24, -98)),
    ((204, 4, -26), (184, -34, -44), (158, -56, -60)),
    ((202, 2, -22), (190, -36, -4), (176, -56, 26)),
    ((148, -16, -40), (152, 4, -76), (146, 14, -104)),
    ((150, -16, -40), (166, -40, -24), (172, -58, 10)),
)


@dataclass(frozen=True)
class Phantom:
    """A made-up scan and the organs in it, on one grid."""

    image: Volume
    """``(z, y, x)`` int16, HU."""
    labels: Volume
    """``(z, y, x)`` uint8, ids of ``PHANTOM_LABELS``."""


def make_phantom(
    rng: np.random.Generator,
    *,
    shape: tuple[int, int, int] = (80, 256, 256),
    spacing_mm: tuple[float, float, float] = (3.0, 1.5, 1.5),
) -> Phantom:
    """Draw a patient and scan it.

    The body always fills the grid: 80 x 256 x 256 voxels of 3 x 1.5 x 1.5 mm make an adult,
    fewer or smaller voxels a smaller one. ``z`` grows toward the head, ``y`` toward the back,
    ``x`` toward the patient's left.

    Args:
        rng: Where all randomness comes from; one state always gives the same bytes.
        shape: Voxels along ``(z, y, x)``, at least ``SMALLEST_SHAPE``.
        spacing_mm: Voxel size along ``(z, y, x)``.

    Returns:
        Image and labels. Every organ of ``PHANTOM_LABELS`` has voxels, in one piece.

    Raises:
        ShapeError: ``shape`` is too small for the organs.
        GeometryError: A spacing is not a number above 0.

    Example:
        >>> phantom = make_phantom(np.random.default_rng(0), shape=(16, 48, 48))
        >>> np.unique(phantom.labels.array).size
        14
    """
    if len(shape) != 3 or any(n < low for n, low in zip(shape, SMALLEST_SHAPE, strict=True)):
        raise ShapeError(
            f"a phantom needs at least {SMALLEST_SHAPE} voxels (z, y, x), got {tuple(shape)}"
        )
    if len(spacing_mm) != 3 or not all(np.isfinite(s) and s > 0 for s in spacing_mm):
        raise GeometryError(f"spacing_mm must be three numbers above 0, got {spacing_mm}")
    anatomy = Anatomy.draw(rng)
    space = Space.draw(rng, shape, warp_mm=3.0)
    body = build_body(anatomy, space, rng)
    add_bowel(body, anatomy, space, rng)
    for organ in PAINT_ORDER:
        _add_organ(organ, body, anatomy, space, rng)
    _keep_largest_parts(body)
    affine = _affine(shape, spacing_mm)
    return Phantom(
        image=Volume(_scan(body, anatomy, space, rng), affine),
        labels=Volume(body.labels, affine),
    )


def _affine(
    shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Map ``(z, y, x)`` to RAS+ millimetres, the middle of the grid being the origin."""
    columns = np.zeros((4, 4))
    columns[2, 0] = spacing_mm[0]  # z: toward the head
    columns[1, 1] = -spacing_mm[1]  # y: toward the back
    columns[0, 2] = -spacing_mm[2]  # x: toward the left
    columns[3, 3] = 1.0
    middle = (np.array(shape) - 1) / 2
    columns[:3, 3] = -columns[:3, :3] @ middle
    return columns


def _add_organ(
    organ: str, body: Body, anatomy: Anatomy, space: Space, rng: np.random.Generator
) -> None:
    """Paint one organ, its label and the fat around it."""
    patch = organ_shape(organ, anatomy, space)
    if organ in _ROUGH_MM:
        patch = roughen(patch, space, by_mm=_ROUGH_MM[organ])
    room = body.room(patch.box, thorax=organ in _IN_THORAX)
    hu, labels = body.hu[patch.box], body.labels[patch.box]
    halo = room & (patch.depth_mm < _HALO_MM.get(organ, 0.0))
    hu[halo] = FAT_HU
    labels[halo] = 0
    here = room & patch.inside
    labels[here] = PHANTOM_LABELS.id_of(organ)
    hu[here] = anatomy.hu(organ)
    if organ == "stomach":
        fill_stomach(body, anatomy, space, rng, patch)
    elif organ == "liver":
        _add_liver_veins(body, anatomy, space)
    elif organ.endswith("kidney"):
        _add_cortex(body, anatomy, space, rng, patch, here)
    elif organ == "esophagus" and rng.random() < 0.5:
        hu[here & (patch.depth_mm < -6.0)] = -500.0


def _add_cortex(
    body: Body,
    anatomy: Anatomy,
    space: Space,
    rng: np.random.Generator,
    patch: Patch,
    here: NDArray[np.bool_],
) -> None:
    """Darken the pyramids inside a kidney's brighter cortex."""
    lobes = smooth_field(rng, space.shape, (18, 28, 28))[patch.box]
    pyramids = here & (patch.depth_mm + 2.5 * lobes < -8.0)
    body.hu[patch.box][pyramids] -= 6 + 45 * anatomy.contrast


def _add_liver_veins(body: Body, anatomy: Anatomy, space: Space) -> None:
    """Paint the large veins inside the liver; they belong to it."""
    dz, dy, dx = anatomy.shifts["liver"]
    brighter = 42 * anatomy.contrast if anatomy.contrast else -14.0
    for way in _LIVER_VEINS:
        vein = tube(space, [(z + dz, y + dy, x + dx) for z, y, x in way], (4.5, 3.6, 2.2))
        here = vein.inside & (body.labels[vein.box] == PHANTOM_LABELS.id_of("liver"))
        body.hu[vein.box][here] = anatomy.hu("liver") + brighter


def _keep_largest_parts(body: Body) -> None:
    """Turn what was cut off an organ by its neighbours into fat."""
    for number, box in enumerate(ndimage.find_objects(body.labels), start=1):
        here = body.labels[box] == number
        parts, count = ndimage.label(here, structure=np.ones((3, 3, 3)))
        if count > 1:
            lost = here & (parts != np.bincount(parts.ravel())[1:].argmax() + 1)
            body.labels[box][lost] = 0
            body.hu[box][lost] = FAT_HU


def _scan(
    body: Body, anatomy: Anatomy, space: Space, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Add texture, partial volume and the scanner's noise: ``(z, y, x)`` int16 HU."""
    hu = body.hu
    in_body = hu > -200
    fine = smooth_field(rng, space.shape, (36, 72, 72))
    coarse = smooth_field(rng, space.shape, (14, 24, 24))
    streaks = np.maximum(fine + coarse - 2.2, 0) * 38  # strands in the fat
    texture = np.where(hu < -60, streaks + 5 * coarse, 3 * coarse + 2 * fine)
    hu += np.where(in_body, texture, np.float32(0))
    blur_mm = 0.9
    sigmas = (
        0.35,
        blur_mm / (WIDTH_MM / space.shape[1]),
        blur_mm / (WIDTH_MM / space.shape[2]),
    )
    ndimage.gaussian_filter(hu, sigmas, output=hu)
    hu += _noise(space, rng, anatomy.noise_hu)
    return np.clip(np.rint(hu), -1024, 1800).astype(np.int16)


def _noise(space: Space, rng: np.random.Generator, deviation_hu: float) -> Field:
    """Draw noise whose grains are a little larger than a pixel, as a scanner's are."""
    white = rng.standard_normal(space.shape, dtype=np.float32)
    grains = ndimage.gaussian_filter(white, (0.3 * 3.0 / (HEIGHT_MM / space.shape[0]), 0.7, 0.7))
    return np.asarray(grains * np.float32(deviation_hu / grains.std()), dtype=np.float32)
