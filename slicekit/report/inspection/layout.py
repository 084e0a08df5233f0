"""What lies in a dataset folder, told without ever stopping at the first fault."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slicekit.data.annotations import FILE_NAME, Annotation, parse_annotations
from slicekit.data.cases import find_cases
from slicekit.errors import DatasetError, LabelError, SlicekitError
from slicekit.io.pictures import SUFFIXES
from slicekit.labels import LabelSet, ignored_id
from slicekit.report.inspection.findings import KINDS, Finding

_ENDINGS = (".nii.gz", ".nii")
_CHANNEL = 4
_APART = (("val", "train"), ("test", "train"))
"""Groups of splits.json that must have no scan in common."""


@dataclass(frozen=True)
class Entry:
    """The files of one case."""

    name: str
    image: Path
    labels: Path | None


@dataclass(frozen=True)
class Layout:
    """What lies in a dataset folder."""

    folder: Path
    description: Mapping[str, Any]
    """Of dataset.json; empty where it cannot be read."""
    organs: LabelSet | None
    """``None`` where nobody names them."""
    ignore_id: int | None
    annotations: Mapping[str, Annotation]
    groups: Mapping[str, tuple[str, ...]]
    """Group of splits.json to the names of cases that are there."""
    entries: tuple[Entry, ...]
    """In the order of their names."""
    findings: tuple[Finding, ...] = field(repr=False)


def read_layout(folder: Path) -> Layout:
    """List the cases of an nnU-Net raw folder and everything that is wrong with the list.

    Raises:
        DatasetError: The folder is not one, or holds neither dataset.json nor imagesTr.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder} is no folder; name an nnU-Net raw folder")
    if not ((folder / "dataset.json").exists() or (folder / "imagesTr").is_dir()):
        raise DatasetError(
            f"{folder} holds neither dataset.json nor imagesTr; name an nnU-Net raw folder, with "
            "scans in imagesTr and labels of the same names in labelsTr"
        )
    found: list[Finding] = []
    description = _read_json(folder / "dataset.json", "dataset", found)
    organs, ignore = _read_organs(folder / "dataset.json", description, found)
    labels = _by_name(folder / "labelsTr", (), found)
    images = _by_name(folder / "imagesTr", labels, found)
    if not images:
        found.append(Finding("pairing", "imagesTr", "holds no scan"))
    for name in sorted(set(labels) - set(images)):
        found.append(Finding("pairing", name, f"{labels[name].name} has no image"))
    entries = tuple(Entry(name, images[name], labels.get(name)) for name in sorted(images))
    annotations = _read_annotations(folder, images, labels, organs, found)
    groups = _read_groups(folder / "splits.json", images, found)
    found += _names_of_nnunet(description, entries)
    if not any(KINDS[one.kind].severity == "error" for one in found):
        try:
            find_cases(folder)  # what it refuses and was not seen above
        except SlicekitError as fault:
            found.append(Finding("dataset", folder.name, str(fault)))
    return Layout(folder, description, organs, ignore, annotations, groups, entries, tuple(found))


def _read_json(path: Path, kind: str, found: list[Finding]) -> dict[str, Any]:
    """Read a JSON object; nothing where there is none, with a finding."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        found.append(Finding(kind, path.name, "is missing"))
        return {}
    except (OSError, ValueError, RecursionError) as fault:
        found.append(Finding(kind, path.name, f"is not readable JSON ({fault})"))
        return {}
    if not isinstance(content, dict):
        found.append(Finding(kind, path.name, f"holds a {type(content).__name__}, no object"))
        return {}
    return content


def _read_organs(
    path: Path, description: Mapping[str, Any], found: list[Finding]
) -> tuple[LabelSet | None, int | None]:
    """Return the organs and the id to be passed over."""
    table = description.get("labels")
    if not isinstance(table, Mapping):
        if description:
            found.append(Finding("dataset", path.name, "has no 'labels': organ name to id"))
        return None, None
    try:
        return LabelSet.from_dataset(table), ignored_id(table)
    except (LabelError, TypeError, ValueError) as fault:
        found.append(Finding("dataset", path.name, f"its 'labels': {fault}"))
        return None, None


def _by_name(folder: Path, labels: Collection[str], found: list[Finding]) -> dict[str, Path]:
    """Map case names to files; ``labels`` tells which digits at the end belong to a name."""
    scans = []
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        ending = next((end for end in _ENDINGS if path.name.endswith(end)), "")
        if path.name.startswith("."):
            continue
        if ending or _holds_slices(path):
            scans.append((unicodedata.normalize("NFC", path.name.removesuffix(ending)), path))
        else:
            found.append(Finding("stray", path.name, f"in {folder.name}"))
    names = {name for name, _ in scans}
    images = folder.name == "imagesTr"
    cases: dict[str, Path] = {}
    for name, path in scans:
        case, _, channel = name.rpartition("_")
        if images and case and len(channel) == _CHANNEL and channel.isdecimal():
            if channel == "0000" and name not in labels:
                name = case
            elif f"{case}_0000" in names and f"{case}_0000" not in labels and name not in labels:
                said = f"{path.name} is a further channel; keep only _0000"
                found.append(Finding("pairing", case, said))
                continue
        if name in cases:
            both = f"{cases[name].name} and {path.name} in {folder.name}"
            found.append(Finding("pairing", name, f"has two files: {both}"))
        else:
            cases[name] = path
    return cases


def _holds_slices(path: Path) -> bool:
    """Tell a scan that is a folder of slices."""
    return path.is_dir() and any(file.suffix.lower() in SUFFIXES for file in path.iterdir())


def _read_annotations(
    folder: Path,
    images: Mapping[str, Path],
    labels: Mapping[str, Path],
    organs: LabelSet | None,
    found: list[Finding],
) -> dict[str, Annotation]:
    path = folder / FILE_NAME
    if not path.exists() or organs is None:
        return {}
    content = _read_json(path, "annotations", found)
    annotations: dict[str, Annotation] = {}
    for key, entry in content.items():  # one by one, so that one fault does not hide the others
        try:
            annotations |= parse_annotations(
                {key: entry}, source=path, cases=images, labelled=labels, organs=organs
            )
        except DatasetError as fault:
            said = str(fault).removeprefix(f"{path}: ")
            found.append(Finding("annotations", str(key), said))
    return annotations


def _read_groups(
    path: Path, images: Mapping[str, Path], found: list[Finding]
) -> dict[str, tuple[str, ...]]:
    if not path.exists():
        return {}
    groups: dict[str, tuple[str, ...]] = {}
    for group, names in _read_json(path, "splits", found).items():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            found.append(Finding("splits", str(group), "must be a list of case names"))
            continue
        members = [unicodedata.normalize("NFC", name) for name in names]
        for name in sorted(set(members) - set(images)):
            found.append(Finding("splits", str(group), f"names {name!r}, which has no image"))
        groups[group] = tuple(name for name in dict.fromkeys(members) if name in images)
        for name in sorted({name for name in members if members.count(name) > 1}):
            found.append(Finding("splits", str(group), f"names {name!r} twice"))
    for one, other in _APART:
        for name in sorted({*groups.get(one, ())} & {*groups.get(other, ())}):
            found.append(Finding("leak", name, f"is in the groups {one} and {other}"))
    return groups


def _names_of_nnunet(description: Mapping[str, Any], entries: tuple[Entry, ...]) -> list[Finding]:
    """Say what nnU-Net would stumble on, though slicekit does not."""
    found = [
        Finding("suffix", one.name, one.image.name)
        for one in entries
        if one.image.is_file() and not _stem(one.image).endswith("_0000")
    ]
    count = description.get("numTraining")
    if description and entries and count != len(entries):
        said = "is missing" if count is None else f"says {count!r}"
        found.append(Finding("training-count", "dataset.json", f"{said}, scans: {len(entries)}"))
    return found


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii")
