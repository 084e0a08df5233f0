"""Commands that measure and look: stats, check. Neither imports torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slicekit.cli.figures import AllFigures, expect_figures, write_figures
from slicekit.cli.options import AllowUneven, AsJson, Overwrite, Series, Spacing, TimePoint
from slicekit.terminal import bar, expect_choice

if TYPE_CHECKING:
    from slicekit.report.inspection import Mended
    from slicekit.report.measured import Described, Measured
    from slicekit.report.measured_folder import MeasuredFolder


def stats(
    image: Annotated[
        Path, typer.Argument(help="NIfTI file, slice folder or DICOM series; a folder of them.")
    ],
    mask: Annotated[
        Path, typer.Argument(help="Label map on the image's grid, or a folder of them.")
    ],
    as_json: AsJson = False,
    out: AllFigures = None,
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
    """Measure organs: volume, intensities, place, box, components, contact with the border.

    Of two folders, scans and label maps are paired by name. Exit code 2: a case failed.
    """
    expect_choice("--neighbours", neighbours, ("26", "6"))
    from slicekit.report.measured import measure_file
    from slicekit.report.measured_folder import measure_folder, pair_images
    from slicekit.report.naming import name_files
    from slicekit.report.pairs import label_files

    said: Described = {
        "corners": neighbours == "26", "volume_index": volume, "spacing_mm": spacing,
        "series": series, "allow_uneven": allow_uneven,
    }  # fmt: skip
    several = image.is_dir() and mask.is_dir() and bool(label_files(mask))
    pairs = list(pair_images(image, mask)[0].values()) if several else [(image, mask)]
    read = {file for scan, labels in pairs for file in (scan, labels, *name_files(labels))}
    expect_figures(out, table, overwrite=overwrite, inputs=read)
    found: Measured | MeasuredFolder
    if several:
        with bar() as told:
            found = measure_folder(image, mask, **said, progress=told)
    else:
        found = measure_file(image, mask, **said)
    figures = found.to_json()
    write_figures(out, table, figures, found.to_csv())
    print(json.dumps(figures, indent=2) if as_json else found.to_text())
    if figures.get("failures"):
        raise typer.Exit(2)


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
