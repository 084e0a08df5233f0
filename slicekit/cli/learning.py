"""Commands that learn from scans: train."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from slicekit.cli.options import Device, Precision
from slicekit.terminal import bar


def train(
    recipe: Annotated[Path, typer.Argument(help="models/NAME.toml")],
    data: Annotated[
        list[Path], typer.Option(help="nnU-Net raw folder; several for a propagator of anything.")
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder of the run; it resumes from there.")
    ],
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE, such as training.steps=200.")
    ] = None,
    unlabelled: Annotated[
        list[Path] | None, typer.Option(help="More scans without labels.")
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; all if not given.")] = None,
) -> None:
    """Train what a recipe describes; run it again to go on after an interruption."""
    from slicekit.recipes import read_recipe
    from slicekit.runtime import pick_runtime
    from slicekit.training.run import train as fit

    chosen = read_recipe(recipe, changes=changes or ())
    runtime = pick_runtime(device, precision=precision, threads=threads, backend="torch")  # type: ignore[arg-type]
    with bar() as told:
        weights = fit(
            chosen,
            data=data,
            out=out,
            runtime=runtime,
            unlabelled=unlabelled or (),
            progress=partial(told, "steps"),
        )
    print(weights)
