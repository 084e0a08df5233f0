"""Options that several commands share, and what a shell completes them with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer


def one_of(*words: str) -> Callable[[str], list[str]]:
    """Complete what was begun to one of some words."""
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]


def known_model(incomplete: str) -> list[str]:
    """Complete what was begun to the name of a model."""
    from slicekit.recipes.finding import model_files

    return one_of(*model_files())(incomplete)


Model = Annotated[
    str, typer.Option(help="Model name, recipe or weights.", autocompletion=known_model)
]
Propagator = Annotated[
    str | None, typer.Option(help="Another one, as for --model.", autocompletion=known_model)
]
Carrier = Annotated[
    str | None,
    typer.Option(
        help="Propagator: name, recipe or weights; any_propagator.", autocompletion=known_model
    ),
]
Method = Annotated[
    str,
    typer.Option(
        help="stcn, or interpolate: no network.", autocompletion=one_of("stcn", "interpolate")
    ),
]
Device = Annotated[
    str,
    typer.Option(help="auto, cpu, cuda or cuda:N", autocompletion=one_of("auto", "cpu", "cuda")),
]
Precision = Annotated[
    str,
    typer.Option(help="auto, float32 or bf16", autocompletion=one_of("auto", "float32", "bf16")),
]
Backend = Annotated[
    str,
    typer.Option(
        help="auto, torch or openvino (Intel CPUs)",
        autocompletion=one_of("auto", "torch", "openvino"),
    ),
]
Organs = Annotated[list[str] | None, typer.Option(help="Only these organs; several may follow.")]
Preview = Annotated[bool, typer.Option("--preview", help="Draw a picture beside the labels.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TimePoint = Annotated[int | None, typer.Option("--volume", min=0, help="Of a time series; from 0.")]
Spacing = Annotated[
    tuple[float, float, float] | None,
    typer.Option(help="Spacing z y x in mm of a slice folder."),
]
GrayRange = Annotated[
    tuple[float, float] | None, typer.Option(help="HU of 0 and 255 in 8-bit pictures.")
]
Series = Annotated[
    str | None, typer.Option(help="Of several DICOM series: its number, UID or description.")
]
AllowUneven = Annotated[
    bool, typer.Option("--allow-uneven", help="Resample DICOM slices that are uneven or tilted.")
]
