"""Commands that learn from scans: train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slicekit.cli.options import Backend, Device, Model, Overwrite, Precision, Propagator
from slicekit.terminal import bar, errors, expect_choice, named_numbers, notes

if TYPE_CHECKING:
    from slicekit.recipes import Recipe
    from slicekit.report.queue import Queue
    from slicekit.runtime import Runtime
    from slicekit.training.pseudo.labelling import PseudoDataset


def train(
    recipe: Annotated[Path, typer.Argument(help="models/NAME.toml, or a model's name.")],
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
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Label, choose and go on, so often in all.")
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; all if not given.")] = None,
) -> None:
    """Train what a recipe describes; run it again to go on after an interruption."""
    from slicekit.inference.recipe_file import recipe_file
    from slicekit.recipes import read_recipe
    from slicekit.runtime import pick_runtime
    from slicekit.training.run import train as fit

    more = [] if rounds is None else [f"training.rounds.count={rounds}"]
    chosen = read_recipe(recipe_file(recipe), changes=[*(changes or ()), *more])
    runtime = pick_runtime(device, precision=precision, threads=threads, backend="torch")  # type: ignore[arg-type]
    if chosen.training.rounds.count > 1:
        if len(data) > 1:
            raise typer.BadParameter("rounds label the scans of one dataset; name one --data")
        _in_rounds(chosen, data[0], out, runtime, unlabelled or ())
        return
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


def _in_rounds(
    recipe: Recipe, data: Path, out: Path, runtime: Runtime, unlabelled: Sequence[Path]
) -> None:
    from slicekit.report.pseudo import write_pseudo_report
    from slicekit.training.rounds import train_in_rounds

    window, failures = recipe.input.three_windows[0], dict[str, str]()

    def labelled(made: PseudoDataset) -> None:
        failures.update(made.failures)
        write_pseudo_report(made, window=window)

    with bar() as told:
        weights = train_in_rounds(
            recipe,
            data=data,
            out=out,
            runtime=runtime,
            unlabelled=unlabelled,
            progress=told,
            labelled=labelled,
        )
    print(weights)
    _tell_failures(failures)


def pseudo(
    data: Annotated[Path, typer.Argument(help="nnU-Net raw folder.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the new dataset.")],
    model: Model,
    rules: Annotated[
        list[str] | None,
        typer.Option(help="What an organ must pass: volume agreement=0.8; several may follow."),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(help="Scans to label, a group of splits.json; else as the model was trained."),
    ] = None,
    labelled_group: Annotated[
        str | None, typer.Option(help="Scans whose labels are true; else as the model was trained.")
    ] = None,
    held_out_group: Annotated[
        str | None, typer.Option(help="Scans that nothing is learnt from; '' for none.")
    ] = None,
    prior: Annotated[
        Path | None, typer.Option(help="What organs are like; else learnt from scans drawn whole.")
    ] = None,
    judge: Annotated[str | None, typer.Option(help="Another model, for the rule loss.")] = None,
    earlier: Annotated[
        Path | None, typer.Option(help="Output of an earlier round, for the rule stability.")
    ] = None,
    per_organ: Annotated[
        int | None, typer.Option(min=1, help="Of every organ only the best so many scans.")
    ] = None,
    propagator: Propagator = None,
    propagation: Annotated[
        bool, typer.Option(help="Carry guides; else the reference names every slice.")
    ] = True,
    device: Device = "auto",
    precision: Precision = "auto",
    backend: Backend = "auto",
) -> None:
    """Label scans without labels, choose what can be believed, write a dataset to train on."""
    from slicekit.data.cases import find_cases
    from slicekit.training.pseudo import parse_rules, read_prior
    from slicekit.training.pseudo.claim import expect_ours
    from slicekit.training.pseudo.groups import usual_groups
    from slicekit.training.pseudo.labelling import label_dataset
    from slicekit.training.pseudo.needs import Helpers

    asked = parse_rules(rules or ())
    dataset = find_cases(data)
    known = read_prior(prior) if prior is not None else None
    expect_ours(out, dataset.folder, earlier=earlier)  # before a network is loaded
    from slicekit.inference.model import load_model
    from slicekit.report.pseudo import shown_window, write_pseudo_report
    from slicekit.runtime import pick_runtime

    runtime = pick_runtime(device, precision=precision, backend=backend)  # type: ignore[arg-type]
    loaded = load_model(model, runtime, propagator=propagation and (propagator or True))
    groups = usual_groups(
        dataset, loaded.recipe,
        labelled=labelled_group, unlabelled=group, held_out=held_out_group,
    )  # fmt: skip
    other = None if judge is None else load_model(judge, runtime, propagator=False)
    notes.print(f"{loaded.recipe.name} on {loaded.runtime}")
    with bar() as told:
        made = label_dataset(
            dataset, groups, loaded, out, progress=told,
            rules=None if rules is None else asked,
            helpers=Helpers(prior=known, other=other, earlier=earlier, per_organ=per_organ),
        )  # fmt: skip
    _tell_pseudo(made, write_pseudo_report(made, window=shown_window(loaded)))
    _tell_failures(made.failures)


def _tell_pseudo(made: PseudoDataset, files: Sequence[Path]) -> None:
    from slicekit.training.pseudo.tally import tally

    print(made.folder)
    for organ, count in tally(made.judgements, made.organs).items():
        print(f"  {organ}: {count}")
    print(f"  beside it: {', '.join(path.name for path in files)}")


def _tell_failures(failures: Mapping[str, str]) -> None:
    """Tell which scans could not be read, and end with 2 where there are any."""
    for name, why in failures.items():
        errors.print(f"error: {name}: {why}", style="red")
    if failures:
        raise typer.Exit(2)


def queue(
    data: Annotated[Path, typer.Argument(help="nnU-Net raw folder, or a folder of scans.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of queue.csv and queue.png.")],
    model: Annotated[
        str, typer.Option(help="Model name, recipe or weights.")
    ] = "ct_abdomen_reference",
    n: Annotated[int, typer.Option("-n", min=1, help="How many at most.")] = 20,
    per: Annotated[
        str, typer.Option(help="slice or case: single slices or whole scans.")
    ] = "slice",
    strategy: Annotated[
        str, typer.Option(help="entropy, disagreement, uniform or random.")
    ] = "entropy",
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives another queue.")] = 0,
    group: Annotated[
        str | None, typer.Option(help="Group of splits.json; else what is not annotated.")
    ] = None,
    every_mm: Annotated[
        float | None, typer.Option(help="Distance of the slices looked at; else the recipe's.")
    ] = None,
    weights: Annotated[
        list[str] | None, typer.Option(help="ORGAN=NUMBER, 1 if not given; several may follow.")
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    backend: Backend = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Propose which slices or scans to annotate next, with a picture of each."""
    from slicekit.inference.acquisition import STRATEGIES

    expect_choice("--per", per, ("slice", "case"))
    expect_choice("--strategy", strategy, tuple(STRATEGIES))
    if every_mm is not None and not every_mm > 0:
        raise typer.BadParameter(f"--every-mm wants a number above 0, got {every_mm:g}")
    wanted = named_numbers("--weights", weights or ())
    from slicekit.inference.model import load_model
    from slicekit.report.queue import QueueOptions, expect_free, queue_dataset
    from slicekit.runtime import pick_runtime

    expect_free(out, overwrite=overwrite)  # before a network is loaded
    options = QueueOptions(
        n, per, strategy, seed, group, every_mm, wanted, overwrite,  # type: ignore[arg-type]
    )  # fmt: skip
    runtime = pick_runtime(device, precision=precision, backend=backend)  # type: ignore[arg-type]
    loaded = load_model(model, runtime, propagator=False)
    notes.print(f"{loaded.recipe.name} on {loaded.runtime}")
    with bar() as told:
        found = queue_dataset(data, loaded, out, options=options, progress=told)
    _tell_queue(found, wanted=n)
    _tell_failures(found.failures)


def _tell_queue(found: Queue, *, wanted: int) -> None:
    for one in found.proposals:
        where = one.case if one.slice is None else f"{one.case}, slice {one.slice}"
        print(f"  {one.rank}  {where}: {one.organ or 'all organs'} ({one.reason})")
    print(f"{found.table}\n{found.picture}")
    if len(found.proposals) < wanted:
        errors.print(
            f"{len(found.proposals)} of {wanted}: there is no more among the {found.slices} slices "
            "that were looked at, or it lies next to what was chosen or annotated"
        )
