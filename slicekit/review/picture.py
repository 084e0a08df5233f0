"""A scan as a browser takes it: 16-bit numbers, and what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slicekit.data.intensity import holds_hu
from slicekit.io import FolderSource, stored_slice
from slicekit.volume import Volume
from slicekit.windows import ABDOMEN, BONE, CHEST, Window, percentile_window

_LIVER = Window(level_hu=30, width_hu=150)
_LOW, _HIGH = -32_768, 32_767
_SOME = 4


class Preset(NamedTuple):
    """A window by its name."""

    name: str
    low: float
    high: float


class Picture:
    """A scan in 16-bit numbers; ``number * slope + offset`` is the intensity.

    Args:
        scan: The scan.
        windows: Of the model, shown first; of a scan that is no CT they mean nothing.
    """

    def __init__(self, scan: Volume, windows: Sequence[Window] = ()) -> None:
        self._array = scan.array
        self.slope, self.offset = 1.0, 0.0
        low, high = float(scan.array.min()), float(scan.array.max())
        if scan.array.dtype.kind not in "iub" or low < _LOW or high > _HIGH:
            self.slope = max((high - low) / (_HIGH - _LOW), 1e-12)
            self.offset = low - _LOW * self.slope
        self.presets = _presets(scan, windows, low, high)
        self.numbers = _numbers(scan)

    def plane(self, z: int) -> bytes:
        """Return one slice ``(y, x)`` as little-endian int16."""
        plane: NDArray[Any] = self._array[z]
        if (self.slope, self.offset) != (1.0, 0.0):
            scaled = (plane.astype(np.float64) - self.offset) / self.slope
            plane = np.clip(np.rint(scaled), _LOW, _HIGH)
        return np.ascontiguousarray(plane, "<i2").tobytes()


def _presets(
    scan: Volume, windows: Sequence[Window], low: float, high: float
) -> tuple[Preset, ...]:
    """Return windows to look through, the one to begin with first."""
    if not holds_hu(scan):
        some = percentile_window(scan.array[::_SOME, ::_SOME, ::_SOME])
        full = Window.from_range(low, high if high > low else low + 1)
        named = [("contrast", some), ("everything", full)]
    else:
        own = [("model {:g} … {:g}".format(*one.range_hu), one) for one in windows]
        named = [
            *own, ("abdomen", ABDOMEN), ("liver", _LIVER), ("chest", CHEST), ("bone", BONE),
        ]  # fmt: skip
    return tuple(Preset(name, *window.range_hu) for name, window in named)


def _numbers(scan: Volume) -> tuple[int, ...]:
    """Return how the file counts its slices, from the first one inside to the last."""
    source = scan.source
    if isinstance(source, FolderSource) and source.numbers:
        return tuple(source.numbers)
    return tuple(stored_slice(scan, z) for z in range(scan.shape[0]))
