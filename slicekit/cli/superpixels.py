"""The command that cuts scans into superpixels."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from slicekit.cli.batches import run_batch, say
from slicekit.cli.options import (
    AllowUneven,
    AsJson,
    GrayRange,
    Overwrite,
    Series,
    Spacing,
    TimePoint,
)
from slicekit.terminal import bar


def superpixels(
    scan: Annotated[Path, typer.Argument(help="NIfTI, DICOM or slice folder, or folder of scans.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Labels; a folder for a folder.")
    ] = None,
    segments: Annotated[int, typer.Option(min=1, max=20_000, help="Superpixels a slice.")] = 400,
    regions: Annotated[
        int | None, typer.Option(min=1, help="Merge neighbours until so many are left.")
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="A third of the rows each round.")] = False,
    masked: Annotated[
        bool, typer.Option("--masked/--whole", help="Only the body, or the air around it too.")
    ] = True,
    threads: Annotated[int | None, typer.Option(min=1, help="All cores if left out.")] = None,
    gray_range: GrayRange = None,
    volume: TimePoint = None,
    spacing: Spacing = None,
    series: Series = None,
    allow_uneven: AllowUneven = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Cut every slice of a scan, or of every scan of a folder, into superpixels."""
    from slicekit.report.batch import plan_outputs

    pairs = plan_outputs(scan, out, series=series)
    from slicekit.report.batch_run import Batch
    from slicekit.report.superpixels_job import SuperpixelJob, SuperpixelOptions, cut_file

    options = SuperpixelOptions(
        segments=segments,
        regions=regions,
        fast=fast,
        masked=masked,
        threads=threads,
        overwrite=overwrite,
        gray_range=gray_range,
        volume_index=volume,
        spacing_mm=spacing,
        series=series,
        allow_uneven=allow_uneven,
    )
    if pairs[0][0] != scan:
        batch = Batch(pairs, SuperpixelJob(options, command=sys.argv))
        run_batch(batch, len(pairs), summarise=lambda one: say(str(one)), as_json=as_json)
        return
    with bar() as told:
        cut = cut_file(*pairs[0], options, progress=told)
    say(json.dumps(cut.to_json(), indent=2) if as_json else str(cut))
