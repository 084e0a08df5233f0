"""Commands around the work: evaluate, phantom, import-weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from slicekit.cli.figures import AllFigures, expect_figures, write_figures
from slicekit.cli.options import AsJson, Overwrite
from slicekit.terminal import errors


def evaluate(
    pred: Annotated[Path, typer.Argument(help="Labels, or a folder of them.")],
    truth: Annotated[Path, typer.Argument(help="True labels, or a folder of them.")],
    as_json: AsJson = False,
    out: AllFigures = None,
    table: Annotated[
        Path | None, typer.Option("--csv", help="Write one line a case and organ as CSV too.")
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Accept that some truths have no prediction.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Score labels against the truth: DSC, NSD and HD95 per organ and case.

    Exit code 2: a case could not be scored, or truths have no prediction (without --partial).
    """
    from slicekit.report.evaluation import evaluate_paths
    from slicekit.report.naming import name_files
    from slicekit.report.pairs import pair_paths

    if out is not None or table is not None:
        pairs, _ = pair_paths(pred, truth)
        files = [file for pair in pairs for file in (pair.prediction, pair.truth)]
        read = {one for file in files for one in (file, *name_files(file))}
        expect_figures(out, table, overwrite=overwrite, inputs=read)
    report = evaluate_paths(pred, truth)
    figures = report.to_json()
    write_figures(out, table, figures, report.to_csv())
    print(json.dumps(figures, indent=2) if as_json else report.to_text())
    missing = not partial and report.not_predicted
    if missing:
        errors.print(f"{len(missing)} truths have no prediction; --partial accepts that")
    if missing or report.failures:
        raise typer.Exit(2)


def phantom(
    out: Annotated[Path, typer.Argument(help="The scan; its true labels go beside it.")],
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another patient.")] = 7,
    overwrite: Overwrite = False,
) -> None:
    """Make a phantom torso: a CT-like scan and its true labels."""
    import numpy as np

    from slicekit.data.phantom import make_phantom
    from slicekit.io import expect_writable, write_labels, write_volume
    from slicekit.report.batch import truth_beside

    beside = truth_beside(out)
    for path in (out, beside):
        expect_writable(path, overwrite=overwrite)
    made = make_phantom(np.random.default_rng(seed))
    write_volume(out, made.image, overwrite=overwrite)
    write_labels(beside, made.labels, like=made.image, overwrite=overwrite)
    print(f"{out}\n{beside}")


def import_weights(
    file: Annotated[Path, typer.Argument(help="STCN or TransUNet checkpoint, or R50+ViT-B_16.npz")],
    out: Annotated[Path, typer.Option("-o", "--out", help="NAME.safetensors")],
    name: Annotated[str | None, typer.Option(help="Name of the model; else the output's.")] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(help="What a TransUNet's classes are, from id 1 on; several may follow."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Make a model of weights that others published; code in the file is never run."""
    from slicekit.published import import_published

    print(import_published(file, out, name=name, organs=classes or (), overwrite=overwrite))
