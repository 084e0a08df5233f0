"""One scan from file to files: labels, what they mean, statistics, a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slicekit.inference.model import Model
from slicekit.inference.pipeline import Progress, Segmentation, Stopwatch, segment_volume
from slicekit.io import read_volume, with_gray_range, write_labels
from slicekit.io.atomic import write_atomically
from slicekit.io.outputs import expect_writable
from slicekit.report.preview import write_preview
from slicekit.report.statistics import statistics
from slicekit.volume import Volume

_ENDINGS = (".nii.gz", ".nii")


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


def outputs_beside(labels: Path) -> tuple[Path, Path, Path]:
    """Return where the sidecar, the statistics and the preview of a label file lie."""
    ending = next((end for end in _ENDINGS if labels.name.endswith(end)), "")
    stem = labels.name.removesuffix(ending)
    return (
        labels.with_name(f"{stem}.json"),
        labels.with_name(f"{stem}_stats.json"),
        labels.with_name(f"{stem}_preview.png"),
    )


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
        ReadError: The scan cannot be read.
        WriteError: An output is in the way, is the input, or cannot be written.
    """
    sidecar, stats_path, preview_path = outputs_beside(labels)
    wanted = [labels, sidecar, stats_path, *([preview_path] if options.preview else [])]
    for path in wanted:
        expect_writable(path, overwrite=options.overwrite, inputs=[scan])
    watch = Stopwatch()
    with watch("read"):
        volume = read_scan(scan, options)
    done = segment_volume(
        volume,
        model,
        organs=options.organs,
        selector=options.selector,
        progress=progress,
        name=str(scan),
    )
    with watch("write"):
        sidecar.unlink(missing_ok=True)
        write_labels(labels, done.labels, like=volume, overwrite=options.overwrite)
    with watch("report"):
        stats = statistics(done.labels, done.names, image=volume)
        _write_json(stats_path, {"organs": stats})
        if options.preview:
            _draw(preview_path, volume, done, model)
    seconds = {"read": watch.seconds["read"], **done.seconds}
    seconds |= {stage: watch.seconds[stage] for stage in ("write", "report")}
    seconds = {stage: round(value, 3) for stage, value in seconds.items()}
    _write_json(sidecar, _describe(done, model, scan=scan, command=command, seconds=seconds))
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
        volume = with_gray_range(volume, *options.gray_range)
    return volume


def _draw(path: Path, volume: Volume, done: Segmentation, model: Model) -> None:
    recipe = model.recipe.input
    names = model.recipe.labels.names_by_id
    guides = [
        (guide.z, guide.reason, [names[number] for number in sorted(guide.organs)])
        for guide in done.guides
    ]
    window = recipe.three_windows[0]
    if getattr(volume.source, "gray_range", ...) is None:
        low, high = (float(f(volume.array)) for f in (np.min, np.max))
        window = type(window).from_range(low, max(high, low + 1))
    write_preview(path, volume, done.labels, done.names, window=window, guides=guides)


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
                "organs": [names[number] for number in sorted(guide.organs)],
                "absent": [names[number] for number in sorted(guide.absent)],
                "reason": guide.reason,
            }
            for guide in done.guides
        ],
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=2) + "\n"

    def write(file: Path) -> None:
        file.write_text(text, encoding="utf-8")

    write_atomically(path, write)
