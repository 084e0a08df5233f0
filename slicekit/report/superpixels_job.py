"""Scans cut into superpixels; what was cut already is known by its sidecar."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slicekit.io import expect_labels_name, expect_writable, read_labels, write_labels
from slicekit.report.batch import outputs_beside
from slicekit.report.batch_run import Progress
from slicekit.report.beside import together, write_json
from slicekit.report.made import (
    Found,
    digest,
    read_sidecar,
    stamp,
    versions,
    what_differs,
    what_is_wrong,
)
from slicekit.report.origin import name_scan
from slicekit.report.reading import ScanOptions, read_scan
from slicekit.superpixels.body import foreground
from slicekit.superpixels.iterative import slic
from slicekit.superpixels.merging import merge
from slicekit.volume import Volume

_AT_ONCE = 32
"""Slices between two moves of the bar."""


@dataclass(frozen=True, kw_only=True)
class SuperpixelOptions(ScanOptions):
    """What a user may say about scans to be cut into superpixels."""

    segments: int = 400
    """Superpixels a slice."""
    regions: int | None = None
    """Neighbours are merged until so many are left; not at all for ``None``."""
    fast: bool = False
    """Whether each round looks at a third of the rows only."""
    masked: bool = True
    """Whether only the body is cut, not the air around it."""
    threads: int | None = None
    """All cores for ``None``; changes no label."""
    overwrite: bool = False
    """Whether results of an earlier run may be replaced."""

    def to_json(self) -> dict[str, Any]:
        """Return what the sidecar tells: all that may change labels."""
        told = asdict(self)
        for key in ("threads", "overwrite"):
            del told[key]
        return {key: list(one) if isinstance(one, tuple) else one for key, one in told.items()}


@dataclass(frozen=True)
class Cut:
    """A scan that was cut."""

    labels: Path
    slices: int
    """Of the scan."""
    cut_slices: int
    """Of those, how many hold a superpixel."""
    per_slice: float
    """Superpixels or regions of a slice that holds any; 0 where none does."""
    merged: bool
    """Whether they are regions, merged of superpixels."""
    slices_per_s: float

    def for_journal(self) -> dict[str, Any]:
        """Return what the journal of a batch and the sidecar tell of it."""
        return {
            "slices": self.slices,
            "cut_slices": self.cut_slices,
            "per_slice": round(self.per_slice, 1),
            "slices_per_s": round(self.slices_per_s, 1),
        }

    def to_json(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {"labels": str(self.labels), **self.for_journal()}

    def __str__(self) -> str:
        if not self.cut_slices:
            said = "no body was found, so no superpixels; --whole cuts the air too"
        else:
            said = (
                f"{self.cut_slices} of {self.slices} slices, {self.per_slice:.0f} "
                f"{'regions' if self.merged else 'superpixels'} a slice, "
                f"{self.slices_per_s:.0f} slices/s"
            )
        return f"{self.labels}\n  {said}"


def cut_file(
    scan: Path, labels: Path, options: SuperpixelOptions, *, progress: Progress | None = None
) -> Cut:
    """Cut one scan and write its labels, without a sidecar.

    Args:
        scan: A NIfTI file, a DICOM series or a slice folder.
        labels: ``.nii`` or ``.nii.gz``; a folder name for a slice folder, ``.dcm`` for DICOM.
        options: What the user said.
        progress: Told the slices done and in all.

    Raises:
        ReadError: The scan cannot be read.
        WriteError: The labels are in the way, are the input, or cannot be written.
    """
    expect_writable(labels, overwrite=options.overwrite, inputs=[scan])
    pieces = _cut(scan, labels, options, progress)
    write_labels(labels, pieces.labels, like=pieces.image, overwrite=options.overwrite)
    return pieces.told(labels, options)


class SuperpixelJob:
    """Cut scans into superpixels, and write beside each a sidecar that tells how.

    Args:
        options: What the user said.
        command: The command line, for the sidecars.
    """

    def __init__(self, options: SuperpixelOptions, *, command: Sequence[str] = ()) -> None:
        self._options = options
        self._command = command

    @property
    def overwrite(self) -> bool:
        """Whether labels that were made otherwise are made anew."""
        return self._options.overwrite

    def find(self, scan: Path, target: Path) -> Found:
        """Look at what lies where the labels of a scan go; damaged files are ``other``."""
        beside = outputs_beside(target)
        sidecar = beside.sidecar
        there = [path for path in (target, *beside) if os.path.lexists(path)]
        if not there:
            return Found("absent")
        if sidecar not in there:
            what = "" if there[0] == target else f"is not there, but {there[0].name} "
            return Found("unfinished", f"{what}exists already, without a sidecar")
        side = read_sidecar(sidecar)
        told = None if side is None else side.get("superpixels")
        if not isinstance(told, Mapping):
            return Found("other", f"{sidecar.name} does not tell how it was made")
        why = what_differs(told, self._options.to_json(), scan)
        why = why or what_is_wrong(target, told.get("labels_sha256"), read_labels)
        return Found("other", why) if why else Found("done")

    def make(
        self, scan: Path, target: Path, *, overwrite: bool, progress: Progress | None = None
    ) -> Cut:
        """Cut one scan; its sidecar comes last.

        Raises:
            ReadError: The scan cannot be read.
            WriteError: An output is in the way, is the input, or cannot be written.
        """
        for path in (target, *outputs_beside(target)):
            expect_writable(path, overwrite=overwrite, inputs=[scan])
        before = stamp(scan)
        pieces = _cut(scan, target, self._options, progress)
        cut = pieces.told(target, self._options)
        with together(target) as staged:
            write_labels(staged, pieces.labels, like=pieces.image)
            how = {
                "options": self._options.to_json(),
                "stamp": before,
                "labels_sha256": digest(staged),
                "figures": cut.for_journal(),
            }
            side = {
                **name_scan(scan, target),
                "command": list(self._command),
                "made_at": datetime.now().astimezone().isoformat(timespec="seconds"),
                "made_with": versions(),
                "superpixels": how,
            }
            write_json(outputs_beside(staged).sidecar, side)
        return cut


class _Pieces(NamedTuple):
    """A scan, its superpixels ``(z, y, x)``, and how long they took."""

    image: Volume
    labels: NDArray[np.int32]
    seconds: float

    def told(self, path: Path, options: SuperpixelOptions) -> Cut:
        """Count what there is; every slice numbers its own from 1."""
        found = self.labels.max(axis=(1, 2))
        some = found[found > 0]
        mean = float(some.mean()) if len(some) else 0.0
        rate = len(found) / max(1e-9, self.seconds)
        return Cut(path, len(found), len(some), mean, options.regions is not None, rate)


def _cut(
    scan: Path, target: Path, options: SuperpixelOptions, progress: Progress | None
) -> _Pieces:
    """Read a scan and cut it."""
    image = read_scan(scan, options)
    expect_labels_name(target, like=image)
    blank = np.zeros((1, 8, 8), dtype=np.float32)
    merge(slic(blank, 4), blank, 2)  # compiled before the clock starts
    slices = image.array
    labels = np.zeros(slices.shape, dtype=np.int32)
    began = time.perf_counter()
    body = foreground(slices) if options.masked else None
    for z in range(0, len(slices), _AT_ONCE):
        some = slice(z, z + _AT_ONCE)
        labels[some] = slic(
            slices[some],
            options.segments,
            mask=None if body is None else body[some],
            fast=options.fast,
            threads=options.threads,
        )
        if options.regions is not None:
            labels[some] = merge(
                labels[some], slices[some], options.regions, threads=options.threads
            )
        if progress is not None:
            progress("superpixels", min(z + _AT_ONCE, len(slices)), len(slices))
    return _Pieces(image, labels, time.perf_counter() - began)
