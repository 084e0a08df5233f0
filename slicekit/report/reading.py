"""Reading a scan as the user described it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from slicekit.data.intensity import from_gray
from slicekit.io import read_volume
from slicekit.volume import Volume


class Described(Protocol):
    """What a user may say of a scan whose files do not tell all; see ``read_volume``."""

    @property
    def volume_index(self) -> int | None:
        """Which volume of a time series."""

    @property
    def spacing_mm(self) -> tuple[float, float, float] | None:
        """Spacing ``(z, y, x)`` of a slice folder."""

    @property
    def series(self) -> str | None:
        """Which of several DICOM series."""

    @property
    def allow_uneven(self) -> bool:
        """Whether uneven or tilted DICOM slices may be resampled."""

    @property
    def gray_range(self) -> tuple[float, float] | None:
        """HU that 0 and 255 of 8-bit pictures stand for."""


def read_scan(path: Path, options: Described) -> Volume:
    """Read a scan as the user described it.

    Raises:
        ReadError: It cannot be read, or not so.
    """
    found = read_volume(
        path,
        volume_index=options.volume_index,
        spacing_mm=options.spacing_mm,
        series=options.series,
        allow_uneven=options.allow_uneven,
    )
    if options.gray_range is None:
        return found
    return from_gray(found, *options.gray_range, name=str(path))
