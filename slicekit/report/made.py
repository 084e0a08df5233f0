"""How labels were made, as their sidecar tells, and whether they are what is wanted now."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, NamedTuple

import slicekit
from slicekit.errors import SlicekitError
from slicekit.io import read_labels
from slicekit.io.listing import dicom_files, holds_dicom, may_be_dicom
from slicekit.report.batch import outputs_beside

_PACKAGES = ("torch", "numpy", "nibabel", "openvino")
State = Literal["absent", "done", "other", "unfinished"]


@dataclass(frozen=True)
class Wanted:
    """What decides how the labels of a scan turn out."""

    weights_sha256: Mapping[str, str]
    """Model name to the SHA-256 of its tensors."""
    settings_sha256: str
    """Of what the recipes say about organs, input, networks and inference."""
    options: Mapping[str, Any]
    """What a user said that changes labels; ready for JSON."""
    preview: bool = False
    """Whether a picture is wanted."""
    uncertainty: bool = False
    """Whether an uncertainty map is wanted."""


class Found(NamedTuple):
    """What lies where labels are to be written."""

    state: State
    """``absent``: nothing. ``done``: what is wanted. ``other``: something else. ``unfinished``:
    files without the sidecar that tells what they are."""
    why: str = ""
    """What is otherwise, as the end of a sentence that begins with the labels; of what is
    ``done`` that a person changed it since."""


def versions() -> dict[str, str]:
    """Return the versions that results may depend on."""
    found = {"slicekit": slicekit.__version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def stamp(scan: Path) -> dict[str, Any] | None:
    """Describe a scan so that a change of it is noticed; nothing for a folder of slices.

    It is taken before the scan is read, so that one that is replaced meanwhile is another.

    Of a DICOM folder it is the files that may belong to a series: their names and sizes, their
    times, and their content. Labels that were written beside them change nothing.
    """
    try:
        facts = _facts(scan)
        return None if facts is None else facts | {"sha256": digest(scan)}
    except OSError:
        return None  # whoever reads the scan says why


def _facts(scan: Path) -> dict[str, Any] | None:
    """Return what a folder's listing tells of a scan; nothing of it is read."""
    if scan.is_file():
        facts = scan.stat()
        return {"bytes": facts.st_size, "modified_ns": facts.st_mtime_ns}
    if not holds_dicom(scan):
        return None
    listing = [(name, (scan / name).stat()) for name in _files(scan)]
    names = json.dumps([[name, facts.st_size] for name, facts in listing])
    times = json.dumps([facts.st_mtime_ns for _, facts in listing])
    return {
        "files": len(listing),
        "bytes": sum(facts.st_size for _, facts in listing),
        "names_sha256": hashlib.sha256(names.encode("ascii")).hexdigest(),
        "modified_ns": hashlib.sha256(times.encode("ascii")).hexdigest(),
    }


def _files(folder: Path) -> list[str]:
    return [name for name in dicom_files(folder) if may_be_dicom(Path(name))]


def digest(file: Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of a DICOM folder's."""
    if file.is_dir():
        inside = {name: digest(file / name) for name in _files(file)}
        return hashlib.sha256(json.dumps(inside).encode("ascii")).hexdigest()
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def find_labels(labels: Path, scan: Path, wanted: Wanted) -> Found:
    """Look at what lies where the labels of a scan are to be written.

    Labels that a person changed since count as what is wanted, and are never replaced unasked.

    Args:
        labels: The label file.
        scan: What it is to be the labels of.
        wanted: How labels would be made now.

    Returns:
        Never an exception for what a folder may hold: damaged files are ``other``.
    """
    beside = outputs_beside(labels)
    there = [path for path in (labels, *beside) if os.path.lexists(path)]
    if not there:
        return Found("absent")
    if not os.path.lexists(beside.sidecar):
        what = "" if there[0] == labels else f"is not there, but {there[0].name} "
        return Found("unfinished", f"{what}exists already, without a sidecar")
    side = read_sidecar(beside.sidecar)
    if side is None or "options" not in side:
        return Found("other", f"{beside.sidecar.name} does not tell how it was made")
    why = _difference(side, scan, wanted)
    lacking = [
        path.name
        for path, asked in (
            (labels, True), (beside.statistics, True), (beside.preview, wanted.preview),
            (beside.uncertainty, wanted.uncertainty),
        )
        if asked and not path.is_file()
    ]  # fmt: skip
    why = why or (f"{', '.join(lacking)} is not there" if lacking else "")
    if why:
        return Found("other", why)
    try:
        changed = digest(labels) != side.get("labels_sha256")
        if changed:
            read_labels(labels)
    except (SlicekitError, OSError) as fault:
        return Found("other", f"is damaged ({fault})")
    return Found("done", "was changed after it was made, as by hand" if changed else "")


def read_sidecar(sidecar: Path) -> dict[str, Any] | None:
    """Read a sidecar; ``None`` where it is none that can be read."""
    try:
        content = json.loads(sidecar.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _difference(side: Mapping[str, Any], scan: Path, wanted: Wanted) -> str:
    """Say what was otherwise when the labels were made."""
    if side.get("weights_sha256") != dict(wanted.weights_sha256):
        return _other_weights(side, wanted.weights_sha256)
    if side.get("settings_sha256") != wanted.settings_sha256:
        return "was made by another recipe of the same weights"
    theirs, ours = dict(side["options"]), dict(wanted.options)
    for key in dict.fromkeys([*theirs, *ours]):
        if theirs.get(key) != ours.get(key):
            return f"was made with {key} {theirs.get(key)}, not {ours.get(key)}"
    return "is of another scan than lies there now" if has_changed(scan, side.get("stamp")) else ""


def _other_weights(side: Mapping[str, Any], ours: Mapping[str, str]) -> str:
    """Say whether a propagator came or went, or other weights did the same work."""
    told = side.get("weights_sha256")
    theirs = told if isinstance(told, Mapping) else {}
    same = {name for name in theirs if theirs[name] == ours.get(name)}
    gone, new = theirs.keys() - ours.keys(), ours.keys() - theirs.keys()
    carrier = str(side.get("propagator"))
    # what both have is alike, so it is the reference, and what differs is the propagator
    if same and same == theirs.keys() & ours.keys() and gone <= {carrier} and carrier not in same:
        old = f"with the propagator {carrier}" if gone else "without a propagator"
        now = f"with {', '.join(new)}" if new else "without"
        return f"was made {old}, now {now}"
    return f"was made by other weights ({_told(told)}; now {_told(ours)})"


def _told(weights: object) -> str:
    if not isinstance(weights, Mapping):
        return "unknown"
    return ", ".join(f"{name} {str(value)[:8]}" for name, value in weights.items())


def what_differs(told: Mapping[str, Any], options: Mapping[str, Any], scan: Path) -> str:
    """Say what was otherwise when a file was made of a scan; nothing where all was alike.

    Args:
        told: What its sidecar tells: ``options`` and the scan's ``stamp``.
        options: What the user says now, ready for JSON.
        scan: What lies there now.
    """
    theirs = told.get("options")
    theirs = theirs if isinstance(theirs, Mapping) else {}
    for key, value in options.items():
        if json.dumps(theirs.get(key)) != json.dumps(value):
            return f"was made with {key} {theirs.get(key)}, not {value}"
    return "is of another scan than lies there now" if has_changed(scan, told.get("stamp")) else ""


def what_is_wrong(file: Path, sha256: object, read: Callable[[Path], object]) -> str:
    """Say that a file is gone or no longer whole; nothing for a person's own corrections.

    Args:
        file: What was made.
        sha256: Its digest at that time; one that still has it is not read.
        read: Raises where the file is damaged.
    """
    if not file.is_file():
        return "is not there"
    try:
        if digest(file) != sha256:
            read(file)
    except (SlicekitError, OSError) as fault:
        return f"is damaged ({fault})"
    return ""


def has_changed(scan: Path, old: object) -> bool:
    """Tell whether a scan is another than it was; it is read only where its time differs."""
    if not isinstance(old, Mapping):
        return False
    try:
        facts = _facts(scan)
        if facts is None:
            return scan.exists()  # whoever reads a missing scan says so
        time = facts.pop("modified_ns")
        if any(value != old.get(name) for name, value in facts.items()):
            return True
        return time != old.get("modified_ns") and digest(scan) != old.get("sha256")
    except OSError:
        return False  # whoever reads the scan says why
