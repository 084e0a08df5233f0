"""The command that cuts scans into superpixels."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from slicekit.cli.options import Overwrite, TimePoint
from slicekit.errors import SlicekitError, lacks_memory
from slicekit.terminal import bar, errors, tell

_AT_ONCE = 32
"""Slices between two moves of the bar."""


class _Wish(NamedTuple):
    """What the user said."""

    segments: int
    regions: int | None
    fast: bool
    masked: bool
    threads: int | None
    volume: int | None
    overwrite: bool


def superpixels(
    scan: Annotated[Path, typer.Argument(help="NIfTI file, slice folder, or folder of scans.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Labels; a folder for a folder.")
    ] = None,
    segments: Annotated[int, typer.Option(min=1, max=20_000, help="Superpixels a slice.")] = 400,
    regions: Annotated[
        int | None, typer.Option(min=1, help="Merge neighbours until so many are left.")
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="A third of the rows each round.")] = False,
    masked: Annotated[
        bool, typer.Option("--masked/--whole", help="Only the body, or the air around it too.")
    ] = True,
    threads: Annotated[int | None, typer.Option(min=1, help="All cores if left out.")] = None,
    volume: TimePoint = None,
    overwrite: Overwrite = False,
) -> None:
    """Cut every slice of a scan, or of every scan of a folder, into superpixels."""
    from slicekit.report.batch import plan_outputs

    pairs = plan_outputs(scan, out)
    wish = _Wish(segments, regions, fast, masked, threads, volume, overwrite)
    failed = [source for source, target in pairs if not _one(source, target, wish, len(pairs))]
    if failed:
        errors.print(f"{len(failed)} of {len(pairs)} scans failed: {', '.join(map(str, failed))}")
        raise typer.Exit(2)


def _one(source: Path, target: Path, wish: _Wish, scans: int) -> bool:
    """Cut one scan; in a batch a fault is told and the rest goes on."""
    try:
        with bar() as told:
            said = _cut(source, target, wish, told)
    except Exception as fault:  # whatever it is, the other scans go on
        if scans == 1:
            raise
        if not (isinstance(fault, SlicekitError) or lacks_memory(fault)):
            logging.exception("a fault of slicekit itself")
        tell(fault, about=source)
        return False
    print(f"{target}\n  {said}")
    return True


def _cut(source: Path, target: Path, wish: _Wish, told: Callable[[str, int, int], None]) -> str:
    """Read a scan, cut it, write the labels; return what there is to say about it."""
    import numpy as np

    from slicekit.io import expect_labels_name, expect_writable, read_volume, write_labels
    from slicekit.superpixels.body import foreground
    from slicekit.superpixels.iterative import slic
    from slicekit.superpixels.merging import merge

    expect_writable(target, overwrite=wish.overwrite, inputs=[source])
    image = read_volume(source, volume_index=wish.volume)
    expect_labels_name(target, like=image)
    blank = np.zeros((1, 8, 8), dtype=np.float32)
    merge(slic(blank, 4), blank, 2)  # compiled before the clock starts
    slices = image.array
    labels = np.zeros(slices.shape, dtype=np.int32)
    began = time.perf_counter()
    body = foreground(slices) if wish.masked else None
    for z in range(0, len(slices), _AT_ONCE):
        some = slice(z, z + _AT_ONCE)
        labels[some] = slic(
            slices[some],
            wish.segments,
            mask=None if body is None else body[some],
            fast=wish.fast,
            threads=wish.threads,
        )
        if wish.regions is not None:
            labels[some] = merge(labels[some], slices[some], wish.regions, threads=wish.threads)
        told("superpixels", min(z + _AT_ONCE, len(slices)), len(slices))
    rate = len(slices) / max(1e-9, time.perf_counter() - began)
    write_labels(target, labels, like=image, overwrite=wish.overwrite)
    if not labels.any():
        return "no body was found, so no superpixels; --whole cuts the air too"
    found = labels.max(axis=(1, 2))
    some_slices = found[found > 0]
    what = "superpixels" if wish.regions is None else "regions"
    return (
        f"{len(some_slices)} of {len(slices)} slices, {some_slices.mean():.0f} {what} a slice, "
        f"{rate:.0f} slices/s"
    )
