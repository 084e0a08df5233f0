"""Commands that measure and look: stats, check. Neither imports torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slicekit.cli.options import AllowUneven, AsJson, Overwrite, Series, Spacing, TimePoint
from slicekit.terminal import bar, expect_choice

if TYPE_CHECKING:
    from slicekit.report.inspection import Mended


def stats(
    image: Annotated[Path, typer.Argument(help="NIfTI file, slice folder or DICOM series.")],
    mask: Annotated[Path, typer.Argument(help="Label map on the image's grid.")],
    as_json: AsJson = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write the figures as JSON too.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--csv", help="Write one line an organ as CSV too.")
    ] = None,
    neighbours: Annotated[
        str, typer.Option(help="26 or 6: which voxels belong to one component.")
    ] = "26",
    volume: TimePoint = None,
    spacing: Spacing = None,
    series: Series = None,
    allow_uneven: AllowUneven = False,
    overwrite: Overwrite = False,
) -> None:
    """Measure organs: volume, intensities, place, box, components, contact with the border."""
    expect_choice("--neighbours", neighbours, ("26", "6"))
    from slicekit.io.atomic import write_text
    from slicekit.io.outputs import expect_writable
    from slicekit.report.measured import measure_file

    for path in (out, table):
        if path is not None:
            expect_writable(path, overwrite=overwrite, inputs=[image, mask])
    found = measure_file(
        image, mask, corners=neighbours == "26", volume_index=volume, spacing_mm=spacing,
        series=series, allow_uneven=allow_uneven,
    )  # fmt: skip
    told = json.dumps(found.to_json(), indent=2)
    if out is not None:
        write_text(out, told + "\n")
    if table is not None:
        write_text(table, found.to_csv())
    print(told if as_json else found.to_text())


def check(
    data: Annotated[Path, typer.Argument(help="nnU-Net raw folder.")],
    as_json: AsJson = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder of check.html and check.json.")
    ] = None,
    fix: Annotated[
        Path | None, typer.Option(help="New folder for a copy with what is safe to mend mended.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Look for faults in a dataset: pairs, grids, ids, intensities, duplicates, what is drawn.

    Exit code 0: no errors, though there may be warnings. 2: there are errors. 1: it is no dataset.
    """
    from slicekit.io.outputs import expect_writable
    from slicekit.report.inspection import (
        described,
        expect_new,
        files_in,
        inspect_dataset,
        mend_dataset,
        write_inspection,
    )

    for path in () if out is None else files_in(out):
        expect_writable(path, overwrite=overwrite)
    if fix is not None:
        expect_new(fix, data)
    with bar() as told:
        found = inspect_dataset(data, progress=told)
        mended = None if fix is None else mend_dataset(found, fix, progress=told)
    files = None if out is None else write_inspection(found, out, mended)
    if as_json:
        more = {} if mended is None else {"mended": described(mended)}
        print(json.dumps(found.to_json() | more, indent=2))
    else:
        print(found.to_text())
        _tell_mended(mended)
        print("".join(f"\n{path}" for path in files or ()), end="\n" if files else "")
    if found.of("error"):
        raise typer.Exit(2)


def _tell_mended(mended: Mended | None) -> None:
    if mended is None:
        return
    print(f"\nmended in {mended.folder}: {len(mended.changes)} files")
    for one in mended.changes:
        print(f"  {one.file}: {one.what}")
    if mended.left_out:
        print(f"  could not be copied: {', '.join(mended.left_out)}")
