"""Which cases a path means, and where what is made of them goes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slicekit.data.cases import find_cases
from slicekit.errors import DatasetError, ReadError, WriteError
from slicekit.io import expect_writable
from slicekit.io.listing import holds_dicom
from slicekit.labels import LabelSet
from slicekit.report.batch import plan_outputs
from slicekit.report.naming import names_of

_ENDINGS = (".nii.gz", ".nii")
VERSIONS = 20
"""Saved versions of a case that are kept."""


@dataclass(frozen=True)
class ReviewCase:
    """One scan to look at, and the files around it."""

    name: str
    scan: Path
    given: Path | None
    """Labels that are there already."""
    organs: LabelSet | None
    """Names of their ids, where somebody wrote them down."""
    folder: Path
    """Takes what is made."""
    volume_index: int | None = None
    """Which volume of a time series."""
    spacing_mm: tuple[float, float, float] | None = None
    """Spacing ``(z, y, x)`` of a slice folder, which cannot tell."""

    @property
    def labels(self) -> Path:
        """The label map that is saved."""
        return self.folder / f"{self.name}.nii.gz"

    @property
    def session(self) -> Path:
        """What was drawn, written by itself every few seconds."""
        return self.folder / f"{self.name}.session"

    @property
    def sidecar(self) -> Path:
        """Names, verdict and where each slice comes from."""
        return self.folder / f"{self.name}.json"

    @property
    def versions(self) -> Path:
        """Folder of the last saved versions."""
        return self.folder / "versions" / self.name

    @property
    def lock(self) -> Path:
        """Held while somebody writes the case."""
        return self.folder / f".{self.name}.lock"

    def read_sidecar(self) -> Mapping[str, Any]:
        """Return what was noted of the case; nothing where there is no note.

        Raises:
            ReadError: The note cannot be read.
        """
        try:
            content = json.loads(self.sidecar.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as fault:
            raise ReadError(
                self.sidecar, f"is not readable JSON ({fault}); mend or remove it"
            ) from fault
        return content if isinstance(content, dict) else {}


def review_cases(
    path: Path,
    *,
    labels: Path | None = None,
    out: Path | None = None,
    volume_index: int | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
) -> tuple[ReviewCase, ...]:
    """List what is to be reviewed; nothing but names is read.

    Args:
        path: A scan (NIfTI file, DICOM or slice folder), a folder of scans, or a dataset as for
            training, whose own labels are then shown.
        labels: Labels to look at: a file for one scan; a folder that holds ``CASE.nii.gz``.
        out: Folder for results; ``NAME_review`` where the program runs when ``None``. It may hold
            an earlier review, which goes on.
        volume_index: Which volume of files that hold several.
        spacing_mm: Spacing ``(z, y, x)`` of slice folders.

    Raises:
        DatasetError: There is no scan, or two go by one name.
        ReadError: A path does not exist.
        WriteError: Results would replace a scan or the labels that were given.
    """
    if labels is not None and not labels.exists():
        raise ReadError(labels, "does not exist; name the labels to review, or leave --labels out")
    named: LabelSet | None = None
    if path.is_dir() and (path / "dataset.json").is_file():
        dataset = find_cases(path)
        named = dataset.labels
        found = [(case.name, case.image, case.labels) for case in dataset.cases]
    else:
        bare = path.is_dir() and not any(file.is_file() for file in path.iterdir())
        if bare and not holds_dicom(path):
            raise DatasetError(f"{path} holds no file; name a scan, a folder of scans or a dataset")
        found = [
            (_case_name(scan if scan == path else planned), scan, None)
            for scan, planned in plan_outputs(path, None)
        ]
    folder = out or Path(f"{_case_name(path.absolute())}_review")
    if folder.exists() and not folder.is_dir():
        raise WriteError(folder, "is no folder; name a folder for the results (--out)")
    cases = []
    for name, scan, own in found:
        given = own if labels is None else _labels_of(name, scan, labels, alone=len(found) == 1)
        organs = named if given is None or given == own else None
        organs = organs or names_of(given or scan)[0]
        cases.append(ReviewCase(name, scan, given, organs, folder, volume_index, spacing_mm))
    names = [case.name for case in cases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DatasetError(f"{path} holds two scans of one name: {', '.join(twice)}; rename one")
    for case in cases:
        inputs = [case.scan, *([case.given] if case.given else [])]
        for output in (case.labels, case.session, case.sidecar):
            expect_writable(output, overwrite=True, inputs=inputs)
    return tuple(cases)


def _labels_of(name: str, scan: Path, labels: Path, *, alone: bool) -> Path | None:
    """Find the labels of a case: the file that was named, or one of its name in the folder."""
    if alone and not (labels.is_dir() and any(_file_in(labels, n) for n in (name, _stem(scan)))):
        return labels  # a file, or a folder of masks
    for stem in (name, _stem(scan), f"{name}_labels", f"{_stem(scan)}_labels"):
        if (file := _file_in(labels, stem)) is not None:
            return file
    return None


def _file_in(folder: Path, stem: str) -> Path | None:
    return next((f for end in _ENDINGS if (f := folder / f"{stem}{end}").is_file()), None)


def _case_name(path: Path) -> str:
    stem = _stem(path)
    return stem.removesuffix("_0000") or stem


def _stem(path: Path) -> str:
    name = path.absolute().name
    ending = next((end for end in _ENDINGS if name.lower().endswith(end)), "")
    return name[: len(name) - len(ending)]
