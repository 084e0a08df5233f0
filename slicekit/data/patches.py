"""Cubes cut out of cached scans at the recipe's spacing along all axes, and changes to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from slicekit.data.slices import CachedScan, crop_or_pad, unit_slices
from slicekit.labels import IGNORE_ID, LabelSet


def foreground_centre(scan: CachedScan, rng: np.random.Generator) -> tuple[int, int, int] | None:
    """Draw a voxel ``(z, y, x)`` of an organ: an organ first, so that small ones are seen."""
    if scan.labels is None or not scan.slices_of:
        return None
    organ = int(rng.choice(sorted(scan.slices_of)))
    z = int(rng.choice(scan.slices_of[organ]))
    inside = np.argwhere(scan.labels[z] == organ)
    y, x = inside[rng.integers(len(inside))]
    return z, int(y), int(x)


def any_centre(scan: CachedScan, rng: np.random.Generator) -> tuple[int, int, int]:
    """Draw any voxel ``(z, y, x)``."""
    z, y, x = (int(rng.integers(side)) for side in scan.slices.shape)
    return z, y, x


def cut_patch(
    scan: CachedScan,
    centre: tuple[int, int, int],
    size: tuple[int, int, int],
    *,
    spacing_mm: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Cut a cube out of a scan whose slices lie on the recipe's grid already.

    Between slices intensities are interpolated, labels taken from the nearest one.

    Args:
        scan: Slices ``spacing_mm`` a pixel, any distance apart.
        centre: ``(z, y, x)`` that the cube holds; its slice is the middle one, of an even number
            the upper of both.
        size: Voxels ``(z, y, x)``.
        spacing_mm: Of a voxel, along all axes.
        rng: Where in the plane the cube lies about its centre.

    Returns:
        ``size`` in ``[0, 1]``, and ids; outside of the scan 0 and ``IGNORE_ID``.
    """
    count, step = len(scan.slices), spacing_mm / scan.step_mm
    at = centre[0] + (np.arange(size[0]) - size[0] // 2) * step
    outside = (at < -0.5) | (at > count - 0.5)
    at = np.clip(at, 0, count - 1)
    below = np.floor(at).astype(int)
    above = np.minimum(below + 1, count - 1)
    low, high = int(below.min()), int(above.max()) + 1
    masks = (
        np.zeros((high - low, *scan.slices.shape[1:]), np.uint8)
        if scan.labels is None
        else np.asarray(scan.labels[low:high])
    )
    image, mask = crop_or_pad(
        [scan.slices[low:high], masks], size[1:], fills=[0, IGNORE_ID], rng=rng, about=centre[1:]
    )
    image = unit_slices(image)
    share = (at - below).astype(np.float32)[:, None, None]
    solid = image[below - low] * (1 - share) + image[above - low] * share
    ids = mask[np.floor(at + 0.5).astype(int) - low]  # rint would skip every other slice
    solid[outside], ids[outside] = 0.0, IGNORE_ID
    return solid.astype(np.float32, copy=False), ids


@dataclass(frozen=True)
class PatchDraw:
    """One drawn change of a cube; ``apply`` is deterministic.

    Reference: Gao et al. (FLARE22), section 3.2; their noise of up to the whole range of
    intensities is a tenth of it here, and a flip along x exchanges left and right organs.
    """

    flip_y: bool
    flip_x: bool
    soften: float
    noise: float
    gamma: float
    offset: float
    seed: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> PatchDraw:
        """Draw a change."""

        def seldom(low: float, high: float, otherwise: float) -> float:
            value = float(rng.uniform(low, high))
            return value if rng.random() < 0.1 else otherwise

        return cls(
            flip_y=bool(rng.random() < 0.2),
            flip_x=bool(rng.random() < 0.2),
            soften=seldom(0.5, 1.15, 0.0),
            noise=seldom(0.0, 0.1, 0.0),
            gamma=seldom(0.5, 2.5, 1.0),
            offset=seldom(0.0, 0.3, 0.0),
            seed=int(rng.integers(2**31)),
        )

    def apply(
        self,
        image: NDArray[np.float32],  # (z, y, x) in [0, 1]
        mask: NDArray[np.uint8],  # (z, y, x)
        known: NDArray[np.bool_],  # (classes,) which ones somebody annotated
        *,
        labels: LabelSet,
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.bool_]]:
        """Change a cube, its labels, and what is known of which organ, in the same way."""
        if self.flip_y:
            image, mask = image[:, ::-1], mask[:, ::-1]
        if self.flip_x:
            image, mask = image[:, :, ::-1], labels.swap_sides(mask[:, :, ::-1])
            known = labels.swap_known(known)
        if self.soften:
            image = ndimage.gaussian_filter(image, self.soften)
        changed = np.clip(image, 0.0, 1.0) ** np.float32(self.gamma) + np.float32(self.offset)
        if self.noise:
            rng = np.random.default_rng(self.seed)
            changed = changed + self.noise * rng.standard_normal(image.shape, dtype=np.float32)
        within = np.clip(changed, 0.0, 1.0).astype(np.float32, copy=False)
        return np.ascontiguousarray(within), np.ascontiguousarray(mask), known


def draw_patches(
    scans: Sequence[CachedScan],
    count: int,
    size: tuple[int, int, int],
    *,
    spacing_mm: float,
    rng: np.random.Generator,
) -> list[tuple[NDArray[np.float32], NDArray[np.uint8], CachedScan]]:
    """Draw cubes, every other one centred on an organ, and the scan of each.

    Reference: Gao et al. (FLARE22): half of the patches are centred on the foreground.
    """
    found = []
    for number in range(count):
        scan = scans[int(rng.integers(len(scans)))]
        centre = foreground_centre(scan, rng) if number % 2 == 0 else None
        cube = cut_patch(
            scan, centre or any_centre(scan, rng), size, spacing_mm=spacing_mm, rng=rng
        )
        found.append((*cube, scan))
    return found
