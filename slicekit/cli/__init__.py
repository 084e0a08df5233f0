"""The command line: the one place that prints.

Heavy modules are imported inside the commands, so that ``--help`` is quick. What exit codes mean
is said by ``EXIT_CODES``.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import slicekit
from slicekit.cli.about import info, models
from slicekit.cli.convert import convert
from slicekit.cli.fewshot import fewshot
from slicekit.cli.finetune import finetune
from slicekit.cli.learning import pseudo, queue, train
from slicekit.cli.measuring import check, stats
from slicekit.cli.reporting import report
from slicekit.cli.review import review
from slicekit.cli.scans import propagate, segment
from slicekit.cli.superpixels import superpixels
from slicekit.cli.tools import evaluate, import_weights, phantom
from slicekit.cli.voice import with_voice
from slicekit.terminal import Group, run

EXIT_CODES = (
    "Exit codes: 0 all went well; 1 a fault that the message explains; 2 a wrong command line, a "
    "batch or an evaluation in which some cases failed, or a check that found errors; 130 and 143 "
    "stopped by a signal. Every command knows --quiet and --verbose."
)
app = typer.Typer(
    cls=Group,
    help="Segment CT and MR scans as if they were videos, from very few labels.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(slicekit.__version__)
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Show it and exit."),
    ] = False,
) -> None:
    """Take the options that need no command."""


for command in (
    segment, propagate, fewshot, superpixels, train, finetune, pseudo, queue, evaluate, stats,
    check, report, review, phantom, import_weights, convert, models, info,
):  # fmt: skip
    app.command(command.__name__.replace("_", "-"))(with_voice(command))


def main() -> None:
    """Run ``slicekit COMMAND ...``."""
    run(app, sys.argv[1:], name="slicekit")


def infer_door() -> None:
    """Run ``python infer.py ...``, which is ``slicekit segment ...``."""
    run(app, ["segment", *sys.argv[1:]], name="infer.py")


def train_door() -> None:
    """Run ``python train.py ...``, which is ``slicekit train ...``."""
    run(app, ["train", *sys.argv[1:]], name="train.py")
