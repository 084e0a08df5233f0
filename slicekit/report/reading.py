"""Reading a scan as the user described it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from slicekit.data.intensity import from_gray
from slicekit.io import read_volume
from slicekit.volume import Volume


@dataclass(frozen=True, kw_only=True)
class ScanOptions:
    """What a user may say of a scan whose files do not tell all; see ``read_volume``."""

    volume_index: int | None = None
    """Which volume of a file that holds several."""
    spacing_mm: tuple[float, float, float] | None = None
    """Spacing ``(z, y, x)`` of a slice folder, which cannot tell."""
    gray_range: tuple[float, float] | None = None
    """HU that 0 and 255 of 8-bit pictures stand for."""
    series: str | None = None
    """Which of several DICOM series: its number, UID or description."""
    allow_uneven: bool = False
    """Whether uneven or tilted DICOM slices may be resampled."""

    def of_the_scan(self) -> dict[str, Any]:
        """Return what was said of the scan, as a sidecar tells it."""
        told = {one.name: getattr(self, one.name) for one in fields(ScanOptions)}
        return {key: list(one) if isinstance(one, tuple) else one for key, one in told.items()}


def read_scan(path: Path, options: ScanOptions) -> Volume:
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
