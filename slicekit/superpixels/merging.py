"""Superpixels merged to fewer, larger regions, level by level."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicekit.checks import expect_shape
from slicekit.errors import LabelError, ShapeError
from slicekit.superpixels.adjacency import join
from slicekit.superpixels.features import standardise
from slicekit.superpixels.iterative import expect_slices, pick_threads


def merge(
    labels: NDArray[Any],
    slices: NDArray[Any],
    n_regions: int | Sequence[int],
    *,
    threads: int | None = None,
) -> NDArray[np.int32]:
    """Merge neighbouring superpixels to so many regions.

    Again and again the pair of neighbours is merged that costs least: the increase of the sum of
    squares within regions, n_a n_b / (n_a + n_b) |mean_a - mean_b|^2, over the share which their
    common border has of the shorter of their two borders. So the regions of a level are unions of
    those of every finer one.

    Args:
        labels: ``(y, x)`` of one slice or ``(n, y, x)``: 0 outside, else connected superpixels,
            as ``slic`` gives them.
        slices: The slices they were cut from, with a last axis ``c`` where they have channels;
            channels are standardised as in ``slic``. Pixels that are no number have no say.
        n_regions: Regions wanted in a slice; several numbers give several levels, in the order of
            the numbers. More come where the superpixels lie in more pieces than that, fewer where
            there are not so many superpixels.
        threads: Slices at work at once; all cores of this process when ``None``. The result does
            not depend on it.

    Returns:
        The shape of ``labels``, behind an axis of levels where ``n_regions`` is several numbers:
        0 outside, else 1 to R without gaps in each slice, in the order of the smallest label.

    Raises:
        ShapeError: The arrays do not fit each other, or have another type.
        LabelError: Labels are negative, or larger than a slice has pixels.
        ValueError: A number is below 1.

    Example:
        >>> slice_ = np.array([[0, 1, 8, 9]])
        >>> merge(np.array([[1, 2, 3, 4]]), slice_, (2, 3)).tolist()
        [[[1, 1, 2, 2]], [[1, 1, 2, 3]]]

    Reference:
        Ward 1963, Hierarchical Grouping to Optimize an Objective Function, for the increase;
        dividing by the common border is ours.
    """
    given, stack = np.asarray(labels), np.asarray(slices)
    one = given.ndim == 2
    if one:
        given, stack = given[None], stack[None]
    _expect_labels(given, stack)
    several = isinstance(n_regions, Sequence | np.ndarray)
    wanted = np.array(n_regions if several else [n_regions])
    if wanted.ndim != 1 or not wanted.size or wanted.dtype.kind not in "iu" or wanted.min() < 1:
        raise ValueError(f"n_regions must be whole numbers of at least 1, got {n_regions!r}")
    order = np.argsort(-wanted.astype(np.int64), kind="stable")
    falling = wanted[order].astype(np.int64)
    regions = np.zeros((len(wanted), *given.shape), dtype=np.int32)

    def work(z: int) -> None:
        height, width = given.shape[1:]
        with np.errstate(over="ignore", invalid="ignore"):
            pixels = np.ascontiguousarray(stack[z].reshape(height, width, -1), dtype=np.float32)
        inside = np.ascontiguousarray(given[z], dtype=np.int32)
        features, _ = standardise(pixels, inside > 0, width)
        levels = np.zeros((len(falling), height, width), dtype=np.int32)
        join(inside, features, falling, levels)
        regions[order, z] = levels

    workers = min(pick_threads(threads), len(given))
    if workers < 2:
        for z in range(len(given)):
            work(z)
    else:
        with ThreadPoolExecutor(workers, "merge") as pool:
            for _ in pool.map(work, range(len(given))):
                pass
    levels = regions[:, 0] if one else regions
    return levels if several else levels[0]


def _expect_labels(labels: NDArray[Any], stack: NDArray[Any]) -> None:
    """Refuse labels and slices that do not belong together."""
    expect_slices(stack)
    expect_shape("labels", labels, " ".join(map(str, stack.shape[:3])))
    if labels.dtype.kind not in "iu":
        raise ShapeError(f"labels must be whole numbers, got {labels.dtype}; see slic()")
    if labels.size and (labels.min() < 0 or labels.max() > labels[0].size):
        raise LabelError(
            f"labels must be 0 to the number of pixels, {labels[0].size}, got {labels.min()} to "
            f"{labels.max()}; number them 1 to K in each slice"
        )
