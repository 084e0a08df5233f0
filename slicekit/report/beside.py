"""Writing labels and what lies beside them: sidecar, statistics and picture, all or nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from slicekit.errors import WriteError
from slicekit.io.atomic import staged, why_not_written, write_folder_atomically, write_text
from slicekit.labels import LabelSet
from slicekit.report.batch import Beside, outputs_beside
from slicekit.report.statistics import statistics
from slicekit.volume import Volume


@contextmanager
def together(labels: Path) -> Iterator[Path]:
    """Let labels and what lies beside them appear together, the sidecar last.

    What an earlier run left under their names goes first. Where the block fails, nothing changes.

    Args:
        labels: A label file or a folder of masks.

    Yields:
        Where the labels are to be written meanwhile, and ``outputs_beside`` them the others.

    Raises:
        WriteError: A file cannot be written, moved or removed; it names the final path.
    """
    with staged(labels) as folder:
        new = folder / labels.name
        yield new
        _publish(new, labels, outputs_beside(labels))


def _publish(new: Path, labels: Path, beside: Beside) -> None:
    """Give finished files their names; what they replace goes first."""
    remove_stale(beside)
    if new.is_dir():
        write_folder_atomically(labels, partial(_move_all, new))
    else:
        new.replace(labels)
    for path in (beside.statistics, beside.preview, beside.uncertainty, beside.sidecar):
        if (made := new.with_name(path.name)).exists():
            made.replace(path)


def _move_all(here: Path, there: Path) -> None:
    for file in here.iterdir():
        file.rename(there / file.name)


def remove_stale(paths: Iterable[Path]) -> None:
    """Remove what belongs to labels that are about to be replaced.

    Raises:
        WriteError: One cannot be removed.
    """
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as fault:
            raise WriteError(path, why_not_written(fault, path)) from fault


def write_statistics(
    path: Path,
    image: Volume,
    labels: Volume,
    names: LabelSet,
    *,
    in_hu: bool,
    spacing_known: bool,
    more: Mapping[str, Mapping[str, float | None]] = {},
) -> dict[str, dict[str, Any]]:
    """Measure every organ and write what was found.

    Args:
        path: Of the JSON file.
        image: The scan on the grid of the labels.
        labels: ``(z, y, x)`` ids on the grid that they are written with.
        names: The organs to measure.
        in_hu: Whether mean intensities mean anything.
        spacing_known: Whether volumes do; else they are written as ``None``.
        more: Organ to figures that belong to its entry.

    Returns:
        As ``statistics``; ``volume_ml`` is ``None`` where the spacing is not known.

    Raises:
        WriteError: It cannot be written.
    """
    stats = statistics(labels, names, image=image if in_hu else None)
    for organ, figures in more.items():
        for key, value in figures.items():
            stats[organ][key] = None if value is None else round(value, 4)
    if not spacing_known:
        for figures in stats.values():
            figures["volume_ml"] = None
    grid = {"spacing_mm": list(labels.spacing_mm), "spacing_known": spacing_known}
    write_json(path, {**grid, "organs": stats})
    return stats


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON whole or not at all.

    Raises:
        WriteError: It cannot be written.
    """
    write_text(path, json.dumps(content, indent=2) + "\n")
