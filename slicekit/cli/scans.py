"""Commands that name what a scan holds: segment, propagate."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slicekit.cli.batches import run_batch
from slicekit.cli.options import (
    AllowUneven,
    AsJson,
    Backend,
    Carrier,
    Device,
    GrayRange,
    Method,
    Model,
    Organs,
    Overwrite,
    Precision,
    Preview,
    Propagator,
    Series,
    Spacing,
    TimePoint,
)
from slicekit.cli.segmenting import (
    amount_text,
    expect_part,
    load_announced,
    segment_one,
    summarise,
)
from slicekit.terminal import bar, errors, expect_choice, notes, whole_numbers

if TYPE_CHECKING:
    from slicekit.report.carrying import Carried

_MODEL = "ct_abdomen_reference"
_CARRIER = "any_propagator"


def segment(
    scan: Annotated[Path, typer.Argument(help="NIfTI, DICOM or slice folder, or folder of scans.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Labels; a folder for a folder.")
    ] = None,
    model: Model = _MODEL,
    device: Device = "auto",
    precision: Precision = "auto",
    backend: Backend = "auto",
    organs: Organs = None,
    selector: Annotated[str | None, typer.Option(help="How guide slices are chosen.")] = None,
    propagator: Propagator = None,
    propagation: Annotated[
        bool, typer.Option(help="Carry guides; else the reference names every slice.")
    ] = True,
    preview: Preview = False,
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="Map how unsure the networks are, 0 to 1.")
    ] = False,
    gray_range: GrayRange = None,
    volume: TimePoint = None,
    spacing: Spacing = None,
    series: Series = None,
    allow_uneven: AllowUneven = False,
    parts: Annotated[int | None, typer.Option(min=1, help="Cut a batch into so many.")] = None,
    part: Annotated[int | None, typer.Option(min=1, help="Do this one of them, from 1.")] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Segment a scan, or every scan of a folder; what is done already is skipped there."""
    from slicekit.report.batch import plan_outputs, take_part

    share = expect_part(parts, part)
    pairs = plan_outputs(
        scan, out, series=series
    )  # a misspelt path is told before torch is imported
    several = pairs[0][0] != scan
    if share is not None:
        pairs = take_part(pairs, scan, *share)
    if not pairs:
        notes.print(f"there are more parts than scans: none is left for part {part}")
        return
    from slicekit.report.case import SegmentOptions, expect_free

    options = SegmentOptions(
        organs=tuple(organs) if organs else None,
        selector=selector,
        preview=preview,
        uncertainty=uncertainty,
        overwrite=overwrite,
        gray_range=gray_range,
        volume_index=volume,
        spacing_mm=spacing,
        series=series,
        allow_uneven=allow_uneven,
    )
    if not several:
        expect_free(pairs[0][1], pairs[0][0], options)  # loading a model takes a while
    from slicekit.inference.outline import outline_model
    from slicekit.inference.pipeline import expect_known
    from slicekit.runtime import pick_runtime

    runtime = pick_runtime(device, precision=precision, backend=backend)  # type: ignore[arg-type]
    outline = outline_model(model, propagator=propagation and (propagator or True))
    expect_known(outline, organs=options.organs, selector=selector, uncertainty=uncertainty)
    load = partial(load_announced, model, runtime, propagator=outline.propagator or False)
    if not several:
        segment_one(*pairs[0], load(), options, as_json=as_json)
        return
    from slicekit.report.batch_run import Batch
    from slicekit.report.segment_job import SegmentJob

    job = SegmentJob(outline, options, load=load, command=sys.argv)
    batch = Batch(pairs, job, part=share, prepare=job.prepare)
    run_batch(batch, len(pairs), summarise=summarise, as_json=as_json)


def propagate(
    scan: Annotated[Path, typer.Argument(help="NIfTI file, DICOM or slice folder.")],
    guides: Annotated[
        Path, typer.Argument(help="Label map with a few drawn slices, or a folder of masks.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Labels of the whole scan.")],
    method: Method = "stcn",
    model: Carrier = None,
    axis: Annotated[str, typer.Option(help="Slices were drawn along z, y or x.")] = "z",
    drawn_slices: Annotated[
        str | None, typer.Option(help="10,40,70: looked at whole, so what is not there ends.")
    ] = None,
    z_range: Annotated[
        tuple[int, int] | None, typer.Option(help="First and last slice to answer.")
    ] = None,
    suggestions: Annotated[
        int, typer.Option("--suggest", min=0, help="Slices to draw next, so many.")
    ] = 3,
    device: Device = "auto",
    precision: Precision = "auto",
    backend: Backend = "auto",
    gray_range: GrayRange = None,
    volume: TimePoint = None,
    spacing: Spacing = None,
    series: Series = None,
    allow_uneven: AllowUneven = False,
    preview: Preview = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Carry the masks of a few drawn slices through a whole scan."""
    expect_choice("--method", method, ("stcn", "interpolate"))
    expect_choice("--axis", axis, ("z", "y", "x"))
    if method == "interpolate" and model is not None:
        raise typer.BadParameter("interpolation needs no network; leave --model out")
    from slicekit.inference.model import load_propagator
    from slicekit.report.carrying import expect_paths, propagate_file
    from slicekit.report.drawn import CarryOptions
    from slicekit.runtime import pick_runtime

    options = CarryOptions(
        axis=axis,  # type: ignore[arg-type]
        drawn_slices=whole_numbers("--drawn-slices", drawn_slices),
        z_range=z_range,
        suggestions=suggestions,
        preview=preview,
        overwrite=overwrite,
        gray_range=gray_range,
        volume_index=volume,
        spacing_mm=spacing,
        series=series,
        allow_uneven=allow_uneven,
    )
    expect_paths(scan, guides, out, options)  # before a network is loaded
    carrier = None
    if method == "stcn":
        runtime = pick_runtime(device, precision=precision, backend=backend)  # type: ignore[arg-type]
        carrier = load_propagator(model or _CARRIER, runtime)
        notes.print(f"{carrier.recipe.name} on {runtime}")
    with bar() as told:
        found = propagate_file(
            scan, guides, out, carrier, options=options, command=sys.argv,
            progress=partial(told, "propagate"),
        )  # fmt: skip
    if as_json:
        print(json.dumps(found.to_json(), indent=2))
    else:
        _tell_carried(found)
    if not found.complete:
        errors.print(f"interrupted: {out} holds what was carried until then", style="red")
        raise typer.Exit(130)


def _tell_carried(found: Carried) -> None:
    stages = ", ".join(f"{stage} {value:.1f}" for stage, value in found.seconds.items())
    print(f"{found.labels}\n  seconds: {stages}")
    for organ, drawn in found.drawn.items():
        ml = found.volumes_ml[organ]
        volume = f"{found.voxels[organ]} vx" if ml is None else f"{amount_text(ml)} ml"
        carried = found.carried[organ]
        print(f"  {organ}: {volume}, drawn on {len(drawn)} slices, carried to {carried}")
    beside = (found.sidecar, found.statistics, found.preview)
    print(f"  beside it: {', '.join(path.name for path in beside if path is not None)}")
    for one in found.suggestions:
        print(f"  draw next: slice {one.z} ({one.reason})")
