"""One scan from file to files: labels, what they mean, statistics, a picture."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from slicekit.errors import WriteError
from slicekit.inference.model import Model
from slicekit.inference.outline import Outlined
from slicekit.inference.pipeline import expect_known, segment_volume
from slicekit.inference.segmentation import Progress, Segmentation
from slicekit.inference.stopwatch import Stopwatch
from slicekit.io import (
    expect_labels_name,
    expect_writable,
    stored_slice,
    write_labels,
    write_map,
)
from slicekit.io.dicom.referring import is_dicom_labels_name
from slicekit.io.nifti_write import is_nifti_name
from slicekit.report.batch import Beside, outputs_beside
from slicekit.report.beside import together, write_json, write_statistics
from slicekit.report.hearing import hearing
from slicekit.report.made import Wanted, digest, stamp, versions
from slicekit.report.origin import name_scan
from slicekit.report.preview import write_preview
from slicekit.report.reading import ScanOptions, read_scan


@dataclass(frozen=True, kw_only=True)
class SegmentOptions(ScanOptions):
    """What a user may say about one segmentation."""

    organs: tuple[str, ...] | None = None
    """Names to keep; all for ``None``."""
    selector: str | None = None
    """How guides are chosen; as the recipe says for ``None``."""
    preview: bool = False
    """Whether to draw a picture."""
    uncertainty: bool = False
    """Whether to write how unsure the networks are, voxel by voxel and organ by organ."""
    overwrite: bool = False
    """Whether results of an earlier run may be replaced."""


@dataclass(frozen=True, eq=False)
class CaseFiles:
    """What was written for one scan."""

    labels: Path
    sidecar: Path
    statistics: Path
    preview: Path | None
    uncertainty: Path | None
    seconds: dict[str, float]
    volumes_ml: dict[str, float | None]
    """``None`` where nobody knows the spacing."""
    voxels: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    """What was mended in the data or is doubtful."""

    def to_json(self) -> dict[str, Any]:
        """Return everything as a JSON object."""
        found = asdict(self)
        told = {
            key: str(value) if isinstance(value, Path) else value for key, value in found.items()
        }
        return told | {"warnings": list(self.warnings)}

    def for_journal(self) -> dict[str, Any]:
        """Return what the journal of a batch tells of it."""
        return {
            "stages": self.seconds,
            "volumes_ml": self.volumes_ml,
            "warnings": list(self.warnings),
        }


def segment_file(
    scan: Path,
    labels: Path,
    model: Model,
    *,
    options: SegmentOptions = SegmentOptions(),
    command: Sequence[str] = (),
    progress: Progress | None = None,
) -> CaseFiles:
    """Segment one scan and write its labels, sidecar, statistics, picture and uncertainty.

    Args:
        scan: A NIfTI file, a DICOM series or a slice folder.
        labels: ``.nii`` or ``.nii.gz``; a folder name for a slice folder, ``.dcm`` for DICOM.
        model: From ``load_model``.
        options: What the user said.
        command: The command line, for the sidecar.
        progress: Told about every slice.

    Returns:
        What was written. The sidecar ``NAME.json`` is written last, so its presence tells that
        the case is complete.

    Raises:
        LabelError: An organ is unknown.
        ReadError: The scan cannot be read.
        RecipeError: There is no such selector, or a volumetric model is to tell its uncertainty.
        WriteError: An output is in the way, is the input, or cannot be written.
    """
    expect_known(
        model, organs=options.organs, selector=options.selector, uncertainty=options.uncertainty
    )
    beside = expect_free(labels, scan, options)
    watch, before = Stopwatch(), stamp(scan)  # a scan that is replaced meanwhile is another
    with hearing() as heard:
        with watch("read"):
            volume = read_scan(scan, options)
            expect_labels_name(labels, like=volume)
        done = segment_volume(
            volume, model, organs=options.organs, selector=options.selector, progress=progress,
            uncertainty=options.uncertainty, name=str(scan),
        )  # fmt: skip
    with together(labels) as staged_labels:
        new = outputs_beside(staged_labels)
        with watch("write"):
            write_labels(staged_labels, done.labels, like=volume, names=done.names)
            if done.uncertainty is not None:
                write_map(new.uncertainty, done.uncertainty, like=volume)
        with watch("report"):
            stats = write_statistics(
                new.statistics, done.labels.with_array(done.image.array), done.labels, done.names,
                in_hu=model.recipe.input.modality == "CT",
                spacing_known=getattr(done.labels.source, "spacing_known", True),
                more={organ: asdict(certainty) for organ, certainty in done.certainty.items()},
            )  # fmt: skip
            if options.preview:
                _draw(new.preview, done, model)
        seconds = {"read": 0.0, **done.seconds, **watch.rounded()}  # in the order of the stages
        files = _files(labels, beside, stats, options, seconds=seconds, heard=heard)
        described = _describe(done, model, files, scan=scan, command=command)
        made = _provenance(wanted_of(model, options), before, staged_labels)
        write_json(new.sidecar, described | made)
    return files


def _files(
    labels: Path,
    beside: Beside,
    stats: Mapping[str, Mapping[str, Any]],
    options: SegmentOptions,
    *,
    seconds: dict[str, float],
    heard: Sequence[str],
) -> CaseFiles:
    return CaseFiles(
        labels,
        beside.sidecar,
        beside.statistics,
        beside.preview if options.preview else None,
        beside.uncertainty if options.uncertainty else None,
        seconds,
        {organ: figures["volume_ml"] for organ, figures in stats.items()},
        {organ: figures["voxels"] for organ, figures in stats.items()},
        tuple(heard),
    )


def wanted_of(model: Outlined, options: SegmentOptions) -> Wanted:
    """Return what decides how labels turn out: weights, recipes and what the user said."""
    recipes = [one for one in (model.recipe, model.propagator_recipe) if one is not None]
    text = "".join(
        one.model_dump_json(include={"input", "organs", "networks", "inference"}) for one in recipes
    )
    return Wanted(
        weights_sha256=model.sha256,
        settings_sha256=hashlib.sha256(text.encode("utf-8")).hexdigest(),
        options={
            "organs": None if options.organs is None else list(options.organs),
            "selector": options.selector,
            **options.of_the_scan(),
        },
        preview=options.preview,
        uncertainty=options.uncertainty,
    )


def expect_free(labels: Path, scan: Path, options: SegmentOptions) -> Beside:
    """Return the files beside the labels, once it is sure that all of them can be written.

    Raises:
        WriteError: An output is in the way, is the input, or cannot be written.
    """
    if options.uncertainty and not (is_nifti_name(labels) or is_dicom_labels_name(labels)):
        raise WriteError(
            labels,
            "is to hold masks slice by slice, but an uncertainty map is a NIfTI file beside NIfTI "
            "labels; end the name in .nii.gz, or leave --uncertainty out",
        )
    beside = outputs_beside(labels)
    if not options.overwrite:
        _expect_own_sidecar(labels, scan, beside)
    # what an earlier run left is removed when its labels are replaced, so it is checked too
    wanted = (True, True, options.preview, options.uncertainty)
    checked = [path for path, new in zip(beside, wanted, strict=True) if new or options.overwrite]
    for path in (labels, *checked):
        expect_writable(path, overwrite=options.overwrite, inputs=[scan])
    for path in checked:
        if path.is_dir():
            raise WriteError(path, "is a folder, but a file of that name is to be written")
    return beside


def _expect_own_sidecar(labels: Path, scan: Path, beside: Beside) -> None:
    """Refuse labels of another format beside those that are there: both would have one sidecar."""
    stem = beside.sidecar.name.removesuffix(".json")
    names = (f"{stem}{ending}" for ending in (".nii.gz", ".nii", ".dcm", ".rtstruct.dcm"))
    others = [labels.with_name(name) for name in names if name != labels.name]
    other = next((path for path in others if path.exists()), None)
    if other is not None and beside.sidecar.exists() and not labels.exists():
        raise WriteError(
            labels,
            f"would share {beside.sidecar.name} with {other.name}; choose another name, or turn "
            f"those labels into this format: slicekit convert {other} --like {scan} -o {labels}",
        )


def _draw(path: Path, done: Segmentation, model: Model) -> None:
    names = model.recipe.labels.names_by_id
    guides = [
        (guide.z, guide.reason, [names[number] for number in sorted(guide.organs)])
        for guide in done.guides
    ]
    window = model.recipe.input.three_windows[0]
    shown = done.image.with_array(done.labels.array)
    write_preview(path, done.image, shown, done.names, window=window, guides=guides)


def _describe(
    done: Segmentation, model: Model, files: CaseFiles, *, scan: Path, command: Sequence[str]
) -> dict[str, Any]:
    names = model.recipe.labels.names_by_id
    return {
        "labels": {"background": 0, **done.names.ids},
        **name_scan(scan, files.labels),
        "model": model.recipe.name,
        "propagator": model.propagator_recipe.name if model.propagator_recipe else None,
        "weights_sha256": model.sha256,
        "window_hu": list(model.recipe.input.three_windows[0].range_hu)
        if model.recipe.input.modality == "CT"
        else None,
        "licence": model.recipe.licence,
        "command": list(command),
        "runtime": str(model.runtime),
        "seconds": files.seconds,
        "warnings": list(files.warnings),
        "uncertainty": files.uncertainty.name if files.uncertainty else None,
        "preview": files.preview.name if files.preview else None,
        "guides": [
            {
                "z": guide.z,
                "slice_in_file": stored_slice(done.labels, guide.z),
                "organs": [names[number] for number in sorted(guide.organs)],
                "absent": [names[number] for number in sorted(guide.absent)],
                "reason": guide.reason,
            }
            for guide in done.guides
        ],
    }


def _provenance(wanted: Wanted, before: dict[str, Any] | None, labels: Path) -> dict[str, Any]:
    """Return what a later run compares, and what made the labels.

    Args:
        wanted: How they were made.
        before: The stamp of the scan, taken before it was read.
        labels: The file.
    """
    return {
        "options": dict(wanted.options),
        "settings_sha256": wanted.settings_sha256,
        "stamp": before,
        "labels_sha256": digest(labels) if labels.is_file() else None,
        "made_at": datetime.now().astimezone().isoformat(timespec="seconds"),
        "made_with": versions(),
    }
