"""The saved label map and its last versions: kept, listed, and read again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from slicekit.errors import ReadError, WriteError
from slicekit.io import read_labels, write_labels
from slicekit.io.atomic import why_not_written, write_atomically, write_text
from slicekit.labels import LabelSet
from slicekit.review.cases import VERSIONS, ReviewCase
from slicekit.review.faults import UnknownCaseError
from slicekit.review.opening import ids_in
from slicekit.review.store import Snapshot, drawn_slices, mapping
from slicekit.volume import Volume

_ENDING = ".nii.gz"


class Version(NamedTuple):
    """A version that is kept: a label map, and beside it a note."""

    number: int
    labels: Path

    @property
    def note(self) -> Path:
        """When and why it was kept, volumes, and which slices were drawn."""
        return self.labels.with_name(f"{self.number:04}.json")

    def read_note(self) -> Mapping[str, Any]:
        """Return what was noted of it.

        Raises:
            ReadError: The note is missing or cannot be read.
        """
        try:
            content = json.loads(self.note.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as fault:
            raise ReadError(
                self.note,
                f"tells what was drawn in version {self.number}, but cannot be read ({fault}); "
                f"open {self.labels} with --labels instead",
            ) from fault
        if not isinstance(content, dict):
            raise ReadError(self.note, "is no note of a version; open its labels with --labels")
        return content


def versions(case: ReviewCase) -> list[Version]:
    """List the versions that are kept, the oldest first."""
    files = case.versions.glob(f"*{_ENDING}") if case.versions.is_dir() else ()
    stems = ((file.name.removesuffix(_ENDING), file) for file in files)
    return sorted(Version(int(stem), file) for stem, file in stems if stem.isdecimal())


def save_labels(case: ReviewCase, scan: Volume, held: Snapshot, *, most: int = VERSIONS) -> Version:
    """Write ``CASE.nii.gz``, and keep it among the last versions, of which there are ``most``.

    Labels that equal the last version make no new one.

    Raises:
        WriteError: It cannot be written whole; what stood there still stands.
    """
    write_labels(case.labels, held.labels, like=scan, overwrite=True)
    known = versions(case)
    try:
        if known and known[-1].labels.read_bytes() == case.labels.read_bytes():
            _write_note(known[-1], scan, held, why="saved")
            return known[-1]
    except OSError as fault:
        raise WriteError(case.versions, why_not_written(fault, case.versions)) from fault

    def copy(target: Path) -> None:
        write_atomically(target, lambda file: _copy(case.labels, file))

    return _keep(case, scan, held, copy, why="saved", most=most)


def keep_present(
    case: ReviewCase, scan: Volume, held: Snapshot, *, instead: int, most: int = VERSIONS
) -> Version:
    """Keep what is there now as a version before another one takes its place.

    Args:
        case: Which one.
        scan: Its scan.
        held: What is there now.
        instead: The version that comes back; it is kept, however old it is.
        most: Versions that are kept.

    Raises:
        WriteError: It cannot be written whole.
    """

    def write(target: Path) -> None:
        write_labels(target, held.labels, like=scan, overwrite=True)

    why = f"before version {instead} was restored"
    return _keep(case, scan, held, write, why=why, most=most, spare=instead)


def read_version(case: ReviewCase, scan: Volume, number: int) -> Snapshot:
    """Read a version with what was drawn in it.

    Raises:
        UnknownCaseError: It is not kept.
        ReadError: It is damaged.
        GeometryError: It belongs to another scan.
    """
    found = next((one for one in versions(case) if one.number == number), None)
    if found is None:
        raise UnknownCaseError(
            f"version {number} is not kept any more; choose one of the list, which is loaded anew"
        )
    note = found.read_note()
    labels = read_labels(found.labels, like=scan).array
    try:
        names = LabelSet.from_dataset(note["labels"])
        drawn: dict[int, dict[int, Any]] = {}
        for name, zs in note["drawn"].items():
            n = names.ids[name]
            drawn[n] = {z: np.asarray(labels[z] == n) for z in zs}
            if not all(type(z) is int and 0 <= z < len(labels) for z in zs):
                raise ValueError(f"{name} cannot be drawn on {zs}")
        nameless = ids_in(labels) - set(names.ids.values())
        if nameless:
            raise ValueError(f"it does not name the ids {sorted(nameless)}")
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as fault:
        raise ReadError(
            found.note, f"is no note of this version ({fault}); open its labels with --labels"
        ) from fault
    about = {"origin": note.get("origin", {}), "doubt": note.get("doubt", {})}
    return Snapshot(0, labels, drawn, names, about)


def listed(case: ReviewCase) -> list[dict[str, Any]]:
    """Return the versions, the newest first, ready for JSON; without volumes where no note is."""
    found = []
    for one in reversed(versions(case)):
        try:
            note = one.read_note()
        except ReadError:
            note = {}
        drawn = mapping(note.get("drawn"))
        volumes = mapping(note.get("volumes_ml"))
        found.append({
            "number": one.number,
            "at": str(note.get("at", "")),
            "why": str(note.get("why", "saved")),
            "volumes_ml": {
                name: ml for name, ml in volumes.items() if isinstance(ml, int | float)
            },
            "drawn": len({z for zs in drawn.values() if isinstance(zs, list) for z in zs}),
            "complete": bool(note),
        })  # fmt: skip
    return found


def _keep(
    case: ReviewCase,
    scan: Volume,
    held: Snapshot,
    write: Callable[[Path], None],
    *,
    why: str,
    most: int,
    spare: int = 0,
) -> Version:
    """Write the next version, its note first, and remove the oldest beyond ``most``."""
    known = versions(case)
    number = known[-1].number + 1 if known else 1
    made = Version(number, case.versions / f"{number:04}{_ENDING}")
    try:
        _write_note(made, scan, held, why=why)
        write(made.labels)
        leaving = [one for one in known if one.number != spare]
        for old in leaving[: max(0, len(known) + 1 - most)]:
            old.labels.unlink(missing_ok=True)
            old.note.unlink(missing_ok=True)
    except OSError as fault:
        if isinstance(fault, WriteError):
            raise
        raise WriteError(case.versions, why_not_written(fault, case.versions)) from fault
    return made


def _write_note(version: Version, scan: Volume, held: Snapshot, *, why: str) -> None:
    counts = np.zeros(int(max(held.names.ids.values(), default=0)) + 1, np.int64)
    for plane in held.labels:
        found = np.bincount(plane.ravel(), minlength=len(counts))
        counts += found[: len(counts)]
    content = {
        "at": datetime.now().astimezone().isoformat(timespec="seconds"),
        "why": why,
        "labels": {"background": 0, **held.names.ids},
        "volumes_ml": {
            name: round(int(counts[n]) * scan.voxel_ml, 3) for name, n in held.names.ids.items()
        },
        "drawn": drawn_slices(held),
        **held.about,
    }
    write_text(version.note, json.dumps(content) + "\n")


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
