"""Scans of a folder, each as a NIfTI file; what was converted already is known by its sidecar."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from slicekit.errors import LabelError, ReadError, WriteError
from slicekit.io import (
    DicomSource,
    NiftiSource,
    expect_writable,
    read_labels,
    read_volume,
    write_volume,
)
from slicekit.io.atomic import staged
from slicekit.io.dicom.container import means_dicom
from slicekit.io.dicom.label_files import label_kind
from slicekit.io.dicom.read import list_series
from slicekit.io.dicom.rtstruct_read import read_rtstruct
from slicekit.io.nifti_write import is_nifti_name, write_nifti_like
from slicekit.io.values import warn_about_data
from slicekit.labels import LabelSet
from slicekit.report.batch import outputs_beside
from slicekit.report.batch_run import Progress
from slicekit.report.beside import write_json
from slicekit.report.made import (
    Found,
    digest,
    read_sidecar,
    stamp,
    versions,
    what_differs,
    what_is_wrong,
)
from slicekit.report.naming import names_of
from slicekit.report.origin import name_scan
from slicekit.report.reading import ScanOptions, read_scan
from slicekit.volume import Volume


@dataclass(frozen=True)
class Converted:
    """A scan that was written as NIfTI."""

    file: Path
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    def for_journal(self) -> dict[str, Any]:
        """Return what the journal of a batch tells of it."""
        return {"shape": list(self.shape), "spacing_mm": list(self.spacing_mm)}

    def __str__(self) -> str:
        size = " x ".join(map(str, self.shape))
        steps = " x ".join(f"{step:.3g}" for step in self.spacing_mm)
        return f"{self.file}\n  {size} voxels of {steps} mm (z, y, x)"


def read_organs(
    path: Path, *, like: Volume | None, organs: Sequence[str] | None = None
) -> tuple[Volume, LabelSet | None]:
    """Read labels and what they mean, from the file itself or from the JSON beside it.

    Args:
        path: A label map.
        like: The scan it belongs to, where one was named.
        organs: Names to keep; all for ``None``.

    Raises:
        LabelError: An organ is unknown, or the labels have no names.

    Warns:
        DataWarning: A DICOM-SEG is read without the scan that it belongs to.
    """
    if like is None and path.is_file() and label_kind(path) == "seg":
        warn_about_data(
            path, "is read without its scan, so it has the slices that it labels and no others; "
            "name the scan for its whole grid (--like SCAN)",
        )  # fmt: skip
    names, _ = names_of(path)
    if organs is None:
        return read_labels(path, like=like), names
    if names is None:
        raise LabelError(
            f"{path}: nobody says what its labels mean, so none can be chosen by name; put a "
            "JSON with its labels beside it, or leave --organs out"
        )
    if label_kind(path) == "rtstruct":
        return read_rtstruct(path, like=like, organs=organs), names.subset(organs)
    labels, kept = read_labels(path, like=like), names.subset(organs)
    ids = np.where(np.isin(labels.array, list(kept.ids.values())), labels.array, 0)
    return labels.with_array(ids.astype(labels.array.dtype)), kept


def write_converted(path: Path, volume: Volume, *, overwrite: bool = False) -> Path:
    """Write a scan as NIfTI; one that was NIfTI keeps its axes, affines and codes.

    Raises:
        WriteError: The output must not or cannot be written.
    """
    if not isinstance(volume.source, NiftiSource):
        return write_volume(path, volume, overwrite=overwrite)
    if not is_nifti_name(path):
        raise WriteError(path, "is no name for a volume; end it in .nii.gz or .nii")
    target = expect_writable(path, overwrite=overwrite, inputs=[volume.source.path])
    return write_nifti_like(target, volume.array, volume)


def each_series(pairs: Iterable[tuple[Path, Path]]) -> dict[Path, tuple[Path, str]]:
    """Name a file for every series of some scans: ``NAME_NUMBER_DESCRIPTION.nii.gz``.

    Args:
        pairs: Scans, and the names that a file of one series would have.

    Returns:
        File to its scan and what chooses the series. A scan that is no DICOM, cannot be listed
        or holds a single series keeps its name, and ``""``.
    """
    found: dict[Path, tuple[Path, str]] = {}
    for scan, target in pairs:
        try:
            stacks = list_series(scan) if means_dicom(scan) else ()
        except ReadError:
            stacks = ()  # said when it is read
        if len(stacks) < 2:
            found[target] = scan, ""
        for stack in stacks if len(stacks) > 1 else ():
            said = f"{stack.name}_{stack.planes[0].description}"
            words = re.sub(r"[^\w.+-]+", "-", said).strip("-_")
            stem = target.name.removesuffix(".nii.gz")
            found[target.with_name(f"{stem}_{words}.nii.gz")] = scan, stack.name
    return found


class ConvertJob:
    """Write scans as NIfTI, and beside each a sidecar that tells what it was made of.

    Args:
        options: What the user said.
        series_of: Which series of its scan a file is to hold; else as the options say.
        overwrite: Whether what was made otherwise is made anew.
        command: The command line, for the sidecars.
    """

    def __init__(
        self, options: ScanOptions, *, series_of: Mapping[Path, str] = {},
        overwrite: bool = False, command: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self._all = options
        self._series_of = series_of
        self._command = command
        self.overwrite = overwrite

    def _options(self, target: Path) -> ScanOptions:
        return replace(self._all, series=self._series_of.get(target, self._all.series))

    def find(self, scan: Path, target: Path) -> Found:
        """Look at what lies where a scan goes; damaged files are ``other``."""
        sidecar = outputs_beside(target).sidecar
        if not os.path.lexists(sidecar):
            there = os.path.lexists(target)
            return Found("unfinished", "exists already, without a sidecar") if there else _ABSENT
        side = read_sidecar(sidecar)
        told = None if side is None else side.get("converted")
        if not isinstance(told, Mapping):
            return Found("other", f"{sidecar.name} does not tell how it was made")
        why = what_differs(told, self._options(target).of_the_scan(), scan)
        why = why or what_is_wrong(target, told.get("image_sha256"), read_volume)
        return Found("other", why) if why else Found("done")

    def make(
        self, scan: Path, target: Path, *, overwrite: bool, progress: Progress | None = None
    ) -> Converted:
        """Convert one scan; its sidecar comes last.

        Raises:
            ReadError: The scan cannot be read.
            WriteError: An output is in the way, is the input, or cannot be written.
        """
        sidecar = outputs_beside(target).sidecar
        for path in (target, sidecar):
            expect_writable(path, overwrite=overwrite, inputs=[scan])
        before = stamp(scan)
        options = self._options(target)
        volume = read_scan(scan, options)
        with staged(target) as folder:
            file = write_converted(folder / target.name, volume)
            told = {
                "options": options.of_the_scan(),
                "stamp": before,
                "image_sha256": digest(file),
            }
            write_json(folder / sidecar.name, _described(scan, target, volume, self._command, told))
            sidecar.unlink(missing_ok=True)
            file.replace(target)
            (folder / sidecar.name).replace(sidecar)
        return Converted(target, volume.shape, volume.spacing_mm)


_ABSENT = Found("absent")


def _described(
    scan: Path, target: Path, volume: Volume, command: Sequence[str], told: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the sidecar of a scan."""
    source = volume.source
    of_dicom = {}
    if isinstance(source, DicomSource):
        of_dicom = {"modality": source.modality, "series_uid": source.series_uid}
    return {
        **name_scan(scan, target),
        **of_dicom,
        "shape": list(volume.shape),
        "spacing_mm": list(volume.spacing_mm),
        "command": list(command),
        "made_at": datetime.now().astimezone().isoformat(timespec="seconds"),
        "made_with": versions(),
        "converted": told,
    }
