"""SLIC superpixels of many slices: gray or of several channels, masked, by threads."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicekit.checks import expect_shape
from slicekit.errors import ShapeError
from slicekit.superpixels.cluster import cluster
from slicekit.superpixels.connect import connect
from slicekit.superpixels.features import standardise
from slicekit.superpixels.lanes import LANES

COMPACTNESS = 0.7
"""Mean absolute deviations in intensity that weigh as much as one grid step."""
ITERATIONS = 10
SKIPPED_ROWS = 3
"""The fast schedule assigns every third row, another third each time."""
SMALLEST_SHARE = 0.25
"""A piece of less than so much of a grid cell joins a neighbour."""
LONGEST_SIDE = 1 << 15
"""Pixels of a slice are counted in 32 bits."""


def slic(
    slices: NDArray[Any],
    n_segments: int,
    *,
    mask: NDArray[Any] | None = None,
    compactness: float = COMPACTNESS,
    iterations: int = ITERATIONS,
    fast: bool = False,
    threads: int | None = None,
) -> NDArray[np.int32]:
    """Cut slices into superpixels: connected pieces of like intensity and like size.

    Seeds lie on a grid of step S = sqrt(N / K) and move to the lowest gradient of their nine
    pixels. Each pixel goes to the nearest centre among those whose window of 2S x 2S holds it,
    D^2 = (d_c / m)^2 + (d_s / S)^2; centres go to the means of their pixels; so on until none
    moves a tenth of a pixel. Pieces smaller than a quarter of S^2 join the neighbour with the
    longest common border. The windows' sides are widened to whole blocks of sixteen columns.

    Intensities are divided by their mean absolute deviation from the mean, in each slice and
    channel by itself and inside the mask only, so scale and offset do not matter. d_c^2 is the
    mean over channels: a gray slice repeated along ``c`` gives the same superpixels. They are
    computed in float32.

    Args:
        slices: ``(n, y, x)`` gray or ``(n, y, x, c)``, whole or floating numbers of any range.
            Pixels that are NaN or infinite count as outside the mask.
        n_segments: Superpixels wanted in a slice, K; about so many come. With a mask the grid is
            laid for the mask's area N. More than there are pixels gives one a pixel.
        mask: ``(n, y, x)``, or ``(y, x)`` for all slices; true is inside. ``None`` is everywhere.
        compactness: m, the difference in intensity, in mean absolute deviations, that weighs as
            much as a distance of S. Higher makes squarer superpixels.
        iterations: Rounds of assigning and averaging, at most.
        fast: Each round assigns a third of the rows, by turns; all are assigned at the end.
        threads: Slices at work at once; all cores of this process when ``None``. The result does
            not depend on it.

    Returns:
        ``(n, y, x)``: 0 outside, else 1 to K without gaps in each slice, in the order in which
        superpixels begin, row by row. Each is connected by edges (4-connectivity). A slice of one
        intensity gives the regular grid; one with nothing inside gives zeros.

    Raises:
        ShapeError: An array has other axes or another type.
        ValueError: A number is out of its range.

    Example:
        >>> slice_ = np.repeat([[0, 0, 9, 9]], 4, axis=0)
        >>> slic(slice_[None], 4)[0].tolist()
        [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]

    Reference:
        Achanta et al., SLIC Superpixels Compared to State-of-the-art Superpixel Methods, IEEE
        TPAMI 34 (11), 2012, algorithm 1 and section 3. The stopping rule, the merging of small
        pieces by border and the unit of m are ours.
    """
    stack, masks = np.asarray(slices), None if mask is None else np.asarray(mask)
    expect_slices(stack, masks)
    plan = _Plan(n_segments, compactness, iterations, fast)
    labels = np.zeros(stack.shape[:3], dtype=np.int32)

    def cut(z: int) -> None:
        inside = masks if masks is None or masks.ndim == 2 else masks[z]
        plan.cut(stack[z], inside, labels[z])

    workers = min(pick_threads(threads), len(stack))
    if workers < 2:
        deque(map(cut, range(len(stack))), maxlen=0)
    else:
        with ThreadPoolExecutor(workers, "slic") as pool:
            deque(pool.map(cut, range(len(stack))), maxlen=0)
    return labels


def slic_each(
    slices: Iterable[NDArray[Any]],
    n_segments: int,
    *,
    masks: Iterable[NDArray[Any] | None] | None = None,
    compactness: float = COMPACTNESS,
    iterations: int = ITERATIONS,
    fast: bool = False,
    threads: int | None = None,
) -> Iterator[NDArray[np.int32]]:
    """Cut slices that come one by one, as ``slic`` does; few are held at one time.

    Args:
        slices: ``(y, x)`` or ``(y, x, c)`` each; sizes may differ.
        n_segments: As in ``slic``.
        masks: ``(y, x)`` each, ``None`` for a slice without one; as many as slices.
        compactness: As in ``slic``.
        iterations: As in ``slic``.
        fast: As in ``slic``.
        threads: As in ``slic``; so many slices and two more are read ahead.

    Yields:
        ``(y, x)`` labels, in the order of the slices.

    Raises:
        ShapeError: An array has other axes or another type, or masks and slices differ in number.
        ValueError: A number is out of its range.
    """
    plan = _Plan(n_segments, compactness, iterations, fast)
    return _each(plan, slices, masks, pick_threads(threads))


def _each(
    plan: _Plan,
    slices: Iterable[NDArray[Any]],
    masks: Iterable[NDArray[Any] | None] | None,
    workers: int,
) -> Iterator[NDArray[np.int32]]:
    def cut(pair: tuple[NDArray[Any], NDArray[Any] | None]) -> NDArray[np.int32]:
        slice_, mask = pair
        labels = np.zeros(slice_.shape[:2], dtype=np.int32)
        plan.cut(slice_, mask, labels)
        return labels

    waiting: deque[Future[NDArray[np.int32]]] = deque()
    with ThreadPoolExecutor(workers, "slic") as pool:
        for pair in _pairs(slices, masks):
            waiting.append(pool.submit(cut, pair))
            if len(waiting) > workers + 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _pairs(
    slices: Iterable[NDArray[Any]], masks: Iterable[NDArray[Any] | None] | None
) -> Iterator[tuple[NDArray[Any], NDArray[Any] | None]]:
    """Yield slices with their masks, all checked."""
    try:
        each = repeat(None) if masks is None else masks
        for one, mask in zip(slices, each, strict=masks is not None):
            slice_, inside = np.asarray(one), None if mask is None else np.asarray(mask)
            expect_slices(slice_[None], inside)
            yield slice_, inside
    except ValueError as fault:
        if isinstance(fault, ShapeError) or "zip()" not in str(fault):
            raise
        raise ShapeError("there must be as many masks as slices; give None for no mask") from fault


@dataclass(frozen=True)
class _Plan:
    """How slices are cut; refuses numbers that cannot be meant."""

    n_segments: int
    compactness: float
    iterations: int
    fast: bool

    def __post_init__(self) -> None:
        for name in ("n_segments", "iterations"):
            if not isinstance(getattr(self, name), int | np.integer) or getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be a whole number of at least 1, got {getattr(self, name)!r}"
                )
        if not (math.isfinite(self.compactness) and self.compactness > 0):
            raise ValueError(f"compactness must be above 0 and finite, got {self.compactness}")

    def cut(
        self, slice_: NDArray[Any], mask: NDArray[Any] | None, labels: NDArray[np.int32]
    ) -> None:
        """Write the superpixels of one ``(y, x)`` or ``(y, x, c)`` slice into ``labels``."""
        height, width = labels.shape
        with np.errstate(over="ignore", invalid="ignore"):  # too large is infinite, so outside
            pixels = np.ascontiguousarray(slice_.reshape(height, width, -1), dtype=np.float32)
        inside = _EVERYWHERE if mask is None else np.ascontiguousarray(mask, dtype=np.bool_)
        features, area = standardise(pixels, inside, -(-width // LANES) * LANES)
        if not area:
            labels[:] = 0
            return
        wanted = min(int(self.n_segments), area)
        step = math.sqrt(area / wanted)
        stride = SKIPPED_ROWS if self.fast else 1
        compactness, smallest = float(self.compactness), int(SMALLEST_SHARE * step * step)
        rounds = int(self.iterations)
        runs = cluster(features, width, step, wanted, compactness, rounds, stride)
        connect(*runs, smallest, labels)


_EVERYWHERE = np.zeros((0, 0), dtype=np.bool_)


def expect_slices(stack: NDArray[Any], masks: NDArray[Any] | None = None) -> None:
    """Refuse what is no stack of slices, or masks that do not fit it.

    Raises:
        ShapeError: The message says which.
    """
    axes = "n y x c" if stack.ndim == 4 else "n y x"
    sizes = expect_shape("slices", stack, axes)
    if 0 in stack.shape[1:] or max(sizes["y"], sizes["x"]) > LONGEST_SIDE:
        raise ShapeError(
            f"slices must have 1 to {LONGEST_SIDE} pixels a side and a channel, got {stack.shape}"
        )
    if stack.dtype.kind not in "biuf":
        raise ShapeError(f"slices must hold whole or floating numbers, got {stack.dtype}")
    if masks is None:
        return
    if masks.shape not in (stack.shape[:3], stack.shape[1:3]):
        raise ShapeError(
            f"mask must be {stack.shape[:3]} or {stack.shape[1:3]} as the slices, got {masks.shape}"
        )
    if masks.dtype.kind not in "biu":
        raise ShapeError(f"mask must be bool or whole numbers, got {masks.dtype}; threshold it")


def pick_threads(threads: int | None) -> int:
    """Return how many threads to use.

    Raises:
        ValueError: Fewer than one.
    """
    if threads is None:
        affinity = getattr(os, "sched_getaffinity", None)  # not on every system
        return len(affinity(0)) if affinity else os.cpu_count() or 1
    if threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    return threads
