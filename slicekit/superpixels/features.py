"""Intensities as superpixels see them: in units of their own spread (compiled)."""

from __future__ import annotations

import math

import numba
import numpy as np

from slicekit.superpixels.compiled import Kernel


@Kernel
def standardise(pixels, mask, wide):
    """Centre and scale the intensities; pixels outside the mask and not finite ones become NaN.

    Args:
        pixels: ``(y, x, c)`` float32.
        mask: ``(y, x)`` bool; ``(0, 0)`` where all is inside.
        wide: Columns of the features, at least ``x``.

    Returns:
        ``(c, y, wide)`` float32 in mean absolute deviations from the mean, shrunk by the root of
        the number of channels so that a repeated channel changes no distance; the number of
        pixels inside.
    """
    height, width, channels = pixels.shape
    features = np.full((channels, height, wide), np.float32(np.nan), np.float32)
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                value = pixels[y, x, c]
                features[c, y, x] = value if value - value == 0 else np.float32(np.nan)
    if mask.size:
        for y in range(height):
            for x in range(width):
                features[0, y, x] = features[0, y, x] if mask[y, x] else np.float32(np.nan)
    if channels > 1:  # what is NaN in one channel becomes so in all
        for y in range(height):
            for x in range(width):
                nothing = np.float32(0)
                for c in range(channels):
                    nothing += 0 * features[c, y, x]
                for c in range(channels):
                    features[c, y, x] += nothing
    inside = 0
    for c in range(channels):
        total, inside = _total(features[c], 0.0, False)
        middle = total / max(1, inside)
        spread = _total(features[c], middle, True)[0] / max(1, inside)
        scale = np.float32(0)
        if spread > 1e-6 * abs(middle) and spread > 1e-30:
            scale = np.float32(1 / (spread * math.sqrt(channels)))
        features[c] = (features[c] - np.float32(middle)) * scale
    return features, inside


@numba.njit(fastmath={"reassoc", "nsz"})
def _total(plane, middle, absolute):
    """Sum what is not NaN, or its distance from the middle, in float64; count it too."""
    total, count = 0.0, 0
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            value = np.float64(plane[y, x]) - middle
            value = abs(value) if absolute else value
            good = value == value
            total += value if good else 0.0
            count += good
    return total, count
