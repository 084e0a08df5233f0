"""Which scan labels were made of: named in their sidecar, and found again from there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from slicekit.report.made import has_changed


def name_scan(scan: Path, labels: Path) -> dict[str, str]:
    """Name a scan so that it is found from anywhere, and after both were moved together.

    Args:
        scan: As the user typed it.
        labels: Where its labels go.

    Returns:
        For the sidecar: ``scan``, the absolute path, and ``scan_from_labels``, the way from the
        folder of the labels, where there is one.
    """
    told = {"scan": str(_absolute(scan))}
    try:
        way = os.path.relpath(_settled(scan), _settled(labels).parent)
    except ValueError:  # on another drive
        return told
    return told | {"scan_from_labels": Path(way).as_posix()}


def find_scan(told: Mapping[str, Any], labels: Path) -> Path | None:
    """Find the scan that a sidecar names; never the labels themselves, nor another scan.

    Args:
        told: The sidecar. Its ``stamp`` decides whether a scan is the one; without a stamp a
            relative path counts for nothing, as nobody knows where it was typed.
        labels: Beside which it lies.

    Returns:
        The scan, ``None`` where it lies elsewhere or is another.
    """
    stamp = told.get("stamp")
    for path in _candidates(told, labels.parent, stamped=isinstance(stamp, Mapping)):
        try:
            known = path.exists() and not (labels.exists() and path.samefile(labels))
        except (OSError, ValueError):
            continue
        if known and not has_changed(path, stamp):
            return path
    return None


def _candidates(told: Mapping[str, Any], folder: Path, *, stamped: bool) -> Iterator[Path]:
    scan, way = told.get("scan"), told.get("scan_from_labels")
    if isinstance(scan, str) and scan and (stamped or Path(scan).is_absolute()):
        yield Path(scan)
    if isinstance(way, str) and way:
        yield folder / way
    if isinstance(scan, str) and scan and stamped:
        yield folder / scan


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - a link keeps its own name


def _settled(path: Path) -> Path:
    """Return a path without links above its last name, so that ``..`` leads where it says."""
    absolute = _absolute(path)
    return absolute.parent.resolve() / absolute.name
