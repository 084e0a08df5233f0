"""The command that turns scans and labels into another format."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slicekit.cli.batches import run_batch, say
from slicekit.cli.options import (
    AllowUneven,
    AsJson,
    GrayRange,
    Overwrite,
    Series,
    Spacing,
    TimePoint,
)

if TYPE_CHECKING:
    from slicekit.labels import LabelSet
    from slicekit.report.reading import ScanOptions
    from slicekit.volume import Volume


def convert(
    scan: Annotated[
        Path,
        typer.Argument(help="DICOM or slice folder, zip, folder of them, or labels with --like."),
    ],
    out: Annotated[
        Path,
        typer.Option("-o", "--out", help="NAME.nii.gz, or a folder; --like: .dcm, .rtstruct.dcm."),
    ],
    like: Annotated[
        Path | None, typer.Option(help="The scan that labels belong to; SCAN is the labels.")
    ] = None,
    organs: Annotated[
        list[str] | None, typer.Option(help="Of labels only these; several may follow.")
    ] = None,
    series: Series = None,
    all_series: Annotated[
        bool, typer.Option("--all-series", help="Every DICOM series, each as a file of OUT.")
    ] = False,
    allow_uneven: AllowUneven = False,
    gray_range: GrayRange = None,
    volume: TimePoint = None,
    spacing: Spacing = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Convert DICOM series or slices to NIfTI, or labels to DICOM-SEG or RTSTRUCT and back."""
    from slicekit.errors import ReadError
    from slicekit.io import expect_writable
    from slicekit.report.batch import stem_of
    from slicekit.report.converting import Converted
    from slicekit.report.reading import ScanOptions, read_scan

    if organs and like is None:
        raise typer.BadParameter("--organs chooses among labels; name their scan with --like")
    if all_series and (series is not None or like is not None):
        raise typer.BadParameter("--all-series takes them all; leave --series and --like out")
    for path in (scan, like):
        if path is not None and not path.exists():
            raise ReadError(path, "does not exist; check the name and the folder")
    options = ScanOptions(
        series=series, allow_uneven=allow_uneven, gray_range=gray_range, volume_index=volume,
        spacing_mm=spacing,
    )  # fmt: skip
    pairs = [] if like is not None else _pairs(scan, out, series)
    if all_series and not pairs:
        pairs = [(scan, out / f"{stem_of(scan)}.nii.gz")]
    if pairs:
        _folder(pairs, options, each=all_series, overwrite=overwrite, as_json=as_json)
        return
    _expect_names(out, like)
    if out.is_dir():
        out /= f"{stem_of(scan)}.nii.gz"
    named = [path for path in (scan, like) if path is not None]
    expect_writable(out, overwrite=overwrite, inputs=named)
    if like is not None:
        made = _labels(scan, out, read_scan(like, options), organs, overwrite=overwrite)
    else:
        made = _segments(scan, out, overwrite=overwrite) or _scan(
            scan, out, options, overwrite=overwrite
        )
    told = Converted(out, made.shape, made.spacing_mm)
    print(json.dumps({"file": str(out), **told.for_journal()}) if as_json else told)


def _scan(scan: Path, out: Path, options: ScanOptions, *, overwrite: bool) -> Volume:
    """Write a scan as NIfTI."""
    from slicekit.report.converting import write_converted
    from slicekit.report.reading import read_scan

    made = read_scan(scan, options)
    write_converted(out, made, overwrite=overwrite)
    return made


def _pairs(scan: Path, out: Path, series: str | None) -> list[tuple[Path, Path]]:
    """Pair the scans of a folder of DICOM with the names of their files; none for one scan."""
    from slicekit.io.listing import is_nifti
    from slicekit.report.batch import plan_outputs

    if not scan.is_dir():
        return []
    pairs = plan_outputs(scan, out, series=series)
    return [] if all(path == scan or is_nifti(path) for path, _ in pairs) else pairs


def _folder(
    pairs: list[tuple[Path, Path]], options: ScanOptions, *, each: bool, overwrite: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Convert every scan of a folder; one that fails does not stop the others."""
    from slicekit.report.batch_run import Batch
    from slicekit.report.converting import ConvertJob, each_series

    chosen: dict[Path, str] = {}
    if each:
        found = each_series(pairs)
        chosen = {target: series for target, (_, series) in found.items() if series}
        pairs = [(scan, target) for target, (scan, _) in found.items()]
    job = ConvertJob(options, series_of=chosen, overwrite=overwrite, command=sys.argv)
    run_batch(Batch(pairs, job), len(pairs), summarise=lambda one: say(str(one)), as_json=as_json)


def _expect_names(out: Path, like: Path | None) -> None:
    """Refuse labels in DICOM that would belong to nothing."""
    if like is None and out.suffix.lower() == ".dcm":
        from slicekit.errors import WriteError

        raise WriteError(
            out,
            "would be labels in DICOM, which need the series they belong to; name it with --like, "
            "or end the name in .nii.gz",
        )


def _labels(
    labels: Path, out: Path, image: Volume, organs: list[str] | None, *, overwrite: bool
) -> Volume:
    """Write labels on the grid of the image they belong to."""
    from slicekit.io import expect_labels_name, write_labels
    from slicekit.io.dicom.label_files import label_kind
    from slicekit.report.converting import read_organs

    expect_labels_name(out, like=image)
    ids, names = read_organs(labels, like=image, organs=organs)
    told = organs is not None or (labels.is_file() and label_kind(labels) is not None)
    with _named(out, names if told else None, overwrite=overwrite):
        write_labels(out, ids, like=image, names=names, overwrite=overwrite)
    return ids


def _segments(scan: Path, out: Path, *, overwrite: bool) -> Volume | None:
    """Write labels in DICOM as NIfTI; ``None`` where the scan is something else."""
    from slicekit.io.dicom.label_files import label_kind

    if not scan.is_file() or label_kind(scan) is None:
        return None
    from slicekit.io import write_volume
    from slicekit.report.converting import read_organs

    ids, names = read_organs(scan, like=None)
    with _named(out, names, overwrite=overwrite):
        write_volume(out, ids, overwrite=overwrite)
    return ids


@contextmanager
def _named(out: Path, names: LabelSet | None, *, overwrite: bool) -> Iterator[None]:
    """Write what ids mean once the labels are there, where their file has no room for it.

    A sidecar that says the same already, and maybe more, is left as it is.

    Raises:
        WriteError: Another one is in the way; nothing was written then.
    """
    from slicekit.io import expect_writable
    from slicekit.report.batch import outputs_beside
    from slicekit.report.beside import write_json
    from slicekit.report.naming import names_of

    if names is None or out.suffix.lower() == ".dcm":
        yield
        return
    sidecar = outputs_beside(out).sidecar
    known = sidecar.is_file() and names_of(out)[0] == names
    if not known:
        expect_writable(sidecar, overwrite=overwrite)
    yield
    if not known:
        write_json(sidecar, {"labels": {"background": 0, **names.ids}})
