"""The terminal: bars, warnings and errors as a person reads them, words as a person types them."""

from __future__ import annotations

import io
import logging
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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

from slicekit.checks import suggest
from slicekit.errors import DataWarning, SlicekitError, lacks_memory

errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)
"""Where everything goes that is not the result."""
SEVERAL = ("--data", "--organs", "--rules", "--unlabelled", "--weights")
"""Options after which several values may follow."""


@contextmanager
def bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar with the time left, one a stage."""
    columns = (TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    hidden = not errors.is_terminal
    with Progress(*columns, *times, console=errors, transient=True, disable=hidden) as shown:
        tasks: dict[str, Any] = {}

        def told(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = shown.add_task(stage, total=total)
            shown.update(tasks[stage], completed=done)

        yield told


def tell(fault: Exception, *, about: Path | None = None) -> None:
    """Print an error as one sentence."""
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


def run(app: typer.Typer, words: Sequence[str], *, name: str) -> None:
    """Run a command line and end the process with its exit code."""
    chatty = errors.is_terminal or words[:1] == ["train"]
    level = logging.INFO if chatty else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
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


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    if issubclass(category, DataWarning):
        errors.print(f"warning: {message}", style="yellow")


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
