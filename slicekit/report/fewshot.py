"""From an organ drawn in one scan on disk to the same organ in another on disk."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slicekit.data.intensity import holds_hu
from slicekit.errors import DataWarning
from slicekit.inference.answers import SupportSettings
from slicekit.inference.extent import find_in_extents
from slicekit.inference.fewshot import Found, find_organs
from slicekit.inference.segmentation import Progress
from slicekit.inference.shots import FewShot
from slicekit.inference.stopwatch import Stopwatch
from slicekit.io import (
    expect_labels_name,
    expect_writable,
    read_labels,
    stored_slice,
    write_labels,
)
from slicekit.report.batch import outputs_beside
from slicekit.report.beside import together, write_json, write_statistics
from slicekit.report.case import CaseFiles
from slicekit.report.drawn import NAMELESS
from slicekit.report.hearing import hearing
from slicekit.report.made import stamp
from slicekit.report.origin import name_scan
from slicekit.report.preview import write_preview
from slicekit.report.reading import ScanOptions, read_scan
from slicekit.report.support import Support
from slicekit.volume import Volume


@dataclass(frozen=True, kw_only=True)
class FewShotOptions(ScanOptions):
    """What a user may say about one few-shot segmentation."""

    preview: bool = False
    """Whether to draw a picture."""
    overwrite: bool = False
    """Whether results of an earlier run may be replaced."""
    supports: SupportSettings = SupportSettings()
    """What of the support is used."""
    extent_of: Path | None = None
    """True labels of the query: every organ is looked for between its first and its last slice
    there, as the published protocol does. Nothing is carried then."""


def fewshot_file(
    support: Support,
    query_scan: Path,
    out: Path,
    model: FewShot,
    *,
    options: FewShotOptions = FewShotOptions(),
    command: Sequence[str] = (),
    progress: Progress | None = None,
) -> CaseFiles:
    """Find in one scan what was drawn in another, and write labels, sidecar and statistics.

    Args:
        support: From ``read_support``.
        query_scan: A NIfTI file, a DICOM series or a slice folder, of another patient.
        out: ``.nii`` or ``.nii.gz``; a folder name for a slice folder, ``.dcm`` for DICOM. The
            labels lie on the query's grid and have the support's ids.
        model: From ``load_fewshot``.
        options: What the user said; how a scan is to be read is said of the query.
        command: The command line, for the sidecar.
        progress: Told the stage, slices or gaps done, and in all.

    Returns:
        What was written; the sidecar last.

    Raises:
        GeometryError: ``extent_of`` lies on another grid than the query.
        ReadError: A file cannot be read.
        WriteError: An output is in the way, is an input, or cannot be written.

    Warns:
        DataWarning: One scan looks like CT and the other does not; an organ was not found.
    """
    expect_free(support.scan_path, support.labels_path, query_scan, out, options=options)
    watch = Stopwatch()
    with hearing() as heard:
        with watch("read"):
            before = stamp(query_scan)
            query = read_scan(query_scan, options)
            expect_labels_name(out, like=query)
            expect_alike(support.scan, query, names=(str(support.scan_path), str(query_scan)))
        found = _find(query, query_scan, support, model, options, progress)
    seconds = {"read": round(support.seconds + watch.seconds["read"], 3), **found.seconds}
    paths = {"support": support.scan_path, "support_labels": support.labels_path}
    origin = {key: str(path.absolute()) for key, path in paths.items()} | name_scan(query_scan, out)
    with together(out) as staged_labels:
        files = _write(found, query, out, staged_labels, model, options, seconds, heard)
        said = _describe(
            found, support, model, command=command, seconds=files.seconds,
            by_extent=options.extent_of is not None,
        )  # fmt: skip
        told = {**said, **origin, "stamp": before, "warnings": heard}
        write_json(outputs_beside(staged_labels).sidecar, told)
    return files


def _find(
    query: Volume,
    query_scan: Path,
    support: Support,
    model: FewShot,
    options: FewShotOptions,
    progress: Progress | None,
) -> Found:
    """Find the organs, wherever they lie or between the slices that the true labels tell."""
    shown = (query, support.scan, support.drawn, support.names, model)
    ours, theirs = str(query_scan), str(support.scan_path)
    if options.extent_of is not None:
        truth = read_labels(options.extent_of, like=query)
        found = find_in_extents(*shown, truth=truth, query_name=ours, support_name=theirs)
    else:
        found = find_organs(
            *shown, settings=options.supports, progress=progress,
            query_name=ours, support_name=theirs,
        )  # fmt: skip
    for organ in found.missing:
        warnings.warn(
            f"{query_scan}: no slice of it can be trusted to show {organ}, so it stays empty; "
            "choose another support, or draw a slice of it and use slicekit propagate",
            DataWarning, stacklevel=3,
        )  # fmt: skip
    return found


def expect_free(
    support_scan: Path,
    support_labels: Path,
    query_scan: Path,
    out: Path,
    *,
    options: FewShotOptions,
) -> None:
    """Refuse outputs that cannot be written, before anything is read or loaded.

    Raises:
        WriteError: An output is in the way, is an input, or cannot be written.
    """
    beside = outputs_beside(out)
    inputs = [support_scan, support_labels, query_scan, outputs_beside(support_labels).sidecar]
    written = [out, beside.sidecar, beside.statistics]
    if options.overwrite:
        written += [beside.preview, beside.uncertainty]
    elif options.preview:
        written.append(beside.preview)
    for path in written:
        expect_writable(path, overwrite=options.overwrite, inputs=inputs)


def _write(
    found: Found,
    query: Volume,
    out: Path,
    staged_labels: Path,
    model: FewShot,
    options: FewShotOptions,
    seconds: dict[str, float],
    heard: Sequence[str],
) -> CaseFiles:
    """Write labels, statistics and picture where they wait for the sidecar."""
    beside, new = outputs_beside(out), outputs_beside(staged_labels)
    watch = Stopwatch()
    with watch("write"):
        write_labels(staged_labels, found.labels, like=query, names=found.names)
        stats = write_statistics(
            new.statistics, found.labels.with_array(found.image.array), found.labels,
            found.names, in_hu=model.recipe.input.modality == "CT",
            spacing_known=getattr(found.labels.source, "spacing_known", True),
        )  # fmt: skip
        if options.preview:
            _draw(new.preview, found, model)
    seconds = {**seconds, **watch.rounded()}
    volumes = {organ: figures["volume_ml"] for organ, figures in stats.items()}
    voxels = {organ: figures["voxels"] for organ, figures in stats.items()}
    files = (out, beside.sidecar, beside.statistics, beside.preview if options.preview else None)
    return CaseFiles(*files, None, seconds, volumes, voxels, tuple(heard))


def expect_alike(support: Volume, query: Volume, *, names: tuple[str, str]) -> None:
    """Warn where only one of two scans can be CT.

    Warns:
        DataWarning: The scans are of different kinds, so the result will be doubtful.
    """
    kinds = ["CT" if holds_hu(scan) else "no CT" for scan in (support, query)]
    if kinds[0] != kinds[1]:
        warnings.warn(
            f"{names[0]} looks like {kinds[0]}, {names[1]} like {kinds[1]}: a support teaches only "
            "scans of its own kind, so the result will be doubtful; choose a support of the same "
            "modality",
            DataWarning, stacklevel=3,
        )  # fmt: skip


def _draw(path: Path, found: Found, model: FewShot) -> None:
    by_slice: dict[int, list[tuple[str, str]]] = {}
    for guide in found.guides:
        by_slice.setdefault(guide.z, []).append((guide.organ, guide.reason))
    guides = [
        (z, "; ".join(reason for _, reason in several), [organ for organ, _ in several])
        for z, several in sorted(by_slice.items())
    ]
    window = model.recipe.input.three_windows[0]
    shown = found.image.with_array(found.labels.array)
    write_preview(path, found.image, shown, found.names, window=window, guides=guides)


def _describe(
    found: Found,
    support: Support,
    model: FewShot,
    *,
    command: Sequence[str],
    seconds: dict[str, float],
    by_extent: bool,
) -> dict[str, Any]:
    carrier = None if by_extent else model.carrier
    nameless = all(name.startswith(NAMELESS) for name in found.names.names)
    weights = {model.recipe.name: model.sha256}
    if carrier is not None:
        weights[carrier.recipe.name] = carrier.sha256
    return {
        **({} if nameless else {"labels": {"background": 0, **found.names.ids}}),
        "model": model.recipe.name,
        "propagator": carrier.recipe.name if carrier else None,
        "weights_sha256": weights,
        "licence": model.recipe.licence,
        "command": list(command),
        "runtime": str(model.runtime),
        "seconds": seconds,
        "support_slices": {
            organ: sorted(stored_slice(support.scan, z) for z in zs)
            for organ, zs in found.supports.items()
        },
        "guides": [
            {
                "z": guide.z,
                "slice_in_file": stored_slice(found.labels, guide.z),
                "organ": guide.organ,
                "reason": guide.reason,
            }
            for guide in found.guides
        ],
        "not_found": list(found.missing),
        "extent_was_known": by_extent,
    }
