"""Commands that name what a scan holds: segment, propagate."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from slicekit.cli.options import Backend, Device, Overwrite, Precision, Preview
from slicekit.errors import SlicekitError, lacks_memory
from slicekit.terminal import bar, errors, expect_choice, tell, whole_numbers

if TYPE_CHECKING:
    from slicekit.inference.model import Model
    from slicekit.report.carrying import Carried
    from slicekit.report.case import CaseFiles, SegmentOptions
    from slicekit.runtime import Runtime

T = TypeVar("T")
_MODEL = "ct_abdomen_reference"
_CARRIER = "any_propagator"


def segment(
    scan: Annotated[Path, typer.Argument(help="NIfTI file, slice folder, or folder of scans.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Labels; a folder for a folder.")
    ] = None,
    model: Annotated[str, typer.Option(help="Model name, recipe or weights.")] = _MODEL,
    device: Device = "auto",
    precision: Precision = "auto",
    backend: Backend = "auto",
    organs: Annotated[
        list[str] | None, typer.Option(help="Only these organs; several may follow.")
    ] = None,
    selector: Annotated[str | None, typer.Option(help="How guide slices are chosen.")] = None,
    propagator: Annotated[str | None, typer.Option(help="Another one, as for --model.")] = None,
    propagation: Annotated[
        bool, typer.Option(help="Carry guides; else the reference names every slice.")
    ] = True,
    preview: Preview = False,
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="Map how unsure the networks are, 0 to 1.")
    ] = False,
    gray_range: Annotated[
        tuple[float, float] | None, typer.Option(help="HU of 0 and 255 in 8-bit pictures.")
    ] = None,
    volume: Annotated[int | None, typer.Option(min=0, help="Of a time series; from 0.")] = None,
    spacing: Annotated[
        tuple[float, float, float] | None,
        typer.Option(help="Spacing z y x in mm of a slice folder."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Segment a scan, or every scan of a folder."""
    from slicekit.report.batch import plan_outputs

    pairs = plan_outputs(scan, out)  # a misspelt path is told before torch is imported
    from slicekit.report.case import SegmentOptions

    options = SegmentOptions(
        organs=tuple(organs) if organs else None,
        selector=selector,
        preview=preview,
        uncertainty=uncertainty,
        overwrite=overwrite,
        gray_range=gray_range,
        volume_index=volume,
        spacing_mm=spacing,
    )
    alone = len(pairs) == 1
    ready = [pair for pair in pairs if _is_free(*pair, options, alone=alone)]
    done: set[Path] = set()
    if ready:  # loading a model takes a while
        from slicekit.runtime import pick_runtime

        runtime = pick_runtime(device, precision=precision, backend=backend)  # type: ignore[arg-type]
        loaded = _load(model, runtime, options, propagator=propagation and (propagator or True))
        done = {pair[0] for pair in ready if _one(*pair, loaded, options, alone=alone)}
    if failed := [source for source, _ in pairs if source not in done]:
        errors.print(f"{len(failed)} of {len(pairs)} scans failed: {', '.join(map(str, failed))}")
        raise typer.Exit(2)


def _load(name: str, runtime: Runtime, options: SegmentOptions, *, propagator: bool | str) -> Model:
    """Load a model that can do what the user said, and say which it is."""
    from slicekit.inference.model import load_model
    from slicekit.inference.pipeline import expect_known

    loaded = load_model(name, runtime, propagator=propagator)
    expect_known(
        loaded, organs=options.organs, selector=options.selector, uncertainty=options.uncertainty
    )
    carrier = f" and {loaded.propagator_recipe.name}" if loaded.propagator_recipe else ""
    print(f"{loaded.recipe.name}{carrier} on {loaded.runtime}", file=sys.stderr)
    return loaded


def _is_free(source: Path, target: Path, options: SegmentOptions, *, alone: bool) -> bool:
    """Tell whether all outputs of a scan can be written; in a batch a fault is told."""
    from slicekit.report.case import expect_free

    return _attempt(source, lambda: expect_free(target, source, options), alone=alone) is not None


def _one(source: Path, target: Path, model: Model, options: SegmentOptions, *, alone: bool) -> bool:
    """Segment one scan; in a batch a fault is told and the rest goes on."""
    from slicekit.report.case import segment_file

    def work() -> CaseFiles:
        with bar() as told:
            return segment_file(
                source, target, model, options=options, command=sys.argv, progress=told
            )

    files = _attempt(source, work, alone=alone)
    if files is not None:
        _summarise(files)
    return files is not None


def _attempt(source: Path, work: Callable[[], T], *, alone: bool) -> T | None:
    """Do something with one scan; in a batch a fault is told, and nothing comes of it."""
    try:
        return work()
    except Exception as fault:  # whatever it is, the other scans go on
        if alone:
            raise
        if not (isinstance(fault, SlicekitError) or lacks_memory(fault)):
            logging.exception("a fault of slicekit itself")
        tell(fault, about=source)
        return None


def _summarise(files: CaseFiles) -> None:
    stages = ", ".join(f"{stage} {value:.1f}" for stage, value in files.seconds.items())
    print(f"{files.labels}\n  seconds: {stages} (total {sum(files.seconds.values()):.1f})")
    found = [f"{organ} {float(f'{ml:.3g}'):g}" for organ, ml in files.volumes_ml.items() if ml > 0]
    print(f"  ml: {', '.join(found) or 'no organ was found'}")
    beside = (files.sidecar, files.statistics, files.preview, files.uncertainty)
    print(f"  beside it: {', '.join(path.name for path in beside if path is not None)}")


def propagate(
    scan: Annotated[Path, typer.Argument(help="NIfTI file or slice folder.")],
    guides: Annotated[
        Path, typer.Argument(help="Label map with a few drawn slices, or a folder of masks.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Labels of the whole scan.")],
    method: Annotated[str, typer.Option(help="stcn, or interpolate: no network.")] = "stcn",
    model: Annotated[
        str | None, typer.Option(help=f"Propagator: name, recipe or weights; {_CARRIER}.")
    ] = None,
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
    volume: Annotated[int | None, typer.Option(min=0, help="Of a time series; from 0.")] = None,
    spacing: Annotated[
        tuple[float, float, float] | None,
        typer.Option(help="Spacing z y x in mm of a slice folder."),
    ] = None,
    overwrite: Overwrite = False,
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
        overwrite=overwrite,
        volume_index=volume,
        spacing_mm=spacing,
    )
    expect_paths(scan, guides, out, overwrite=overwrite)  # before a network is loaded
    carrier = None
    if method == "stcn":
        runtime = pick_runtime(device, precision=precision, backend=backend)  # type: ignore[arg-type]
        carrier = load_propagator(model or _CARRIER, runtime)
        print(f"{carrier.recipe.name} on {runtime}", file=sys.stderr)
    with bar() as told:
        found = propagate_file(
            scan, guides, out, carrier, options=options, command=sys.argv,
            progress=partial(told, "propagate"),
        )  # fmt: skip
    _tell_carried(found)
    if not found.complete:
        errors.print(f"interrupted: {out} holds what was carried until then", style="red")
        raise typer.Exit(130)


def _tell_carried(found: Carried) -> None:
    stages = ", ".join(f"{stage} {value:.1f}" for stage, value in found.seconds.items())
    print(f"{found.labels}\n  seconds: {stages}")
    for organ, drawn in found.drawn.items():
        print(f"  {organ}: drawn on {len(drawn)} slices, carried to {found.carried[organ]}")
    for one in found.suggestions:
        print(f"  draw next: slice {one.z} ({one.reason})")
