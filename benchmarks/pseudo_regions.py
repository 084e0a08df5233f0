"""What is counted of regions and of the pseudo organs drawn from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from slicekit.data.episodes import Episode, Regions, changed_window
from slicekit.data.slices import CachedScan
from slicekit.recipes import FewShotRecipe

TINY_PX = 64
"""A pseudo organ smaller than this teaches little."""


def refused_share(
    regions: Sequence[Regions], *, settings: FewShotRecipe, size: tuple[int, int]
) -> float:
    """Return the share of regions, of all slices and levels, whose size is not allowed.

    They are counted as cut; NaN where there are none.
    """
    most, refused, total = int(settings.most_share * size[0] * size[1]), 0, 0
    for scan in regions:
        for level in range(scan.levels):
            for z in range(len(scan.finest)):
                sizes = np.bincount(scan.at(z, level).ravel())[1:]
                sizes = sizes[sizes > 0]
                refused += int(np.count_nonzero((sizes < settings.least_px) | (sizes > most)))
                total += len(sizes)
    return refused / total if total else float("nan")


def pixels_of(episode: Episode) -> tuple[int, int]:
    """Return the organ's pixels in support and query."""
    support, query = (int((mask == 1).sum()) for mask in episode.masks)
    return support, query


def pixels_as_published(
    scan: CachedScan,
    plane: NDArray[np.uint16],  # (y, x) regions of slice z
    z: int,
    *,
    size: tuple[int, int],
    rng: np.random.Generator,
) -> tuple[int, int]:
    """Draw a number up to a slice's largest, change that region twice, and take what comes.

    Returns:
        The organ's pixels in support and query: none where no pixel bears the number.

    Reference:
        Ouyang et al. 2020, section 3.2, and their code.
    """
    mask = (plane == rng.integers(1, int(plane.max()) + 1)).astype(np.uint8)
    if not mask.any():
        return 0, 0
    windows = [changed_window(scan, z, mask, size=size, rng=rng) for _ in range(2)]
    return pixels_of(Episode.of(*windows))


def counted(pairs: Iterable[tuple[int, int]]) -> dict[str, float]:
    """Return how many pairs have an empty or tiny mask on either side, and the smallest mask."""
    both = np.array(list(pairs))
    worse = both.min(axis=1)
    return {
        "pairs": len(both),
        "empty": int(np.count_nonzero(worse == 0)),
        "tiny": int(np.count_nonzero((worse > 0) & (worse < TINY_PX))),
        "smallest_px": int(worse.min()),
        "median_px": float(np.median(both)),
    }
