"""One scan from file to files: labels, what they mean, statistics, a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slicekit.data.intensity import from_gray
from slicekit.errors import WriteError
from slicekit.inference.model import Model
from slicekit.inference.pipeline import (
    Progress,
    Segmentation,
    expect_known,
    segment_volume,
)
from slicekit.inference.stopwatch import Stopwatch
from slicekit.io import (
    expect_labels_name,
    expect_writable,
    read_volume,
    stored_slice,
    write_labels,
)
from slicekit.io.atomic import why_not_written, write_atomically
from slicekit.report.batch import outputs_beside
from slicekit.report.preview import write_preview
from slicekit.report.statistics import statistics
from slicekit.volume import Volume


@dataclass(frozen=True)
class SegmentOptions:
    """What a user may say about one segmentation."""

    organs: tuple[str, ...] | None = None
    """Names to keep; all for ``None``."""
    selector: str | None = None
    """How guides are chosen; as the recipe says for ``None``."""
    preview: bool = False
    """Whether to draw a picture."""
    overwrite: bool = False
    """Whether results of an earlier run may be replaced."""
    gray_range: tuple[float, float] | None = None
    """HU that 0 and 255 of 8-bit pictures stand for."""
    volume_index: int | None = None
    """Which volume of a file that holds several."""
    spacing_mm: tuple[float, float, float] | None = None
    """Spacing ``(z, y, x)`` of a slice folder, which cannot tell."""


@dataclass(frozen=True, eq=False)
class CaseFiles:
    """What was written for one scan."""

    labels: Path
    sidecar: Path
    statistics: Path
    preview: Path | None
    seconds: dict[str, float]
    volumes_ml: dict[str, float]


def segment_file(
    scan: Path,
    labels: Path,
    model: Model,
    *,
    options: SegmentOptions = SegmentOptions(),
    command: Sequence[str] = (),
    progress: Progress | None = None,
) -> CaseFiles:
    """Segment one scan and write its labels, their sidecar, statistics and picture.

    Args:
        scan: A NIfTI file or a slice folder.
        labels: ``.nii`` or ``.nii.gz``; a folder name for a slice folder.
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
        RecipeError: There is no such selector.
        WriteError: An output is in the way, is the input, or cannot be written.
    """
    expect_known(model, organs=options.organs, selector=options.selector)
    sidecar, stats_path, preview_path = _expect_free(labels, scan, options)
    watch = Stopwatch()
    with watch("read"):
        volume = read_scan(scan, options)
        expect_labels_name(labels, like=volume)
    done = segment_volume(
        volume,
        model,
        organs=options.organs,
        selector=options.selector,
        progress=progress,
        name=str(scan),
    )
    with watch("write"):
        for stale in (sidecar, preview_path) if options.overwrite else ():
            remove_stale(stale)
        write_labels(labels, done.labels, like=volume, overwrite=options.overwrite)
    with watch("report"):
        shown = done.image.with_array(done.labels.array)  # on the grid that was worked with
        has_hu = model.recipe.input.modality == "CT"
        stats = statistics(shown, done.names, image=done.image if has_hu else None)
        known = getattr(volume.source, "spacing_known", True)
        grid = {"spacing_mm": list(shown.spacing_mm), "spacing_known": known}
        write_json(stats_path, {**grid, "organs": stats})
        if options.preview:
            _draw(preview_path, done, model)
    seconds = {"read": watch.seconds["read"], **done.seconds}
    seconds |= {stage: watch.seconds[stage] for stage in ("write", "report")}
    seconds = {stage: round(value, 3) for stage, value in seconds.items()}
    write_json(sidecar, _describe(done, model, scan=scan, command=command, seconds=seconds))
    return CaseFiles(
        labels,
        sidecar,
        stats_path,
        preview_path if options.preview else None,
        seconds,
        {organ: figures["volume_ml"] for organ, figures in stats.items()},
    )


def read_scan(scan: Path, options: SegmentOptions) -> Volume:
    """Read a scan as the user described it."""
    volume = read_volume(scan, volume_index=options.volume_index, spacing_mm=options.spacing_mm)
    if options.gray_range is not None:
        volume = from_gray(volume, *options.gray_range, name=str(scan))
    return volume


def _expect_free(labels: Path, scan: Path, options: SegmentOptions) -> tuple[Path, Path, Path]:
    """Return the files beside the labels, once it is sure that all of them can be written."""
    beside = outputs_beside(labels)
    # a picture of an earlier run is removed when its labels are replaced, so it is checked too
    checked = beside if options.preview or options.overwrite else beside[:2]
    for path in (labels, *checked):
        expect_writable(path, overwrite=options.overwrite, inputs=[scan])
    for path in checked:
        if path.is_dir():
            raise WriteError(path, "is a folder, but a file of that name is to be written")
    return beside


def remove_stale(stale: Path) -> None:
    """Remove what belongs to labels that are about to be replaced.

    Raises:
        WriteError: It cannot be removed.
    """
    try:
        stale.unlink(missing_ok=True)
    except OSError as fault:
        raise WriteError(stale, why_not_written(fault, stale)) from fault


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
    done: Segmentation,
    model: Model,
    *,
    scan: Path,
    command: Sequence[str],
    seconds: dict[str, float],
) -> dict[str, Any]:
    names = model.recipe.labels.names_by_id
    return {
        "labels": {"background": 0, **done.names.ids},
        "scan": str(scan),
        "model": model.recipe.name,
        "propagator": model.propagator_recipe.name if model.propagator_recipe else None,
        "weights_sha256": model.sha256,
        "licence": model.recipe.licence,
        "command": list(command),
        "runtime": str(model.runtime),
        "seconds": seconds,
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


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON whole or not at all.

    Raises:
        WriteError: It cannot be written.
    """
    text = json.dumps(content, indent=2) + "\n"

    def write(file: Path) -> None:
        file.write_text(text, encoding="utf-8")

    write_atomically(path, write)
