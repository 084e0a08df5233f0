"""Pair predicted with true label maps, and find the names of their organs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from slicekit.errors import DatasetError, LabelError, ReadError
from slicekit.labels import LabelSet

_ENDINGS = (".nii.gz", ".nii")
_SHOWN = 5


class Pair(NamedTuple):
    """One case's files."""

    case: str
    prediction: Path
    truth: Path


def pair_paths(pred: Path, truth: Path) -> tuple[list[Pair], tuple[str, ...]]:
    """Pair predicted with true label maps by name; two files need not share a name.

    Returns:
        The pairs in the order of their names, and the truths without a prediction.

    Raises:
        DatasetError: A path is missing or holds no NIfTI file, a name occurs twice, or a
            prediction has no truth; the message lists which.
    """
    guesses, truths = _label_maps(pred, "prediction"), _label_maps(truth, "truth")
    if pred.is_file() and truth.is_file():
        return [Pair(next(iter(guesses)), pred, truth)], ()
    alone = sorted(set(guesses) - set(truths))
    if alone:
        paired = len(guesses) - len(alone)
        raise DatasetError(
            f"{len(guesses)} predictions in {pred}, {len(truths)} truths in {truth}, {paired} "
            f"pairs; no truth for: {first_of(alone)}. The truths are: {first_of(sorted(truths))}. "
            "Names must be equal but for _0000 and .nii or .nii.gz"
        )
    pairs = [Pair(case, guesses[case], truths[case]) for case in sorted(guesses)]
    missing = tuple(sorted(set(truths) - set(guesses))) if pred.is_dir() else ()
    return pairs, missing


def prediction_names(file: Path) -> tuple[LabelSet | None, str]:
    """Read the names from the JSON file beside a prediction."""
    return _names_in(file.with_name(f"{_stem(file)}.json"))


def truth_names(file: Path) -> tuple[LabelSet | None, str]:
    """Read the names from the dataset.json of a truth."""
    folder = file.absolute().parent
    for place in (folder, folder.parent):
        names, source = _names_in(place / "dataset.json")
        if names is not None:
            return names, source
    return None, ""


def first_of(names: Iterable[str]) -> str:
    """Write the first names of a list."""
    listed = list(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return f"{', '.join(listed[:_SHOWN])}{more}"


def _label_maps(path: Path, role: str) -> dict[str, Path]:
    """Map case names to the NIfTI files of a folder, or to the one file."""
    if not path.exists():
        raise DatasetError(f"the {role} {path} does not exist; give a NIfTI file or a folder")
    found: dict[str, Path] = {}
    for file in [path] if path.is_file() else sorted(path.iterdir()):
        if path.is_dir() and (file.name.startswith(".") or not file.name.endswith(_ENDINGS)):
            continue
        case = _stem(file)
        if len(case) > 5 and case.endswith("_0000"):
            case = case.removesuffix("_0000")
        if case in found:
            raise DatasetError(
                f"two {role} files for the case {case!r}: {found[case].name} and {file.name}; "
                "keep one"
            )
        found[case] = file
    if not found:
        raise DatasetError(f"the {role} folder {path} holds no .nii or .nii.gz file")
    return found


def _stem(file: Path) -> str:
    ending = next((end for end in _ENDINGS if file.name.endswith(end)), "")
    return file.name.removesuffix(ending)


def _names_in(file: Path) -> tuple[LabelSet | None, str]:
    """Read the key ``labels`` of a JSON file; nothing where there is no such file or key."""
    if not file.is_file():
        return None, ""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as fault:
        raise ReadError(file, f"is not readable JSON ({fault}); mend or remove it") from fault
    entries = content.get("labels") if isinstance(content, dict) else None
    if not isinstance(entries, dict):
        return None, ""
    try:
        return LabelSet.from_dataset(entries), file.name
    except LabelError as fault:
        raise DatasetError(f"{file}, key 'labels': {fault}") from fault
