"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")]
Precision = Annotated[str, typer.Option(help="auto, float32 or bf16")]
Backend = Annotated[str, typer.Option(help="auto, torch or openvino (Intel CPUs)")]
Preview = Annotated[bool, typer.Option("--preview", help="Draw a picture beside the labels.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Series = Annotated[
    str | None, typer.Option(help="Of several DICOM series: its number, UID or description.")
]
AllowUneven = Annotated[
    bool, typer.Option("--allow-uneven", help="Resample DICOM slices that are uneven or tilted.")
]
