"""Merging of neighbouring regions, cheapest pair first (compiled)."""

from __future__ import annotations

import heapq

import numba
import numpy as np

from slicekit.superpixels.compiled import Kernel

NONE = -1
"""The end of a chain of neighbours."""


@Kernel
def join(labels, features, wanted, regions):
    """Merge the cheapest pair of neighbours again and again.

    The cost of a pair is the increase of the sum of squares within regions (Ward) over the share
    that their common border has of the shorter of their two borders. Of pairs that cost the same
    those with the smaller numbers go first.

    Args:
        labels: ``(y, x)`` int32, 0 outside, else 1 to K; numbers may be missing.
        features: ``(c, y, wide)`` float32; NaN counts as border, but has no intensity.
        wanted: ``(levels,)`` int64 numbers of regions, falling.
        regions: ``(levels, y, x)`` int32, written: 0 outside, else 1, 2, ... in the order of the
            smallest label in each.
    """
    count = int(labels.max()) + 1
    sizes, sums = _moments(labels, features, count)
    head, following, towards, lengths = _neighbours(labels, count)
    borders = _borders(head, following, lengths)
    parent, version = np.arange(count), np.zeros(count, np.int64)
    heap = [(0.0, 0, 0, 0, 0)]  # cost, pair, versions; a first one, for its type
    heap.pop()
    for one in range(1, count):
        edge = head[one]
        while edge != NONE:
            other = np.int64(towards[edge])
            if one < other:
                cost = _cost(one, other, lengths[edge], sizes, sums, borders)
                heapq.heappush(heap, (cost, np.int64(one), other, 0, 0))
            edge = following[edge]
    left, level = _present(labels, count), 0
    met = np.full(count, NONE, np.int32)
    while level < wanted.size:
        if left <= wanted[level] or not heap:
            _write(labels, parent, regions[level])
            level += 1
            continue
        _, one, other, first, second = heapq.heappop(heap)
        if version[one] != first or version[other] != second:
            continue
        parent[other] = one
        version[one] += 1
        version[other] = -1
        left -= 1
        sizes[one] += sizes[other]
        sums[one] += sums[other]
        common = _link(one, other, parent, head, following, towards, lengths, met)
        borders[one] += borders[other] - 2 * common
        edge = head[one]
        while edge != NONE:
            near = np.int64(towards[edge])
            low, high = min(one, near), max(one, near)
            cost = _cost(low, high, lengths[edge], sizes, sums, borders)
            heapq.heappush(heap, (cost, low, high, version[low], version[high]))
            edge = following[edge]


@numba.njit
def _cost(one, other, length, sizes, sums, borders):
    """Return what it costs to merge two neighbours."""
    pixels = sizes[one] * sizes[other]
    if pixels == 0:
        return 0.0
    apart = 0.0
    for c in range(sums.shape[1]):
        gap = sums[one, c] / sizes[one] - sums[other, c] / sizes[other]
        apart += gap * gap
    share = length / min(borders[one], borders[other])
    return pixels / (sizes[one] + sizes[other]) * apart / share


@numba.njit
def _moments(labels, features, count):
    """Return the pixels of each label that have an intensity, and the sums of intensities."""
    channels = features.shape[0]
    sizes, sums = np.zeros(count, np.float64), np.zeros((count, channels), np.float64)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            if features[0, y, x] == features[0, y, x]:
                sizes[labels[y, x]] += 1
                for c in range(channels):
                    sums[labels[y, x], c] += features[c, y, x]
    return sizes, sums


@numba.njit
def _present(labels, count):
    """Count the labels that occur."""
    seen = np.zeros(count, np.bool_)
    for label in labels.reshape(-1):
        seen[label] = True
    return seen[1:].sum()


@numba.njit
def _neighbours(labels, count):
    """Return chains of neighbours: each label's first, and every entry's next, label, length."""
    height, width = labels.shape
    head = np.full(count, NONE, np.int32)
    following, towards = np.empty(8 * count, np.int32), np.empty(8 * count, np.int32)
    lengths = np.zeros(8 * count, np.float64)
    used = 0
    for y in range(height):
        for x in range(width):
            one = labels[y, x]
            for down, right in ((0, 1), (1, 0)):
                if y + down == height or x + right == width:
                    continue
                other = labels[y + down, x + right]
                if one == other or one == 0 or other == 0:
                    continue
                for low, high in ((one, other), (other, one)):
                    edge = head[low]
                    while edge != NONE and towards[edge] != high:
                        edge = following[edge]
                    if edge == NONE:
                        if used == towards.size:
                            following = np.concatenate((following, np.empty_like(following)))
                            towards = np.concatenate((towards, np.empty_like(towards)))
                            lengths = np.concatenate((lengths, np.zeros_like(lengths)))
                        edge = used
                        used += 1
                        following[edge], head[low], towards[edge] = head[low], edge, high
                    lengths[edge] += 1
    return head, following, towards, lengths


@numba.njit
def _borders(head, following, lengths):
    """Return the length of each label's border with all its neighbours."""
    borders = np.zeros(head.size, np.float64)
    for one in range(head.size):
        edge = head[one]
        while edge != NONE:
            borders[one] += lengths[edge]
            edge = following[edge]
    return borders


@numba.njit
def _root(parent, one):
    while parent[one] != one:
        parent[one] = parent[parent[one]]
        one = parent[one]
    return one


@numba.njit
def _link(one, other, parent, head, following, towards, lengths, met):
    """Make one chain of two regions' neighbours; return the length of their common border."""
    common, chain = 0.0, NONE
    for begin in (head[one], head[other]):
        edge = begin
        while edge != NONE:
            follow, near = following[edge], _root(parent, np.int64(towards[edge]))
            if near == one:
                common += lengths[edge]
            elif met[near] != NONE:
                lengths[met[near]] += lengths[edge]
            else:
                towards[edge], following[edge] = near, chain
                met[near] = chain = edge
            edge = follow
    head[one] = chain
    edge = chain
    while edge != NONE:
        met[towards[edge]] = NONE
        edge = following[edge]
    return common / 2


@numba.njit
def _write(labels, parent, regions):
    """Write which region each pixel belongs to."""
    seen = np.zeros(parent.size, np.bool_)
    for label in labels.reshape(-1):
        seen[label] = True
    names = np.zeros(parent.size, np.int32)
    numbers = np.zeros(parent.size, np.int32)
    count = 0
    for label in range(1, parent.size):
        if seen[label]:
            root = _root(parent, label)
            if numbers[root] == 0:
                count += 1
                numbers[root] = count
            names[label] = numbers[root]
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            regions[y, x] = names[labels[y, x]]
