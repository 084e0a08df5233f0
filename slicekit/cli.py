"""The command line: the one place that prints.

Heavy modules are imported inside the commands, so that ``--help`` is quick. Exit codes: 0 all
went well, 1 a fault that the message explains, 2 a wrong command line or a batch in which some
scans failed, 130 and 143 stopped by a signal.
"""

from __future__ import annotations

import io
import json
import logging
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from slicekit.errors import DataWarning, SlicekitError, lacks_memory

if TYPE_CHECKING:
    from slicekit.inference.model import Model
    from slicekit.report.case import CaseFiles, SegmentOptions

app = typer.Typer(
    help="Segment CT and MR scans as if they were videos, from very few labels.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)
_MODEL = "ct_abdomen_reference"
_SEVERAL = ("--data", "--organs", "--unlabelled")

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")]
Precision = Annotated[str, typer.Option(help="auto, float32 or bf16")]
Backend = Annotated[str, typer.Option(help="auto, torch or openvino (Intel CPUs)")]
Preview = Annotated[bool, typer.Option("--preview", help="Draw a picture beside the labels.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
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
    from slicekit.inference.model import load_model
    from slicekit.inference.pipeline import expect_known
    from slicekit.report.case import SegmentOptions
    from slicekit.runtime import pick_runtime

    options = SegmentOptions(
        organs=tuple(organs) if organs else None,
        selector=selector,
        preview=preview,
        overwrite=overwrite,
        gray_range=gray_range,
        volume_index=volume,
        spacing_mm=spacing,
    )
    runtime = pick_runtime(device, precision=precision, backend=backend)  # type: ignore[arg-type]
    loaded = load_model(model, runtime, propagator=propagation and (propagator or True))
    expect_known(loaded, organs=options.organs, selector=options.selector)
    carrier = f" and {loaded.propagator_recipe.name}" if loaded.propagator_recipe else ""
    print(f"{loaded.recipe.name}{carrier} on {runtime}", file=sys.stderr)
    failed = [
        source
        for source, target in pairs
        if not _one(source, target, loaded, options, alone=len(pairs) == 1)
    ]
    if failed:
        _errors.print(f"{len(failed)} of {len(pairs)} scans failed: {', '.join(map(str, failed))}")
        raise typer.Exit(2)


def _one(source: Path, target: Path, model: Model, options: SegmentOptions, *, alone: bool) -> bool:
    """Segment one scan; in a batch a fault is told and the rest goes on."""
    from slicekit.report.case import segment_file

    try:
        with _bar() as told:
            files = segment_file(
                source, target, model, options=options, command=sys.argv, progress=told
            )
    except Exception as fault:  # whatever it is, the other scans go on
        if alone:
            raise
        if not (isinstance(fault, SlicekitError) or lacks_memory(fault)):
            logging.exception("a fault of slicekit itself")
        _tell(fault, about=source)
        return False
    _summarise(files)
    return True


def _summarise(files: CaseFiles) -> None:
    stages = ", ".join(f"{stage} {value:.1f}" for stage, value in files.seconds.items())
    print(f"{files.labels}\n  seconds: {stages} (total {sum(files.seconds.values()):.1f})")
    found = [f"{organ} {float(f'{ml:.3g}'):g}" for organ, ml in files.volumes_ml.items() if ml > 0]
    print(f"  ml: {', '.join(found) or 'no organ was found'}")
    beside = [files.sidecar, files.statistics, *([files.preview] if files.preview else [])]
    print(f"  beside it: {', '.join(path.name for path in beside)}")


@app.command()
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
    from slicekit.training.run import train as run

    chosen = read_recipe(recipe, changes=changes or ())
    runtime = pick_runtime(device, precision=precision, threads=threads, backend="torch")  # type: ignore[arg-type]
    with _bar() as told:
        weights = run(
            chosen,
            data=data,
            out=out,
            runtime=runtime,
            unlabelled=unlabelled or (),
            progress=partial(told, "steps"),
        )
    print(weights)


@app.command()
def evaluate(
    pred: Annotated[Path, typer.Argument(help="Labels, or a folder of them.")],
    truth: Annotated[Path, typer.Argument(help="True labels, or a folder of them.")],
    as_json: AsJson = False,
) -> None:
    """Score labels against the truth: DSC, NSD and HD95 per organ and case."""
    from slicekit.report.evaluation import evaluate_paths

    report = evaluate_paths(pred, truth)
    print(json.dumps(report.to_json(), indent=2) if as_json else report.to_text())
    if report.failures:
        raise typer.Exit(2)


@app.command()
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


@contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar with the time left, one a stage."""
    columns = (TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    hidden = not _errors.is_terminal
    with Progress(*columns, *times, console=_errors, transient=True, disable=hidden) as bar:
        tasks: dict[str, Any] = {}

        def told(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done)

        yield told


def _tell(fault: Exception, *, about: Path | None = None) -> None:
    text = str(fault) if isinstance(fault, SlicekitError) else repr(fault)
    if lacks_memory(fault):
        text = "there is not enough memory; close other programs, or cut or resample the scan"
    where = f"{about}: " if about and str(about) not in text else ""
    _errors.print(f"error: {where}{text}", style="red")


def _spread(words: Sequence[str]) -> list[str]:
    """Repeat an option before each of its values: ``--organs a b`` -> ``--organs a --organs b``."""
    spread: list[str] = []
    option, valued = "", True
    for word in (*words, "--"):
        if word.startswith("-"):
            if not valued:
                spread.append(option)
            option, valued = (word, False) if word in _SEVERAL else ("", True)
            if not option:
                spread.append(word)
        elif option:
            spread += [option, word]
            valued = True
        else:
            spread.append(word)
    return spread[:-1]


def _run(words: Sequence[str], *, name: str) -> None:
    """Run a command line and end the process with its exit code."""
    chatty = _errors.is_terminal or words[:1] == ["train"]
    level = logging.INFO if chatty else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    warnings.simplefilter("always", DataWarning)
    warnings.showwarning = _show_warning
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name may hold bytes that are no text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(args=_spread(words), prog_name=name)
    except Exception as fault:
        if not (isinstance(fault, SlicekitError) or lacks_memory(fault)):
            raise
        _tell(fault)
        sys.exit(128 + fault.signal if hasattr(fault, "signal") else 1)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    if issubclass(category, DataWarning):
        _errors.print(f"warning: {message}", style="yellow")


def main() -> None:
    """Run ``slicekit COMMAND ...``."""
    _run(sys.argv[1:], name="slicekit")


def infer_door() -> None:
    """Run ``python infer.py ...``, which is ``slicekit segment ...``."""
    _run(["segment", *sys.argv[1:]], name="infer.py")


def train_door() -> None:
    """Run ``python train.py ...``, which is ``slicekit train ...``."""
    _run(["train", *sys.argv[1:]], name="train.py")
