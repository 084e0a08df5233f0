"""Where the body lies in a scan."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from slicekit.checks import expect_shape
from slicekit.errors import ShapeError

COARSE_PX = 128
"""Cells along the longer side of the coarse grid on which the body is sought."""
CELL_SHARE = 0.25
"""A cell belongs to something when so much of it is bright: fat straddles the usual threshold."""
MARGIN_SHARE = 0.02
"""Margin around the body on every side, as a share of the slice."""
LOWEST_HU = -1024.0
"""What scanners write below air is padding, as dark as air."""
LEVELS = 1024
"""Steps of the histogram that the threshold of the body is found in."""
BLUR_PX = 2
"""Reach of the smoothing; so far from its edge, a body must be bright without it too."""
BODY_SHARE = 0.15
"""The threshold's place between the mean of the dark and that of the bright."""
OPENING_SHARE = 0.012
"""Things thinner than so much of the slice's longer side are no body: table, cables."""
PIECE_SHARE = 0.1
"""A piece is body when it is so large beside the largest of its slice: arms, legs."""
LEAST_SHARE = 0.002
"""Less than so much of a slice is no body."""


def body_box(volume: NDArray[Any], *, threshold_hu: float = -100.0) -> tuple[int, int, int, int]:
    """Find the rectangle that holds the body in every slice.

    Cells of a coarse in-plane grid are bright or dark; thin things such as the table's shell are
    opened away; of what remains the largest piece in three dimensions is the body. Only
    comparisons with the threshold are made, so intensities clipped on either side of it give
    the same box.

    Args:
        volume: ``(z, y, x)`` intensities; blank slices and NaN are dark.
        threshold_hu: What is brighter may be body; the image's own unit where it is not CT.

    Returns:
        ``(y0, y1, x0, x1)``: rows ``y0:y1`` and columns ``x0:x1`` hold the body and a margin of
        2 % of the slice (2 pixels at least). The whole slice when nothing is found.

    Raises:
        ShapeError: The volume has not three axes.

    Example:
        >>> scan = np.full((4, 100, 100), -1000)
        >>> scan[:, 30:70, 20:80] = 40
        >>> body_box(scan)
        (28, 72, 18, 82)
    """
    expect_shape("volume", volume, "z y x")
    _, height, width = volume.shape
    cell = max(1, max(height, width) // COARSE_PX)
    pieces, count = ndimage.label(_coarse(volume, threshold_hu, cell=cell))
    if not count:
        return 0, height, 0, width
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    body = pieces == sizes.argmax()
    y0, y1 = _span(body.any(axis=(0, 2)), cell=cell, size=height)
    x0, x1 = _span(body.any(axis=(0, 1)), cell=cell, size=width)
    return y0, y1, x0, x1


def foreground(slices: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell body from air in every slice, in CT and MR alike.

    One threshold serves all slices: in the histogram of the roots of smoothed intensities, which
    spread the dark end, dark and bright are parted by Otsu's criterion; the threshold lies not
    far above the mean of the dark, so that fat is body even where air was clipped just below it.
    Thin things are opened away; of each slice the
    largest piece stays, with others of at least a tenth of its size, and holes are filled.

    Args:
        slices: ``(n, y, x)`` intensities of any unit and range; what belongs together, such as
            the slices of a scan. NaN and infinities are background.

    Returns:
        ``(n, y, x)`` bool. Slices without a body and those of a constant scan are all False.

    Raises:
        ShapeError: The slices have not three axes, or hold no numbers.

    Example:
        >>> scan = np.zeros((2, 64, 64))
        >>> scan[0, 16:48, 16:48] = 300
        >>> foreground(scan).any(axis=(1, 2)).tolist()
        [True, False]

    Reference:
        Otsu 1979, A Threshold Selection Method from Gray-Level Histograms, equation 18.
    """
    expect_shape("slices", slices, "n y x")
    if slices.dtype.kind not in "biuf":
        raise ShapeError(f"slices must hold whole or floating numbers, got {slices.dtype}")
    body = np.zeros(slices.shape, dtype=np.bool_)
    limits = _limits(slices)
    if limits is None:
        return body
    counts = np.zeros(LEVELS, dtype=np.int64)
    for plane in slices:
        levels = np.sqrt(_smooth(_share(plane, *limits))) * np.float32(LEVELS - 1)
        counts += np.bincount(levels.astype(np.intp).ravel(), minlength=LEVELS)
    threshold = np.float32(_body_level(counts) / (LEVELS - 1)) ** 2
    for z, plane in enumerate(slices):
        share = _share(plane, *limits)
        solid = _pieces(_smooth(share) > threshold)
        inner = cv2.erode(solid.astype(np.uint8), np.ones((2 * BLUR_PX + 1,) * 2, np.uint8))
        body[z] = _pieces((inner > 0) | (solid & (share > threshold)))
    return body


def _limits(slices: NDArray[Any]) -> tuple[float, float] | None:
    """Return the darkest and brightest intensity that counts; ``None`` where all are one."""
    sample = slices[:, ::3, ::3] if min(slices.shape[1:], default=0) > 64 else slices
    finite = sample[np.isfinite(sample)]
    if not finite.size:
        return None
    if finite.max() > LOWEST_HU:
        finite = np.maximum(finite, LOWEST_HU)
    low, high = (float(value) for value in np.percentile(finite, (0.5, 99.5)))
    if high <= low:
        low, high = float(finite.min()), float(finite.max())
    return (low, high) if high > low else None


def _share(plane: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    """Return ``(y, x)`` in 0 to 1: where intensities lie between the limits; 0 for no number."""
    with np.errstate(over="ignore", invalid="ignore"):
        share: NDArray[np.float32] = plane.astype(np.float32) - np.float32(low)
        share /= np.float32(high - low)
    share[~np.isfinite(share)] = 0
    return np.clip(share, 0, 1, out=share)


def _smooth(share: NDArray[np.float32]) -> NDArray[np.float32]:
    size = 2 * BLUR_PX + 1
    return np.asarray(cv2.GaussianBlur(share, (size, size), BLUR_PX / 2), dtype=np.float32)


def _body_level(counts: NDArray[np.int64]) -> float:
    """Return the level above which something is body, from the histogram of all slices."""
    levels = np.arange(LEVELS)
    below, total = np.cumsum(counts), counts.sum()
    weight = np.cumsum(counts * levels)
    with np.errstate(divide="ignore", invalid="ignore"):
        dark, bright = weight / below, (weight[-1] - weight) / (total - below)
        between = below * (total - below) * np.square(bright - dark)
    best = int(np.nanargmax(between[:-1]))
    return float(dark[best] + BODY_SHARE * (bright[best] - dark[best]))


def _pieces(bright: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the large pieces of one slice, thin things opened away, holes filled."""
    size = max(1, round(OPENING_SHARE * max(bright.shape)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * size + 1, 2 * size + 1))
    opened = cv2.morphologyEx(bright.astype(np.uint8), cv2.MORPH_OPEN, kernel)
    _, pieces = cv2.connectedComponents(opened, connectivity=4)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    if sizes.max() < max(1.0, LEAST_SHARE * bright.size):
        return np.zeros_like(bright)
    kept = sizes >= PIECE_SHARE * sizes.max()
    outside = cv2.copyMakeBorder(
        (~kept[pieces]).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1
    )
    _, holes = cv2.connectedComponents(outside, connectivity=4)
    return np.asarray(holes[1:-1, 1:-1] != holes[0, 0])


def _coarse(volume: NDArray[Any], threshold_hu: float, *, cell: int) -> NDArray[np.bool_]:
    """Return ``(z, y / cell, x / cell)``: which cells are bright, thin things opened away."""
    slices, height, width = volume.shape
    rows, columns = -(-height // cell), -(-width // cell)
    coarse = np.zeros((slices, rows, columns), dtype=np.bool_)
    bright = np.zeros((rows * cell, columns * cell), dtype=np.bool_)
    for z, plane in enumerate(volume):
        np.greater(plane, threshold_hu, out=bright[:height, :width])
        share = bright.reshape(rows, cell, columns, cell).mean(axis=(1, 3))
        coarse[z] = ndimage.binary_opening(share >= CELL_SHARE, structure=np.ones((3, 3), np.bool_))
    return coarse


def _span(along: NDArray[np.bool_], *, cell: int, size: int) -> tuple[int, int]:
    """Return first and last + 1 pixel of the true cells of one axis, with the margin."""
    cells = np.flatnonzero(along)
    margin = max(2, round(MARGIN_SHARE * size))
    return (
        max(0, int(cells[0]) * cell - margin),
        min(size, (int(cells[-1]) + 1) * cell + margin),
    )
