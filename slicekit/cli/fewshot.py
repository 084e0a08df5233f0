"""The command that finds in one scan what was drawn in another: fewshot."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from slicekit.cli.options import (
    AllowUneven,
    AsJson,
    Device,
    GrayRange,
    Organs,
    Overwrite,
    Precision,
    Preview,
    Propagator,
    Series,
    Spacing,
    TimePoint,
    known_model,
)
from slicekit.cli.segmenting import summarise
from slicekit.terminal import bar, notes

_MODELS = {True: "abdomen_ct_fewshot", False: "abdomen_mr_fewshot"}
"""By whether the support can be CT."""


def fewshot(
    support_scan: Annotated[Path, typer.Argument(help="A scan on which organs were drawn.")],
    support_labels: Annotated[Path, typer.Argument(help="What was drawn, on some slices or all.")],
    query_scan: Annotated[Path, typer.Argument(help="Another patient's scan of the same kind.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Labels of the query.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="Few-shot model: name, recipe or weights; by modality.",
            autocompletion=known_model,
        ),
    ] = None,
    organs: Organs = None,
    propagator: Propagator = None,
    propagation: Annotated[
        bool, typer.Option(help="Carry trusted slices; else every slice is named by itself.")
    ] = True,
    join_neighbour: Annotated[
        bool, typer.Option("--join-neighbour", help="A sure slice supports the slice beside it.")
    ] = False,
    whole: Annotated[
        bool | None,
        typer.Option(
            "--whole/--few-slices", help="Organs were drawn from end to end; else found out."
        ),
    ] = None,
    extent_of: Annotated[
        Path | None,
        typer.Option(help="True labels of the query: the published protocol, to compare with."),
    ] = None,
    gray_range: GrayRange = None,
    volume: TimePoint = None,
    spacing: Spacing = None,
    series: Series = None,
    allow_uneven: AllowUneven = False,
    preview: Preview = False,
    device: Device = "auto",
    precision: Precision = "auto",
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Find organs in a scan that were drawn in another patient's, with nothing to train.

    How a scan is to be read (--gray-range, --volume, --spacing, --series, --allow-uneven) is said
    of the query; the support is read as its files tell.
    """
    from slicekit.data.intensity import holds_hu
    from slicekit.inference.answers import SupportSettings
    from slicekit.inference.shots import load_fewshot
    from slicekit.report.fewshot import FewShotOptions, expect_free, fewshot_file
    from slicekit.report.support import read_support
    from slicekit.runtime import pick_runtime

    options = FewShotOptions(
        preview=preview,
        overwrite=overwrite,
        supports=SupportSettings(join_neighbour=join_neighbour, whole=whole),
        extent_of=extent_of,
        gray_range=gray_range,
        volume_index=volume,
        spacing_mm=spacing,
        series=series,
        allow_uneven=allow_uneven,
    )
    expect_free(support_scan, support_labels, query_scan, out, options=options)
    runtime = pick_runtime(device, precision=precision)  # type: ignore[arg-type]
    support = read_support(support_scan, support_labels, organs=organs or None)
    chosen = model or _MODELS[holds_hu(support.scan)]
    carried = propagation and extent_of is None and (propagator or True)
    loaded = load_fewshot(chosen, runtime, propagator=carried)
    carrier = f" and {loaded.carrier.recipe.name}" if loaded.carrier else ""
    notes.print(f"{loaded.recipe.name}{carrier} on {loaded.runtime}")
    with bar() as told:
        files = fewshot_file(
            support, query_scan, out, loaded, options=options, command=sys.argv, progress=told,
        )  # fmt: skip
    if as_json:
        print(json.dumps(files.to_json(), indent=2))
    else:
        summarise(files)
