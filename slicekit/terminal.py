"""The terminal: bars, warnings and errors as a person reads them, words as a person types them."""

from __future__ import annotations

import io
import logging
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text
from typer.core import TyperArgument, TyperGroup

from slicekit.checks import suggest
from slicekit.errors import DataWarning, SlicekitError, lacks_memory

errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)
"""Where everything goes that is not the result."""
notes = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)
"""The part of it that ``--quiet`` silences."""
SEVERAL = (
    "--classes", "--data", "--organ", "--organs", "--rules", "--unlabelled", "--weights",
)  # fmt: skip
"""Options after which several values may follow."""


@contextmanager
def bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar with the time left, one a stage."""
    with _progress() as shown:
        tasks: dict[str, Any] = {}

        def told(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = shown.add_task(stage, total=total)
            shown.update(tasks[stage], completed=done)

        yield told


class _TimeLeft(TimeRemainingColumn):
    """The time left; for scans by the mean of all that are done, for rich forgets after 30 s."""

    def render(self, task: Task) -> Text:
        """Write hours, minutes and seconds."""
        ends_at = task.fields.get("ends_at")
        if ends_at is None:
            return super().render(task)
        minutes, seconds = divmod(max(0, int(ends_at - time.monotonic())), 60)
        shown = f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
        return Text(shown, style="progress.remaining")


class BatchBar:
    """A bar for the scans of a batch with the time left, and below it one a stage of the scan.

    Args:
        shown: Where the bars are drawn.
        total: Scans in all.
    """

    def __init__(self, shown: Progress, total: int) -> None:
        self._shown = shown
        self._total = total
        self._done = 0
        self._began = time.monotonic()
        self._scans = shown.add_task("scans", total=total)
        self._stages: dict[str, Any] = {}

    def skip(self) -> None:
        """Count a scan that took no time; the time left is judged by the others."""
        self._total -= 1
        self._shown.update(self._scans, total=self._total)

    def step(self) -> None:
        """Count a scan that is dealt with."""
        self._done += 1
        now = time.monotonic()
        left_s = (now - self._began) / self._done * (self._total - self._done)
        self._shown.update(self._scans, completed=self._done, ends_at=now + left_s)

    def next_scan(self, scan: Path) -> None:
        """Begin the stages of another scan."""
        for task in self._stages.values():
            self._shown.remove_task(task)
        self._stages = {}
        self._shown.update(self._scans, description=shorten(scan.name, 28))

    def stage(self, stage: str, done: int, total: int) -> None:
        """Move the bar of a stage."""
        if stage not in self._stages:
            self._stages[stage] = self._shown.add_task(stage, total=total)
        self._shown.update(self._stages[stage], completed=done)


@contextmanager
def batch_bar(total: int) -> Iterator[BatchBar]:
    """Show a bar over the scans of a batch."""
    with _progress() as shown:
        yield BatchBar(shown, total)


def shorten(text: str, length: int) -> str:
    """Cut the middle out of a long name.

    Example:
        >>> shorten("a_very_long_name_0001", 11)
        'a_ver..0001'
    """
    if len(text) <= length:
        return text
    tail = (length - 2) // 2
    return f"{text[: length - 2 - tail]}..{text[-tail:]}"


def _progress() -> Progress:
    columns = (TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), _TimeLeft())
    hidden = notes.quiet or not errors.is_terminal
    # what a batch prints meanwhile goes to standard output, which is no business of the bar
    return Progress(
        *columns, *times, console=errors, transient=True, disable=hidden,
        redirect_stdout=sys.stdout.isatty(),
    )  # fmt: skip


def tell(fault: Exception, *, about: Path | None = None) -> None:
    """Print an error as one sentence; with ``--verbose`` below its traceback."""
    if is_verbose():
        errors.print("".join(traceback.format_exception(fault)).rstrip())
    text = str(fault) if isinstance(fault, SlicekitError) else repr(fault)
    if lacks_memory(fault):
        text = "there is not enough memory; close other programs, or cut or resample the scan"
    where = f"{about}: " if about and str(about) not in text else ""
    errors.print(f"error: {where}{text}", style="red")


def spread(words: Sequence[str]) -> list[str]:
    """Repeat an option before each of its values: ``--organs a b`` -> ``--organs a --organs b``."""
    found: list[str] = []
    option, valued = "", True
    for word in (*words, "--"):
        if word.startswith("-"):
            if not valued:
                found.append(option)
            option, valued = (word, False) if word in SEVERAL else ("", True)
            if not option:
                found.append(word)
        elif option:
            found += [option, word]
            valued = True
        else:
            found.append(word)
    return found[:-1]


class Group(TyperGroup):
    """Commands of which some have options that take several values."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; where it lacks an argument, say which option may have taken it."""
        words = list(ctx.args)
        try:
            return super().invoke(ctx)
        except typer.BadParameter as fault:
            greedy = [word for word in words if word in SEVERAL]
            if greedy and isinstance(fault.param, TyperArgument):
                option = max(greedy, key=greedy.count)
                lacking = str(fault.param.name).replace("_", " ")
                fault.message = (
                    f"{fault.message} {option} takes all words up to the next option; put the "
                    f"{lacking} before it"
                ).lstrip()
            raise


def run(app: typer.Typer, words: Sequence[str], *, name: str) -> None:
    """Run a command line and end the process with its exit code."""
    options = set(takewhile(lambda word: word != "--", words))
    chatty = errors.is_terminal or words[:1] == ["train"]
    _set_voice(quiet="--quiet" in options, verbose="--verbose" in options, chatty=chatty)
    warnings.simplefilter("always", DataWarning)
    warnings.showwarning = _show_warning
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name may hold bytes that are no text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(args=spread(words), prog_name=name)
    except Exception as fault:
        if not (isinstance(fault, SlicekitError) or lacks_memory(fault)):
            raise
        tell(fault)
        sys.exit(128 + fault.signal if hasattr(fault, "signal") else 1)


def is_verbose() -> bool:
    """Tell whether ``--verbose`` was said."""
    return logging.getLogger("slicekit").isEnabledFor(logging.DEBUG)


class _AboveBars(logging.Handler):
    """Prints what is logged, where a bar does not get in the way."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        errors.print(self.format(record))


def _set_voice(*, quiet: bool, verbose: bool, chatty: bool) -> None:
    """Decide what is said besides results and errors."""
    notes.quiet = quiet
    level = logging.INFO if chatty else logging.WARNING
    logging.basicConfig(
        handlers=[_AboveBars()], format="%(asctime)s %(message)s", datefmt="%H:%M:%S"
    )
    logging.getLogger().setLevel(logging.ERROR if quiet else level)
    logging.getLogger("slicekit").setLevel(logging.DEBUG if verbose else logging.NOTSET)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    if issubclass(category, DataWarning):
        notes.print(f"warning: {message}", style="yellow")


def expect_choice(option: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a word that is no choice.

    Raises:
        typer.BadParameter: The message suggests the likely one.
    """
    if value not in choices:
        raise typer.BadParameter(f"unknown {option} {value!r}; {suggest(value, choices)}")


def whole_numbers(option: str, text: str | None) -> tuple[int, ...]:
    """Read numbers between commas.

    Raises:
        typer.BadParameter: There is something else.

    Example:
        >>> whole_numbers("--drawn-slices", "10,40,70")
        (10, 40, 70)
    """
    words = [word.strip() for word in (text or "").split(",") if word.strip()]
    if not all(word.isdecimal() for word in words):
        raise typer.BadParameter(
            f"{option} wants numbers between commas, as 10,40,70, got {text!r}"
        )
    return tuple(int(word) for word in words)


def named_numbers(option: str, words: Sequence[str]) -> dict[str, float]:
    """Read NAME=NUMBER, numbers from 0; the last of one name counts.

    Raises:
        typer.BadParameter: There is something else.

    Example:
        >>> named_numbers("--weights", ["liver=2", "aorta=0.5"])
        {'liver': 2.0, 'aorta': 0.5}
    """
    found = {}
    for word in words:
        name, _, number = word.partition("=")
        try:
            found[name] = float(number)
        except ValueError:
            found[name] = -1.0
        if not (name and 0 <= found[name] < float("inf")):
            raise typer.BadParameter(f"{option} wants NAME=NUMBER, numbers from 0, got {word!r}")
    return found
