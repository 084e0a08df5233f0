"""Figures as files: all of them as JSON, and a table as CSV."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

AllFigures = Annotated[
    Path | None, typer.Option("-o", "--out", help="Write the figures as JSON too.")
]


def expect_figures(
    out: Path | None, table: Path | None, *, overwrite: bool, inputs: Iterable[Path]
) -> None:
    """Refuse files that must not be written, before anything is computed.

    Raises:
        typer.BadParameter: Both are one file.
        WriteError: One of them is an input, exists, or cannot be written.
    """
    from slicekit.io.outputs import expect_writable

    if out is not None and table is not None and out.resolve() == table.resolve():
        raise typer.BadParameter(f"-o and --csv both name {out}; give each a file of its own")
    sources = list(inputs)
    for path in (out, table):
        if path is not None:
            expect_writable(path, overwrite=overwrite, inputs=sources)


def write_figures(out: Path | None, table: Path | None, told: Mapping[str, Any], csv: str) -> None:
    """Write what was asked for."""
    from slicekit.io.atomic import write_text

    if out is not None:
        write_text(out, json.dumps(told, indent=2) + "\n")
    if table is not None:
        write_text(table, csv)
