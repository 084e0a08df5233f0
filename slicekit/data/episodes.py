"""Episodes for few-shot training: a region of an unlabelled slice plays the organ.

Support and query are two changed copies of one slice, or of two slices that lie next to each
other. Regions are cut once a scan and kept: two bytes a pixel whatever the number of levels, and
a table of two bytes a region and level.

Reference: Ouyang et al. 2020, section 3.2; the hierarchy of regions and the neighbours are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slicekit.checks import expect_shape
from slicekit.data.augment import Draw
from slicekit.data.slices import CachedScan, crop_or_pad, unit_slices
from slicekit.errors import DatasetError
from slicekit.labels import IGNORE_ID
from slicekit.recipes import FewShotRecipe
from slicekit.superpixels.body import foreground
from slicekit.superpixels.iterative import slic
from slicekit.superpixels.merging import merge

ATTEMPTS = 500
"""Draws after which it is clear that no region has a size that is allowed."""
LEAST_OVERLAP = 0.5
"""Dice of the regions of two neighbouring slices that are taken for one thing."""
_MOST_REGIONS = np.iinfo(np.uint16).max

Cut = Callable[[NDArray[np.float32], NDArray[np.bool_]], Sequence[NDArray[Any]]]
"""From slices ``(z, y, x)`` in ``[0, 1]`` and their foreground to regions: ``(z, y, x)`` ids, 0
outside, one array a level; the first is the finest, and the others are made of its regions."""


@dataclass(frozen=True, eq=False)
class Regions:
    """The regions of a scan, at one level or several."""

    finest: NDArray[np.uint16]
    """``(z, y, x)`` ids, 0 where there is no region."""
    joined: NDArray[np.uint16]
    """``(levels, z, ids)``: in which region of a level one of the finest lies."""

    @classmethod
    def of(cls, levels: Sequence[NDArray[Any]]) -> Regions:
        """Pack levels as ``Cut`` gives them.

        Raises:
            ShapeError: The levels differ in shape.
            ValueError: A slice has more regions than two bytes can count.
        """
        first = np.asarray(levels[0])
        most = max(int(level.max(initial=0)) for level in levels)
        if most > _MOST_REGIONS:
            raise ValueError(f"a slice has {most} regions, at most {_MOST_REGIONS} can be kept")
        joined = np.zeros((len(levels), len(first), int(first.max(initial=0)) + 1), np.uint16)
        for number, level in enumerate(levels):
            expect_shape("a level of regions", level, " ".join(map(str, first.shape)))
            for z, plane in enumerate(level):
                joined[number, z, first[z].ravel()] = plane.ravel()
        joined[:, :, 0] = 0
        return cls(first.astype(np.uint16), joined)

    @property
    def levels(self) -> int:
        """How many there are."""
        return len(self.joined)

    @property
    def nbytes(self) -> int:
        """Bytes that they take."""
        return self.finest.nbytes + self.joined.nbytes

    def at(self, z: int, level: int) -> NDArray[np.uint16]:
        """Return ``(y, x)`` ids of one slice at one level."""
        plane: NDArray[np.uint16] = self.joined[level, z][self.finest[z]]
        return plane


def cut_by(settings: FewShotRecipe) -> Cut:
    """Return how a recipe cuts slices into regions."""

    def cut(slices: NDArray[np.float32], inside: NDArray[np.bool_]) -> Sequence[NDArray[np.int32]]:
        fine = slic(slices, settings.segments, mask=inside)
        if settings.superpixels == "slic":
            return [fine]
        return list(merge(fine, slices, sorted(settings.regions, reverse=True)))

    return cut


def regions_of(scan: CachedScan, cut: Cut) -> Regions:
    """Cut a scan into regions; blank slices have none."""
    slices = unit_slices(np.asarray(scan.slices))
    inside = foreground(slices)
    inside &= (np.ptp(slices, axis=(1, 2)) > 0)[:, None, None]
    return Regions.of(cut(slices, inside))


Window = tuple[NDArray[np.float32], NDArray[np.uint8]]
"""A slice in ``[0, 1]`` and its mask, both ``(y, x)``."""


class Episode(NamedTuple):
    """Support and query, in this order."""

    slices: NDArray[np.float32]
    """``(2, y, x)`` in ``[0, 1]``."""
    masks: NDArray[np.uint8]
    """``(2, y, x)``: 1 on the organ, ``IGNORE_ID`` beyond the slice and where nobody knows."""

    @classmethod
    def of(cls, support: Window, query: Window) -> Episode:
        """Lay both on one another."""
        return cls(np.stack([support[0], query[0]]), np.stack([support[1], query[1]]))


def draw_change(rng: np.random.Generator, size: tuple[int, int]) -> Draw:
    """Draw one change of a slice of ``size`` pixels, as far as Ouyang et al. go."""
    y, x = size
    return Draw(
        angle_deg=rng.uniform(-5, 5),
        scale=rng.uniform(0.9, 1.2),
        shear_deg=rng.uniform(-5, 5),
        shift_y=rng.uniform(-5, 5) / y,
        shift_x=rng.uniform(-5, 5) / x,
        bend=True,
        gain=1.0,
        offset=0.0,
        gamma=rng.uniform(0.5, 1.5),
        noise=0.0,
        soften=0.0,
        seed=int(rng.integers(2**31)),
        bend_px=10.0,
        bend_smooth_px=5.0,
    )


class Episodes:
    """Draws episodes from scans.

    Args:
        scans: Their labels are not looked at.
        regions: Of every scan.
        settings: Sizes of pseudo organs, and what support and query are.
        size: Pixels ``(y, x)`` of a drawn slice.

    Raises:
        DatasetError: No slice has a region.
    """

    def __init__(
        self,
        scans: Sequence[CachedScan],
        regions: Sequence[Regions],
        *,
        settings: FewShotRecipe,
        size: tuple[int, int],
    ) -> None:
        self.scans, self.regions, self.settings, self.size = scans, regions, settings, size
        self.places = [
            (number, int(z))
            for number, one in enumerate(regions)
            for z in np.flatnonzero(one.finest.any(axis=(1, 2)))
        ]
        self.most_px = int(settings.most_share * size[0] * size[1])
        if not self.places:
            raise DatasetError(
                f"no slice of {len(scans)} scans has a region to learn from; they are blank, or "
                "all of them hold an organ of training.fewshot.exclude_classes"
            )

    def draw(self, rng: np.random.Generator) -> Episode:
        """Draw one episode; the same state of ``rng`` gives the same one.

        Raises:
            DatasetError: No pseudo organ of an allowed size was found.
        """
        for _ in range(ATTEMPTS):
            number, z = self.places[rng.integers(len(self.places))]
            level = int(rng.integers(self.regions[number].levels))
            if (pair := self._pair(number, z, level, rng)) is None:
                continue
            scan, size = self.scans[number], self.size
            windows = [
                changed_window(scan, z, mask.astype(np.uint8), size=size, rng=rng)
                for z, mask in pair
            ]
            if all(self._allowed(int((mask == 1).sum())) for _, mask in windows):
                return Episode.of(*windows)
        raise DatasetError(
            f"{ATTEMPTS} draws gave no pseudo organ of {self.settings.least_px} to {self.most_px} "
            "pixels; change training.fewshot.least_px, most_share or regions"
        )

    def _pair(
        self, number: int, z: int, level: int, rng: np.random.Generator
    ) -> tuple[tuple[int, NDArray[np.bool_]], tuple[int, NDArray[np.bool_]]] | None:
        """Draw a region; return support and query as slice and mask, or nothing that fits."""
        plane = self.regions[number].at(z, level)
        sizes = np.bincount(plane.ravel())
        sizes[0] = 0
        fitting = [int(n) for n in np.flatnonzero(sizes) if self._allowed(int(sizes[n]))]
        if not fitting:
            return None
        here = plane == fitting[rng.integers(len(fitting))]
        if self.settings.support_query == "same-slice":
            return (z, here), (z, here)
        beside = z + (1 if rng.random() < 0.5 else -1)
        if not 0 <= beside < len(self.scans[number].slices):
            return None
        there = counterpart(here, self.regions[number].at(beside, level))
        return None if there is None else ((z, here), (beside, there))

    def _allowed(self, pixels: int) -> bool:
        return self.settings.least_px <= pixels <= self.most_px


def changed_window(
    scan: CachedScan,
    z: int,
    mask: NDArray[np.uint8],  # (y, x) 1 on the organ, IGNORE_ID where nobody knows
    *,
    size: tuple[int, int],
    rng: np.random.Generator,
) -> Window:
    """Cut a window of ``size`` about an organ out of a slice and change it.

    Beyond the slice the mask is ``IGNORE_ID``.
    """
    image = unit_slices(np.asarray(scan.slices[z : z + 1]))
    rows, columns = np.nonzero(mask == 1)
    image, organ = crop_or_pad(
        [image, mask[None]], size, fills=[0.0, IGNORE_ID], rng=rng,
        about=(int(np.median(rows)), int(np.median(columns))),
    )  # fmt: skip
    changed, moved = draw_change(rng, size).apply(image, organ)
    return changed[0], np.asarray(organ if moved is None else moved)[0]


def counterpart(
    mask: NDArray[np.bool_],  # (y, x)
    regions: NDArray[np.uint16],  # (y, x) of the slice beside it
) -> NDArray[np.bool_] | None:
    """Return the region that overlaps most with a mask, or nothing where none overlaps enough."""
    shared = np.bincount(regions[mask])
    shared[0] = 0
    best = int(shared.argmax())
    if not shared[best]:
        return None
    there = regions == best
    dice = 2 * int(shared[best]) / (int(mask.sum()) + int(there.sum()))
    return there if dice >= LEAST_OVERLAP else None
