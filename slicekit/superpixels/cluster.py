"""SLIC's clustering of one slice: seeds, assignment, means (compiled)."""

from __future__ import annotations

import math

import numba
import numpy as np

from slicekit.superpixels.compiled import Kernel
from slicekit.superpixels.lanes import LANES, changes, lowest, nearest

OUTSIDE, NOBODY, EDGE = -1, -2, -3
"""Owners of pixels outside the mask, of pixels that no centre's window reached, of no pixels."""
STILL_PX = 0.1
"""Clustering ends when no centre moves farther than this along y or x."""


@Kernel
def cluster(features, width, step, wanted, compactness, iterations, stride):
    """Cluster the pixels of one slice in intensity and place.

    Args:
        features: ``(c, y, wide)`` float32 from ``standardise``; scaled in place.
        width: Columns of the slice.
        step: Distance of neighbouring seeds, S, in pixels.
        wanted: Seeds, about; never more than there are pixels inside.
        compactness: Deviations in intensity that weigh as much as one step, m.
        iterations: How often pixels are assigned and means taken, at most.
        stride: Each time only every so many rows; the last assignment sees all.

    Returns:
        Runs of pixels with one owner: the number of each row's first run ``(y + 1,)``, the first
        column of each run, one behind its last, and its owner: a centre, OUTSIDE or NOBODY.
    """
    features *= np.float32(step / compactness)
    centres = _seeds(features, width, step, wanted)
    sums = np.empty((centres.shape[0], centres.shape[1] + 1), np.float64)
    until = _until(features, width)
    for turn in range(iterations):
        sums[:] = 0.0
        _assign(features, until, centres, step, turn % stride, stride, sums, False)
        if _move(centres, sums) <= STILL_PX:
            break
    return _assign(features, until, centres, step, 0, 1, sums, True)


@numba.njit
def _until(features, width):
    """Return ``(c, y, x + 1)`` float64: the sum of a row's features left of each column."""
    channels, height, _ = features.shape
    until = np.zeros((channels, height, width + 1), np.float64)
    for c in range(channels):
        for y in range(height):
            total = 0.0
            for x in range(width):
                value = features[c, y, x]
                total += value if value == value else np.float32(0.0)
                until[c, y, x + 1] = total
    return until


@numba.njit
def _seeds(features, width, step, wanted):
    """Return ``(k, 2 + c)`` float32 y, x, features: the grid's points inside the mask.

    A mask so thin that the grid misses most of it gets seeds at even distances, row by row.
    """
    channels, height, _ = features.shape
    rows, columns = max(1, round(height / step)), max(1, round(width / step))
    centres = np.empty((max(wanted, rows * columns), 2 + channels), np.float32)
    count = 0
    for row in range(rows):
        for column in range(columns):
            y, x = (row + 0.5) * height / rows - 0.5, (column + 0.5) * width / columns - 0.5
            pixel = features[0, _nearest_pixel(y), _nearest_pixel(x)]
            if pixel == pixel:
                centres[count, 0], centres[count, 1] = y, x
                count += 1
    if 2 * count < wanted:
        count = _evenly(features, width, wanted, centres)
    for name in range(count):
        y, x = _nearest_pixel(centres[name, 0]), _nearest_pixel(centres[name, 1])
        if step >= 3:
            calm_y, calm_x = _calmest(features, width, y, x)
            centres[name, 0] += calm_y - y
            centres[name, 1] += calm_x - x
            y, x = calm_y, calm_x
        for c in range(channels):
            centres[name, 2 + c] = features[c, y, x]
    return centres[:count]


@numba.njit
def _nearest_pixel(place):
    return int(place + 0.5)


@numba.njit
def _evenly(features, width, wanted, centres):
    """Take so many of the pixels inside, at even distances row by row; return how many."""
    inside = 0
    for y in range(features.shape[1]):
        for x in range(width):
            inside += features[0, y, x] == features[0, y, x]
    wanted = min(wanted, inside)
    passed = count = 0
    for y in range(features.shape[1]):
        for x in range(width):
            if features[0, y, x] == features[0, y, x]:
                if count < wanted and passed == (2 * count + 1) * inside // (2 * wanted):
                    centres[count, 0], centres[count, 1] = y, x
                    count += 1
                passed += 1
    return count


@numba.njit
def _calmest(features, width, y0, x0):
    """Return the place with the lowest gradient among a pixel and its eight neighbours."""
    channels, height, _ = features.shape
    lowest_yet, found_y, found_x = np.inf, y0, x0
    for y in range(max(1, y0 - 1), min(height - 1, y0 + 2)):
        for x in range(max(1, x0 - 1), min(width - 1, x0 + 2)):
            gradient = 0.0
            for c in range(channels):
                down = features[c, y + 1, x] - features[c, y - 1, x]
                right = features[c, y, x + 1] - features[c, y, x - 1]
                gradient += down * down + right * right + 0.0 * features[c, y, x]
            middle = y == y0 and x == x0
            if gradient < lowest_yet or (middle and gradient <= lowest_yet):
                lowest_yet, found_y, found_x = gradient, y, x
    return found_y, found_x


@numba.njit
def _assign(features, until, centres, step, start, stride, sums, final):
    """Give the pixels of every ``stride``-th row to their nearest centres.

    What each centre got is added to ``sums``, or finally returned as runs.
    """
    channels, height, wide = features.shape
    width, flat = until.shape[2] - 1, features.reshape(-1)
    reach = math.ceil(step)
    starts, listed, names = _by_block(centres, reach, height, wide // LANES)
    owner = np.full(LANES + wide + LANES, EDGE, np.int32)
    first = np.zeros(height + 1, np.int32)
    runs = np.empty((3, height * width if final else 0), np.int32)
    total = 0
    for y in range(start, height, stride):
        owner[LANES : LANES + wide] = OUTSIDE
        top, bottom = max(0, y - reach), min(height - 1, y + reach) + 1
        for x in range(0, wide, LANES):
            block = x // LANES
            at, low, high = y * wide + x, starts[block, top], starts[block, bottom]
            if channels == 1:  # a number that is known when this is compiled
                nearest(
                    flat, at, 0, 1, np.float32(y), np.float32(x),
                    listed, names, low, high, owner, LANES + x,
                )  # fmt: skip
            else:
                nearest(
                    flat, at, height * wide, channels, np.float32(y), np.float32(x),
                    listed, names, low, high, owner, LANES + x,
                )  # fmt: skip
        if final:
            total = _record(owner, features[0, y], width, runs, total)
            first[y + 1] = total
        else:
            _gather(owner, y, width, until, sums)
    return first, runs[0, :total].copy(), runs[1, :total].copy(), runs[2, :total].copy()


@numba.njit
def _gather(owner, y, width, until, sums):
    """Add one row's pixels to the sums of their owners, a run of one owner at a time."""
    begin = 0
    for x in range(LANES, owner.size - LANES + 1, LANES):
        bits = changes(owner, x)
        while bits:
            end = min(x - LANES + lowest(bits), width)
            bits &= bits - np.uint32(1)
            name, length = owner[LANES + begin], end - begin
            if name >= 0 and length > 0:
                sums[name, 0] += length
                sums[name, 1] += length * y
                sums[name, 2] += 0.5 * length * (begin + end - 1)
                for c in range(until.shape[0]):
                    sums[name, 3 + c] += until[c, y, end] - until[c, y, begin]
            begin = end


@numba.njit
def _record(owner, row, width, runs, total):
    """Append the runs of one row to the list; return its new length."""
    begin = 0
    for x in range(LANES, owner.size - LANES + 1, LANES):
        bits = changes(owner, x)
        while bits:
            end = min(x - LANES + lowest(bits), width)
            bits &= bits - np.uint32(1)
            while begin < end:
                name, stop = owner[LANES + begin], end
                if name == OUTSIDE:
                    inside = row[begin] == row[begin]
                    name, stop = NOBODY if inside else OUTSIDE, begin + 1
                    while stop < end and (row[stop] == row[stop]) == inside:
                        stop += 1
                runs[0, total], runs[1, total], runs[2, total] = begin, stop, name
                total += 1
                begin = stop
    return total


@numba.njit
def _by_block(centres, reach, height, blocks):
    """List for every block of sixteen columns the centres whose windows meet it, by rows.

    Returns:
        ``(block, y + 2)``: where in the list the centres of a row begin; the listed centres one
        after another; their names.
    """
    count, entry = centres.shape
    starts = np.zeros((blocks, height + 2), np.int32)
    for name in range(count):
        row, left, right = _window(centres, name, reach, blocks)
        for block in range(left, right):
            starts[block, row + 2] += 1
    total = 0
    for block in range(blocks):
        starts[block, 0] = starts[block, 1] = total
        for row in range(height):
            starts[block, row + 2] += starts[block, row + 1]
        total = starts[block, height + 1]
    listed, names = np.empty((total, entry), np.float32), np.empty(total, np.int32)
    for name in range(count):
        row, left, right = _window(centres, name, reach, blocks)
        for block in range(left, right):
            place = starts[block, row + 1]
            for part in range(entry):
                listed[place, part] = centres[name, part]
            names[place] = name
            starts[block, row + 1] += 1
    return starts, listed.reshape(-1), names


@numba.njit
def _window(centres, name, reach, blocks):
    """Return the row of a centre, and the first and one behind the last block it reaches."""
    row, column = _nearest_pixel(centres[name, 0]), _nearest_pixel(centres[name, 1])
    left, right = max(0, column - reach), column + reach
    return row, left // LANES, min(blocks, right // LANES + 1)


@numba.njit
def _move(centres, sums):
    """Put every centre at the mean of its pixels; return how far the one that moved most went."""
    farthest = 0.0
    for name in range(centres.shape[0]):
        pixels = sums[name, 0]
        if pixels > 0:
            for axis in range(2):
                mean = sums[name, 1 + axis] / pixels
                farthest = max(farthest, abs(mean - centres[name, axis]))
                centres[name, axis] = mean
            for c in range(2, centres.shape[1]):
                centres[name, c] = sums[name, 1 + c] / pixels
    return farthest
