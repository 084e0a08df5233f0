"""Episodes of organs that somebody drew, on a few slices of a few scans or on all.

An organ counts in a scan only where somebody looked for it there; where nobody knows what a pixel
is, the masks say so. Query and support lie at about the same place in the organ, as they do when
a network is scored.

Reference: Roy et al. 2020, section 4, for the place of a support.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slicekit.data.episodes import Episode, changed_window
from slicekit.data.slices import CachedScan
from slicekit.errors import DatasetError
from slicekit.labels import IGNORE_ID
from slicekit.recipes import FewShotRecipe

ATTEMPTS = 20
"""Draws of one organ after which another takes its place."""
REACH = 1 / 6
"""How far support and query lie apart at most, as a share of the organ's extent: half a chunk of
the published protocol, which takes the middle of each third."""


class Held(NamedTuple):
    """One organ in one scan."""

    scan: CachedScan
    slices: NDArray[np.intp]
    """Those on which it is large enough, rising."""
    places: NDArray[np.float64]
    """Where they lie between the first slice on which it was drawn, 0, and the last, 1."""


class DrawnEpisodes:
    """Draws episodes from the labels of scans.

    Args:
        scans: Those without labels are passed over.
        settings: ``least_px`` is the size that an organ must have.
        size: Pixels ``(y, x)`` of a drawn slice.

    Raises:
        DatasetError: Nothing is drawn.
    """

    def __init__(
        self, scans: Sequence[CachedScan], *, settings: FewShotRecipe, size: tuple[int, int]
    ) -> None:
        self.least_px, self.size = settings.least_px, size
        self.held: dict[int, list[Held]] = {}
        for scan in scans:
            for number, one in _held_in(scan, self.least_px).items():
                self.held.setdefault(number, []).append(one)
        if not self.held:
            raise DatasetError(
                f"no slice of {len(scans)} scans shows a drawn organ of {self.least_px} pixels or "
                "more; put label maps into labelsTr, lower training.fewshot.least_px, or set "
                "training.fewshot.drawn_share = 0; organs of exclude_classes do not count"
            )

    def draw(self, rng: np.random.Generator) -> Episode:
        """Draw one episode; the same state of ``rng`` gives the same one.

        Raises:
            DatasetError: Every organ is too small once it is changed.
        """
        for number in map(int, rng.permutation(sorted(self.held))):
            for _ in range(ATTEMPTS):
                windows = [
                    changed_window(scan, z, mask_of(scan, z, number), size=self.size, rng=rng)
                    for scan, z in draw_pair(self.held[number], rng)
                ]
                if all((mask == 1).sum() >= self.least_px for _, mask in windows):
                    return Episode.of(*windows)
        raise DatasetError(
            f"{ATTEMPTS} draws of each of {len(self.held)} drawn organs gave none of "
            f"{self.least_px} pixels; lower training.fewshot.least_px or enlarge training.crop, "
            f"now {self.size}"
        )


def _held_in(scan: CachedScan, least_px: int) -> dict[int, Held]:
    """Return what is known of a scan's organs, by their ids."""
    found: dict[int, Held] = {}
    if scan.labels is None:
        return found
    for number, drawn in scan.slices_of.items():
        if scan.known_ids is not None and number not in scan.known_ids:
            continue
        large = [np.count_nonzero(scan.labels[z] == number) >= least_px for z in drawn]
        if any(large):
            first, last = drawn[[0, -1]]
            places = (drawn - first + 0.5) / (last - first + 1)
            found[number] = Held(scan, drawn[large], places[large])
    return found


def draw_pair(
    holding: Sequence[Held], rng: np.random.Generator
) -> tuple[tuple[CachedScan, int], tuple[CachedScan, int]]:
    """Draw support and query, each a scan and a slice of it.

    The support is another scan at about the same place in the organ. Where there is no other, it
    is another slice of the same scan, near or far, and the same slice where there is one alone.

    Args:
        holding: The scans that hold the organ.
        rng: Randomness.
    """
    number = int(rng.integers(len(holding)))
    query, others = holding[number], [*holding[:number], *holding[number + 1 :]]
    at = int(rng.integers(len(query.slices)))
    z = int(query.slices[at])
    if others:
        support = others[rng.integers(len(others))]
        apart = np.abs(support.places - query.places[at])
        fitting = support.slices[apart <= max(REACH, apart.min())]
    else:
        support, fitting = query, np.delete(query.slices, at)
    return (support.scan, int(rng.choice(fitting)) if len(fitting) else z), (query.scan, z)


def mask_of(scan: CachedScan, z: int, number: int) -> NDArray[np.uint8]:
    """Return ``(y, x)`` of a labelled slice: 1 on one organ, ``IGNORE_ID`` where nobody knows.

    Raises:
        DatasetError: The scan has no labels.
    """
    if scan.labels is None:
        raise DatasetError(f"{scan.name}: has no labels, so nobody drew an organ there")
    plane = np.asarray(scan.labels[z])
    return np.where(plane == IGNORE_ID, plane, plane == number).astype(np.uint8)
