"""The command that turns scans and labels into another format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slicekit.cli.options import AllowUneven, Overwrite, Series

if TYPE_CHECKING:
    from slicekit.labels import LabelSet
    from slicekit.volume import Volume


def convert(
    scan: Annotated[
        Path, typer.Argument(help="DICOM folder, zip or file, slice folder, or labels with --like.")
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="NAME.nii.gz; NAME.dcm with --like: DICOM-SEG.")
    ],
    like: Annotated[
        Path | None, typer.Option(help="The scan that labels belong to; SCAN is the labels.")
    ] = None,
    series: Series = None,
    allow_uneven: AllowUneven = False,
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
    """Convert a DICOM series or slices to NIfTI, or labels to a DICOM-SEG and back."""
    from slicekit.data.intensity import from_gray
    from slicekit.io import expect_writable, read_volume

    _expect_names(out, like)
    named = [path for path in (scan, like) if path is not None]
    expect_writable(out, overwrite=overwrite, inputs=named)

    def read(path: Path) -> Volume:
        found = read_volume(
            path, volume_index=volume, spacing_mm=spacing, series=series, allow_uneven=allow_uneven
        )
        return found if gray_range is None else from_gray(found, *gray_range, name=str(path))

    made = _segments(scan, out, overwrite=overwrite) if like is None else None
    if like is not None:
        made = _labels(scan, out, read(like), overwrite=overwrite)
    elif made is None:
        from slicekit.io import write_volume

        made = read(scan)
        write_volume(out, made, overwrite=overwrite)
    size = " x ".join(map(str, made.shape))
    steps = " x ".join(f"{step:.3g}" for step in made.spacing_mm)
    print(f"{out}\n  {size} voxels of {steps} mm (z, y, x)")


def _expect_names(out: Path, like: Path | None) -> None:
    """Refuse a DICOM-SEG that would belong to nothing."""
    if like is None and out.suffix.lower() == ".dcm":
        from slicekit.errors import WriteError

        raise WriteError(
            out,
            "would be a DICOM-SEG, which needs the series that the labels belong to; name it with "
            "--like, or end the name in .nii.gz",
        )


def _labels(labels: Path, out: Path, image: Volume, *, overwrite: bool) -> Volume:
    """Write labels on the grid of the image they belong to."""
    from slicekit.io import expect_labels_name, read_labels, write_labels
    from slicekit.report.pairs import prediction_names, truth_names

    expect_labels_name(out, like=image)
    ids = read_labels(labels, like=image)
    names, _ = prediction_names(labels)
    if names is None:
        names, _ = truth_names(labels)
    told = _names_of_segments(labels)
    write_labels(out, ids, like=image, names=told or names, overwrite=overwrite)
    _name_beside(out, told, overwrite=overwrite)
    return ids


def _segments(scan: Path, out: Path, *, overwrite: bool) -> Volume | None:
    """Write the labels of a DICOM-SEG as NIfTI; ``None`` where the scan is none."""
    names = _names_of_segments(scan)
    if names is None:
        return None
    from slicekit.io import read_labels, write_volume

    ids = read_labels(scan)
    write_volume(out, ids, overwrite=overwrite)
    _name_beside(out, names, overwrite=overwrite)
    return ids


def _names_of_segments(path: Path) -> LabelSet | None:
    """Return what the segments of a DICOM-SEG mean; ``None`` for anything else."""
    from slicekit.io.dicom.seg_read import is_seg, segment_names

    return segment_names(path) if path.is_file() and is_seg(path) else None


def _name_beside(out: Path, names: LabelSet | None, *, overwrite: bool) -> None:
    """Write what ids mean where the label file itself has no room for it."""
    if names is None or out.suffix.lower() == ".dcm":
        return
    from slicekit.io import expect_writable
    from slicekit.report.batch import outputs_beside
    from slicekit.report.beside import write_json

    sidecar = expect_writable(outputs_beside(out).sidecar, overwrite=overwrite)
    write_json(sidecar, {"labels": {"background": 0, **names.ids}})
