"""Organs of one slice as runs of pixels in its rows, and their components through all slices.

A label map is passed over once, slice by slice: a slice becomes a few thousand runs, and what has
to be remembered of the slices before is one number a component. So time and memory do not depend
on how many organs there are.

Reference: Rosenfeld and Pfaltz 1966, Sequential operations in digital picture processing; runs
and two neighbouring slices take the place of pixels and two neighbouring rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Ints = NDArray[np.int64]
_NONE = np.zeros(0, np.int64)


class Runs(NamedTuple):
    """Pixels side by side in a row that have one organ, in the order of rows and columns."""

    organ: Ints
    """``(n,)``, from 1."""
    y: Ints
    start: Ints
    """First column."""
    stop: Ints
    """One behind the last column."""

    @property
    def length(self) -> Ints:
        """Pixels of every run."""
        return self.stop - self.start


NO_RUNS = Runs(_NONE, _NONE, _NONE, _NONE)


def runs_of(plane: NDArray[Any], organ_of: Ints) -> Runs:
    """Cut a slice into runs of organs.

    Args:
        plane: ``(y, x)`` ids, whole numbers from 0.
        organ_of: Id to organ, which is a number from 1, or 0 for what is passed over; ids beyond
            are passed over too.

    Example:
        >>> runs = runs_of(np.array([[0, 7, 7, 9]]), np.array([0, 0, 0, 0, 0, 0, 0, 1]))
        >>> runs.start.tolist(), runs.stop.tolist(), runs.organ.tolist()
        ([1], [3], [1])
    """
    if not plane.any():
        return NO_RUNS
    rows, columns = plane.shape
    fenced = np.zeros((rows, columns + 1), dtype=plane.dtype)  # no run goes on into the next row
    fenced[:, :columns] = plane
    flat = fenced.reshape(-1)
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate([[0], edges])
    stops = np.concatenate([edges, [flat.size]])
    ids = flat[starts]
    known = ids < len(organ_of)
    organ = np.where(known, organ_of[np.where(known, ids, 0).astype(np.intp)], 0)
    kept = organ > 0
    y, start = np.divmod(starts[kept], columns + 1)
    return Runs(organ[kept], y, start, start + (stops - starts)[kept])


class Components:
    """Counts connected components of every organ while slices are added from one end.

    Args:
        organs: How many there are; they are numbered from 1.
        corners: Whether voxels that share no more than a corner are neighbours: 26 neighbours a
            voxel, else 6.
    """

    def __init__(self, organs: int, *, corners: bool = True) -> None:
        self._corners = corners
        self._ended = np.zeros(organs + 1, np.int64)
        self._runs = NO_RUNS
        self._part = _NONE  # component of every run of the last slice, from 0
        self._organ = _NONE  # organ of every such component

    @property
    def counts(self) -> Ints:
        """``(organs + 1,)`` components so far; entry 0 is none."""
        return self._ended + np.bincount(self._organ, minlength=len(self._ended))

    def add(self, runs: Runs) -> None:
        """Add the next slice."""
        before, parts = self._runs, len(self._organ)
        if not (parts or len(runs.organ)):
            return
        one, other = _touching(runs, runs, 1, self._corners)
        across = [_touching(runs, before, step, self._corners) for step in self._steps]
        pairs_from = np.concatenate([one, *(mine for mine, _ in across)]) + parts
        pairs_to = np.concatenate([other + parts, *(self._part[old] for _, old in across)])
        size = parts + len(runs.organ)
        links = coo_array(
            (np.ones(len(pairs_from), np.bool_), (pairs_from, pairs_to)), shape=(size, size)
        )
        count, group = connected_components(links, directed=False)
        alive, part = np.unique(group[parts:], return_inverse=True)
        goes_on = np.zeros(count, np.bool_)
        goes_on[alive] = True
        gone = self._organ[~goes_on[group[:parts]]]
        self._ended += np.bincount(gone, minlength=len(self._ended))
        self._organ = np.zeros(len(alive), np.int64)
        self._organ[part] = runs.organ
        self._runs, self._part = runs, part

    @property
    def _steps(self) -> tuple[int, ...]:
        return (-1, 0, 1) if self._corners else (0,)


def _touching(runs: Runs, others: Runs, step: int, corners: bool) -> tuple[Ints, Ints]:
    """Return pairs of runs of one organ that touch; the others' rows are ``step`` further on."""
    if not (len(runs.organ) and len(others.organ)):
        return _NONE, _NONE
    width = int(max(runs.stop.max(), others.stop.max())) + 2
    row, reach = (runs.y + step + 1) * width, int(corners)
    low = np.searchsorted((others.y + 1) * width + others.stop, row + runs.start - reach, "right")
    high = np.searchsorted((others.y + 1) * width + others.start, row + runs.stop + reach, "left")
    count = np.maximum(high - low, 0)
    mine = np.repeat(np.arange(len(count)), count)
    theirs = np.arange(len(mine)) - np.repeat(np.cumsum(count) - count, count) + low[mine]
    alike = runs.organ[mine] == others.organ[theirs]
    return mine[alike], theirs[alike]
