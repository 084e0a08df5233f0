"""Tracks: one organ, its guides, and a few neighbouring slices through which it is followed.

What a propagator meets when it follows an organ inside a region of interest: one guide or two,
then slices in walking order, the first of which has a neighbour that was answered already, not
always well. In a share of the tracks the organ ends on the way.

Reference: STCN training (short clips, growing gaps); gaps in mm, regions, second guides, ending
organs and imperfect neighbours are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from slicekit.data.augment import Draw, Strength
from slicekit.data.clips import degrade
from slicekit.data.region import Region, box_of, union
from slicekit.data.slices import CachedScan, unit_slices
from slicekit.errors import DatasetError
from slicekit.labels import IGNORE_ID
from slicekit.recipes import TrackRecipe

_SMALLEST_GUIDE = 6
_TRIES = 2000
_CHANGE = Strength(angle_deg=20.0, scale=0.1, shift=0.0, bend_share=0.2)
UNKNOWN = 0.5
"""A neighbour's mask where nothing is known of it."""


@dataclass(frozen=True, eq=False)
class Track:
    """One organ followed through a region; guides first, then the slices in walking order."""

    slices: NDArray[np.float32]
    """``(2 + n, y, x)`` in ``[0, 1]``: both guides (the only one twice), then n slices."""
    guides: NDArray[np.float32]
    """``(2, y, x)``: the organ in the guides, 0 or 1, perhaps degraded."""
    neighbour: NDArray[np.float32]
    """``(y, x)``: the organ in the slice before the first of the n, perhaps wrong or unknown."""
    truth: NDArray[np.uint8]
    """``(n, y, x)``: 1 the organ, 0 not, ``IGNORE_ID`` where nobody knows."""
    organ: int
    """Its id in the scan's labels."""


@dataclass(frozen=True)
class _Place:
    """Where a track lies in a scan."""

    scan: CachedScan
    organ: int
    guides: tuple[int, int]
    before: int
    walk: tuple[int, ...]


class Tracks:
    """Draws tracks from labelled scans.

    A scan is drawn the more often the more slices of organs it holds (by the square root, so that
    one scan of a hundred structures does not drown the others).

    Args:
        scans: Labelled scans on one grid.
        recipe: Gaps and shares.
        spacing_mm: In-plane spacing of the grid.

    Raises:
        DatasetError: No scan holds a labelled organ.
    """

    def __init__(
        self, scans: Sequence[CachedScan], *, recipe: TrackRecipe, spacing_mm: float
    ) -> None:
        self.recipe, self.spacing_mm = recipe, spacing_mm
        self.scans = [scan for scan in scans if scan.slices_of]
        if not self.scans:
            raise DatasetError("no labelled organ to follow; the scans hold no labels")
        held = [sum(len(z) for z in scan.slices_of.values()) for scan in self.scans]
        self._weights = np.sqrt(held) / np.sqrt(held).sum()

    def draw(self, rng: np.random.Generator, *, size: int, slices: int) -> Track:
        """Draw one track of so many slices, seen with ``size`` pixels a side.

        Raises:
            DatasetError: No organ is large and long enough.
        """
        for _ in range(_TRIES):
            place = self._place(rng, slices)
            track = None if place is None else self._cut(place, rng, size=size)
            if track is not None:
                return track
        raise DatasetError(
            f"no organ of {len(self.scans)} scans is large and long enough to be followed: "
            f"it needs {_SMALLEST_GUIDE} pixels on the recipe's grid, and a slice beside it"
        )

    def _place(self, rng: np.random.Generator, slices: int) -> _Place | None:
        """Choose a scan, an organ, its guides and the slices to walk, or nothing in bad luck."""
        scan = self.scans[rng.choice(len(self.scans), p=self._weights)]
        organ = int(rng.choice(sorted(scan.slices_of)))
        held, last = scan.slices_of[organ], len(scan.slices) - 1
        way = int(rng.choice((-1, 1)))
        stride = max(1, round(rng.uniform(0.5, 1.5) * self.recipe.step_mm / scan.step_mm))
        reach = max(1, round(rng.uniform(*self.recipe.gap_mm) / scan.step_mm))
        if rng.random() < self.recipe.between_share:
            first = int(rng.choice(held))
            second = first + way * max(2, reach)
            if not 0 <= second <= last:
                return None
            if second not in held and rng.random() > self.recipe.ending_share:
                return None
            start = int(rng.integers(0, abs(second - first) - 1)) if rng.random() < 0.7 else 0
        else:
            first = int(rng.choice(held))
            start = int(rng.integers(0, reach)) if rng.random() < 0.6 else 0
            if rng.random() < self.recipe.ending_share:  # walk over the end, or just behind it
                end = int(held.max() if way > 0 else held.min())
                start = int(rng.integers(0, reach + 1))
                first = end - way * (start + stride * int(rng.integers(-2, slices)))
            if first not in held:
                return None
            second = first
        before = first + way * start
        walk = tuple(before + way * stride * n for n in range(1, slices + 1))
        if second != first:  # do not walk over the guide ahead
            stop = (second - before) * way
            stride = max(1, min(stride, (stop - 1) // len(walk)))
            walk = tuple(before + way * min(stride * n, stop - 1) for n in range(1, len(walk) + 1))
        if not all(0 <= z <= last for z in (before, *walk)):
            return None
        return _Place(scan, organ, (first, second), before, walk)

    def _cut(self, place: _Place, rng: np.random.Generator, *, size: int) -> Track | None:
        """Cut the region out, change it, and spoil what would be imperfect."""
        scan, recipe = place.scan, self.recipe
        if scan.labels is None:
            return None
        zs = [*place.guides, place.before, *place.walk]
        masks = scan.labels[zs]
        organ, unseen = masks == place.organ, (masks == IGNORE_ID).all(axis=(1, 2))
        if int(organ[0].sum()) < _SMALLEST_GUIDE or unseen[1] or unseen[3:].all():
            return None  # a slice nobody annotated can be no guide, and teaches nothing
        known = [box for mask in organ[:2] if (box := box_of(mask)) is not None]
        region = Region.around(
            union(known),
            spacing_mm=(self.spacing_mm, self.spacing_mm),
            margin=float(rng.uniform(*recipe.margin)),
            least_mm=recipe.least_mm,
            size=size,
            shift=tuple(rng.uniform(-recipe.shift, recipe.shift, size=2)),
        )
        images = np.clip(region.cut(unit_slices(scan.slices[zs])), 0.0, 1.0)
        state = organ.astype(np.float32)
        ignored = region.cut((masks == IGNORE_ID).astype(np.float32), fill=1.0) > 0.5
        shapes = (region.cut(state) > 0.5).astype(np.uint8)
        shapes[ignored] = IGNORE_ID
        images, shapes = _mirrored(images, shapes, rng)
        changed, moved = Draw.draw(rng, _CHANGE).apply(images, shapes)
        shapes = shapes if moved is None else moved
        plain = np.where(shapes == IGNORE_ID, 0, shapes).astype(np.uint8)
        if not plain[0].any():
            return None
        guides = [
            degrade(mask, rng) if rng.random() < recipe.degrade_share else mask
            for mask in plain[:2]
        ]
        if place.guides[0] == place.guides[1]:
            guides[1] = guides[0]
        near = plain[2].astype(np.float32)
        if place.before not in place.guides:
            ghost = not plain[2].any() and rng.random() < recipe.ghost_share
            near = spoil(plain[0] if ghost else plain[2], rng)
        if rng.random() < recipe.unknown_share or unseen[2]:
            near = np.full_like(near, UNKNOWN)
        return Track(
            np.concatenate([changed[:2], changed[3:]]),
            np.stack(guides).astype(np.float32),
            near,
            shapes[3:],
            place.organ,
        )


def _mirrored(
    images: NDArray[np.float32], masks: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Turn by quarters and mirror: an organ is followed by its looks, not by its side."""
    quarters, step = int(rng.integers(4)), int(rng.choice((-1, 1)))

    def turned(array: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(np.rot90(array, quarters, axes=(1, 2))[:, :, ::step])

    return turned(images), turned(masks)


def spoil(mask: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a mask as a propagator might have answered it: moved, grown, torn, uncertain.

    Args:
        mask: ``(y, x)`` of 0 and 1.
        rng: Randomness.

    Returns:
        ``(y, x)`` in [0, 1].
    """
    answer = mask
    for _ in range(int(rng.integers(0, 3))):
        answer = degrade(answer, rng)
    if rng.random() < 0.25:  # a bite, or a leak
        y, x = (int(v) for v in rng.integers(0, mask.shape[0], size=2))
        radius = int(rng.integers(3, mask.shape[0] // 8))
        blot = np.asarray(cv2.circle(np.zeros_like(mask), (x, y), radius, 1, -1), dtype=np.uint8)
        answer = (answer | blot) if rng.random() < 0.5 else answer * (1 - blot)
    soft: NDArray[np.float32] = answer.astype(np.float32)
    if rng.random() < 0.7:
        soft = cv2.GaussianBlur(soft, (0, 0), rng.uniform(0.7, 3.0)).astype(np.float32)
    return soft * np.float32(rng.uniform(0.7, 1.0))
