"""Connected superpixels: what a cluster leaves lying apart becomes its own or its neighbour's.

A slice is given as runs, stretches of one row with one owner; all work is on runs (compiled).
"""

from __future__ import annotations

import numba
import numpy as np

from slicekit.superpixels.compiled import Kernel
from slicekit.superpixels.lanes import LANES, fill

OUTSIDE = -1
"""Owner of the runs outside the mask."""


@Kernel
def connect(first, begins, ends, owners, smallest, labels):
    """Make pieces of one owner's runs that touch, joined by edges (4-connectivity); number them.

    A piece of fewer than ``smallest`` pixels joins the neighbour it shares the longest border
    with; of several the one that begins first. A small piece without a neighbour stays.

    Args:
        first: ``(y + 1,)`` int32, the number of each row's first run.
        begins: ``(runs,)`` int32, first column of each run.
        ends: ``(runs,)`` int32, one behind its last.
        owners: ``(runs,)`` int32 from -2 on; -1 is outside.
        smallest: Pixels of a piece that may stay.
        labels: ``(y, x)`` int32, written: 0 outside, else 1, 2, ... in the order in which the
            pieces begin, row by row.

    Returns:
        The number of pieces.
    """
    piece = _pieces(first, begins, ends, owners)
    count = _number(piece)
    _join_small(piece, count, first, begins, ends, smallest)
    count = _number(piece)
    flat, width = labels.reshape(-1), labels.shape[1]
    for y in range(labels.shape[0]):
        for run in range(first[y], first[y + 1]):
            name = piece[run] + 1
            x = begins[run]
            at, end = y * width + x, y * width + ends[run]
            while at < end and at + LANES <= flat.size:  # the next run writes over what is too much
                fill(flat, at, name)
                at += LANES
            for rest in range(at, end):
                flat[rest] = name
    return count


@numba.njit
def _pieces(first, begins, ends, owners):
    """Return each run's root, -1 outside: runs of one owner that touch have one root."""
    parent = np.arange(begins.size).astype(np.int32)
    latest = np.full(owners.max() + 3, -1, np.int32)  # by owner; the one before it by run
    before = np.empty(begins.size, np.int32)
    for y in range(first.size - 1):
        for run in range(first[y], first[y + 1]):
            owner = owners[run]
            if owner == OUTSIDE:
                continue
            other = before[run] = latest[owner + 2]
            latest[owner + 2] = run
            while other >= first[y]:
                other = before[other]
            while y and other >= first[y - 1] and ends[other] > begins[run]:
                if begins[other] < ends[run]:
                    _unite(parent, run, other)
                other = before[other]
    for run in range(begins.size):
        parent[run] = OUTSIDE if owners[run] == OUTSIDE else _root(parent, run)
    return parent


@numba.njit
def _root(parent, one):
    while parent[one] != one:
        parent[one] = parent[parent[one]]
        one = parent[one]
    return one


@numba.njit
def _unite(parent, one, other):
    """Join two trees; the root that comes first stays."""
    one, other = _root(parent, one), _root(parent, other)
    if one < other:
        parent[other] = one
    else:
        parent[one] = other


@numba.njit
def _number(piece):
    """Call the pieces 0, 1, ... in the order of their first runs; return how many there are."""
    numbers = np.full(piece.size, -1, np.int32)
    count = 0
    for run in range(piece.size):
        root = piece[run]
        if root != OUTSIDE:
            if numbers[root] < 0:
                numbers[root] = count
                count += 1
            piece[run] = numbers[root]
    return count


@numba.njit
def _join_small(piece, count, first, begins, ends, smallest):
    """Let small pieces join their neighbours: ``piece`` is changed, and may have gaps then."""
    sizes = np.zeros(count, np.int64)
    for run in range(piece.size):
        if piece[run] != OUTSIDE:
            sizes[piece[run]] += ends[run] - begins[run]
    head = np.full(count, -1, np.int32)  # the runs of a small piece, in a chain
    chain, rows = np.empty(piece.size, np.int32), np.empty(piece.size, np.int32)
    for y in range(first.size - 1):
        for run in range(first[y], first[y + 1]):
            if piece[run] != OUTSIDE and sizes[piece[run]] < smallest:
                chain[run], rows[run] = head[piece[run]], y
                head[piece[run]] = run
    parent = np.arange(count).astype(np.int32)
    following = np.arange(count)  # the members of a tree, in a ring
    shared, seen = np.zeros(count, np.int64), np.empty(count, np.int32)
    for one in range(count):
        root = _root(parent, one)
        while sizes[root] < smallest:
            touched = 0
            member = root
            while True:
                run = head[member]
                while run >= 0:
                    touched = _look_around(
                        run, rows[run], root, piece, parent, first, begins, ends,
                        shared, seen, touched,
                    )  # fmt: skip
                    run = chain[run]
                member = following[member]
                if member == root:
                    break
            other = _longest(shared, seen, touched)
            if other < 0:
                break
            following[root], following[other] = following[other], following[root]
            sizes[root] = sizes[other] = sizes[root] + sizes[other]
            _unite(parent, root, other)
            root = _root(parent, one)
    for run in range(piece.size):
        if piece[run] != OUTSIDE:
            piece[run] = _root(parent, piece[run])


@numba.njit
def _look_around(run, y, root, piece, parent, first, begins, ends, shared, seen, touched):
    """Add the length of what a run shares with each neighbouring tree; list new neighbours."""
    for side in range(3):
        if side == 0:
            low, high = max(run - 1, first[y]), min(run + 2, first[y + 1])
        elif side == 1:
            low, high = _meeting(begins, ends, run, first[max(0, y - 1)], first[y])
        else:
            below = first[min(y + 2, first.size - 1)]
            low, high = _meeting(begins, ends, run, first[y + 1], below)
        for other in range(low, high):
            if piece[other] == OUTSIDE:
                continue
            tree = _root(parent, piece[other])
            if tree == root:
                continue
            if shared[tree] == 0:
                seen[touched] = tree
                touched += 1
            together = min(ends[run], ends[other]) - max(begins[run], begins[other])
            shared[tree] += together if side else 1
    return touched


@numba.njit
def _meeting(begins, ends, run, low, high):
    """Return the first and one behind the last run of a row that lie above or below a run."""
    start, stop = low, high
    while start < stop:
        middle = (start + stop) // 2
        if ends[middle] <= begins[run]:
            start = middle + 1
        else:
            stop = middle
    while stop < high and begins[stop] < ends[run]:
        stop += 1
    return start, stop


@numba.njit
def _longest(shared, seen, touched):
    """Return the tree with which most is shared, or -1; clear what was shared."""
    best, found = 0, -1
    for index in range(touched):
        tree = seen[index]
        if shared[tree] > best or (shared[tree] == best and tree < found):
            best, found = shared[tree], tree
        shared[tree] = 0
    return found
