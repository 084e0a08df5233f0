"""The command that teaches a trained model new organs: finetune."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slicekit.cli.options import Device, Precision, known_model
from slicekit.terminal import bar, errors, expect_choice

_STARTS = {
    "reference": "ct_abdomen_reference",
    "propagator": "any_propagator",
    "fewshot": "abdomen_ct_fewshot",
}
_USES = {
    "reference": "  slicekit segment SCAN -o LABELS --model {}",
    "propagator": "  slicekit propagate SCAN DRAWN -o LABELS --model {}",
    "fewshot": "  slicekit fewshot SUPPORT SUPPORT_LABELS QUERY -o LABELS --model {}",
}


def finetune(
    data: Annotated[
        Path, typer.Argument(help="nnU-Net raw folder, or folders of slices and masks.")
    ],
    organs: Annotated[
        list[str] | None,
        typer.Option(
            "--organs", "--organ", help="NAME of the dataset, NAME=VALUE of masks; several follow."
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Model to go on from: name, recipe or weights.",
            autocompletion=known_model,
        ),
    ] = None,
    what: Annotated[
        str | None, typer.Option(help="reference, propagator or fewshot; the first by default.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the new model; else after its organs.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder of the run; it resumes from there.")
    ] = None,
    models: Annotated[
        Path, typer.Option(help="Folder that takes the recipe and the weights.")
    ] = Path("models"),
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of training.")] = None,
    few_slices: Annotated[
        bool | None,
        typer.Option("--few-slices/--whole", help="Only slices that show an organ were looked at."),
    ] = None,
    pilot: Annotated[
        bool, typer.Option(help="Tell after the first minutes what to expect.")
    ] = True,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE of the recipe.")
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; all if not given.")] = None,
) -> None:
    """Teach a trained model new organs from 1 to 10 scans, drawn whole or in part."""
    if what is not None:
        expect_choice("--what", what, tuple(_STARTS))
    from slicekit.data.drawn import find_drawn

    drawn = find_drawn(data, organs or ())
    from slicekit.inference.model import OWN_MODELS, recipe_of
    from slicekit.runtime import pick_runtime
    from slicekit.training.finetune import FinetuneOptions, finetune, usual_name

    chosen = start or _STARTS[what or "reference"]
    role = recipe_of(chosen).role
    if what not in (None, role):
        raise typer.BadParameter(f"--what {what} cannot go on from {chosen}, which is a {role}")
    called = name or usual_name(drawn.organs, role)
    runtime = pick_runtime(device, precision=precision, threads=threads, backend="torch")  # type: ignore[arg-type]
    with bar() as shown:
        done = finetune(
            data, start=chosen, out=out or Path("runs") / called, models=models, runtime=runtime,
            options=FinetuneOptions(
                organs=tuple(organs or ()), name=called, steps=steps, few_slices=few_slices,
                pilot=pilot, changes=tuple(changes or ()),
            ),
            progress=shown, told=lambda said: errors.print(f"what to expect: {said}"),
        )  # fmt: skip
    print(f"{done.name}\n  {done.recipe}\n  {done.weights}")
    if done.scores:
        print(f"  held out: DSC {done.scores['dsc']:.3f}")
    known = done.name if models.resolve() == Path(OWN_MODELS).resolve() else done.recipe
    print(_USES[role].format(known))
