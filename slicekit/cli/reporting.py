"""The command that writes a page: report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slicekit.cli.options import Overwrite
from slicekit.terminal import bar


def report(
    path: Annotated[
        Path, typer.Argument(help="Labels, a folder of them, or the JSON of an evaluation.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The page, PAGE.html.")],
    overwrite: Overwrite = False,
) -> None:
    """Write one page about a case, a batch or an evaluation; it needs neither network nor files."""
    if out.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter(f"a report is a page; end its name in .html, got {out}")
    from slicekit.io.outputs import expect_writable
    from slicekit.report.page import write_report

    expect_writable(out, overwrite=overwrite, inputs=[path])
    with bar() as told:
        print(write_report(path, out, progress=told))
