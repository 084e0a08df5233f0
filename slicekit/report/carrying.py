"""From a few drawn slices on disk to the whole organ on disk."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicekit.errors import DataWarning, LabelError, ReadError, ShapeError
from slicekit.inference.model import DEFAULT_PROPAGATOR, Carrier, load_propagator
from slicekit.inference.organ_track import Provenance
from slicekit.inference.session import Axis, Progress, Session
from slicekit.inference.stopwatch import Stopwatch
from slicekit.inference.suggest import Suggestion
from slicekit.io import (
    FolderSource,
    expect_labels_name,
    expect_writable,
    read_labels,
    read_masks,
    read_volume,
    stored_slice,
    write_labels,
)
from slicekit.labels import LabelSet
from slicekit.report.batch import outputs_beside
from slicekit.report.case import write_json
from slicekit.report.pairs import prediction_names, truth_names
from slicekit.runtime import Runtime
from slicekit.volume import Volume, along

_AXES = "zyx"
_NAMELESS = "label_"
_MOST_NAMELESS = 32


@dataclass(frozen=True)
class CarryOptions:
    """What a user may say about one propagation.

    Slices are counted as in the file, from 0; in a folder of slices by the numbers in their names.
    """

    axis: Axis = "z"
    """Masks were drawn on slices along this axis."""
    drawn_slices: tuple[int, ...] = ()
    """Slices that were looked at whole: an organ that is not on them ends before."""
    z_range: tuple[int, int] | None = None
    """First and last slice that may be answered."""
    suggestions: int = 3
    """Slices worth drawing next, at most so many."""
    overwrite: bool = False
    """Whether results of an earlier run may be replaced."""
    volume_index: int | None = None
    """Which volume of a file that holds several."""
    spacing_mm: tuple[float, float, float] | None = None
    """Spacing ``(z, y, x)`` of a slice folder, which cannot tell."""


@dataclass(frozen=True, eq=False)
class Carried:
    """What came of one propagation."""

    labels: Path
    sidecar: Path
    drawn: dict[str, list[int]]
    """Organ to drawn slices, counted as in the file."""
    carried: dict[str, int]
    """Organ to slices that were answered besides."""
    suggestions: tuple[Suggestion, ...]
    """Their slices counted as in the file."""
    seconds: dict[str, float]
    complete: bool
    """False where the propagation was interrupted."""


def propagate_file(
    scan: Path,
    guides: Path,
    out: Path,
    carrier: Carrier | None,
    *,
    options: CarryOptions = CarryOptions(),
    command: Sequence[str] = (),
    progress: Progress | None = None,
) -> Carried:
    """Carry the masks of a few slices through a scan and write the label map.

    Args:
        scan: A NIfTI file or a slice folder.
        guides: A label map on the scan's grid of which a few slices are drawn, or a folder of
            masks, each named as its slice. Ids are named by a JSON beside the label map (key
            ``labels``) or by a dataset.json; without any they are called ``label_ID``.
        out: ``.nii`` or ``.nii.gz``; a folder name for a slice folder.
        carrier: From ``load_propagator``; shapes are interpolated where it is ``None``.
        options: What the user said.
        command: The command line, for the sidecar.
        progress: Told the gaps done and the gaps in all.

    Returns:
        What was written. An interrupted propagation is written as far as it came.

    Raises:
        GeometryError: The guides lie on another grid.
        LabelError: Nothing is drawn, or an id has no name.
        ReadError: A file cannot be read.
        ShapeError: A slice that was named does not exist, or there is only one.
        WriteError: An output is in the way, is an input, or cannot be written.
    """
    sidecar = expect_paths(scan, guides, out, overwrite=options.overwrite)
    watch = Stopwatch()
    with watch("read"):
        volume = read_volume(scan, volume_index=options.volume_index, spacing_mm=options.spacing_mm)
        expect_labels_name(out, like=volume)
        session = _session(volume, guides, carrier, options)
    complete = True
    with watch("propagate"):
        try:
            session.propagate(progress)
        except KeyboardInterrupt:
            complete = False
    with watch("write"):
        write_labels(out, session.labels, like=volume, overwrite=options.overwrite)
    found = _report(session, volume, out, sidecar, options, watch, complete=complete)
    write_json(sidecar, _describe(found, session, scan=scan, guides=guides, command=command))
    return found


def expect_paths(scan: Path, guides: Path, out: Path, *, overwrite: bool) -> Path:
    """Return where the sidecar goes, once all paths are seen to be fit.

    Raises:
        ReadError: An input does not exist.
        WriteError: An output is in the way, is an input, or cannot be written.
    """
    for path in (scan, guides):
        if not path.exists():
            raise ReadError(path, "does not exist; check the name and the folder")
    sidecar = outputs_beside(out)[0]
    for path in (out, sidecar):
        expect_writable(path, overwrite=overwrite, inputs=[scan, guides, outputs_beside(guides)[0]])
    return sidecar


def propagate_folder(
    slices: str | Path,
    masks: str | Path,
    out: str | Path,
    *,
    model: str | Path | None = DEFAULT_PROPAGATOR,
    runtime: Runtime | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
    drawn_slices: Sequence[int] = (),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Carried:
    """Carry the masks of a few slices of a folder through all of them.

    Args:
        slices: Folder of PNG, JPEG, TIFF or NPY slices.
        masks: Folder of masks, each with the name of its slice; ids or gray values, 0 is outside.
        out: Folder that gets one PNG a slice, named as the slices.
        model: A propagator's name, recipe or weights; ``None`` interpolates shapes.
        runtime: Where it runs; decided automatically when ``None``.
        spacing_mm: Along ``(z, y, x)``; distances then count in mm.
        drawn_slices: Numbers of slices that were looked at whole, empty ones among them.
        overwrite: Whether results of an earlier run may be replaced.
        progress: Told the gaps done and the gaps in all.

    Raises:
        As ``propagate_file``.
    """
    carrier = None if model is None else load_propagator(model, runtime)
    options = CarryOptions(
        drawn_slices=tuple(drawn_slices), overwrite=overwrite, spacing_mm=spacing_mm
    )
    return propagate_file(
        Path(slices), Path(masks), Path(out), carrier, options=options, progress=progress
    )


def _session(
    volume: Volume, guides: Path, carrier: Carrier | None, options: CarryOptions
) -> Session:
    """Open a session and put in what was drawn."""
    named = _Numbering(volume, options.axis)
    view = along(volume, options.axis)
    whole = {named.inside(number) for number in options.drawn_slices}
    if guides.is_dir():
        if options.axis != "z":
            raise ShapeError(f"{guides}: masks in a folder are drawn along z, not {options.axis}")
        planes: Mapping[int, NDArray[Any]] = read_masks(guides, like=volume)
        whole |= {z for z, plane in planes.items() if not plane.any()}
    else:
        drawn = along(read_labels(guides, like=volume), options.axis).array
        planes = {z: plane for z, plane in enumerate(drawn) if plane.any()}
    ids = sorted({int(n) for plane in planes.values() for n in np.unique(plane)} - {0})
    if not ids:
        raise LabelError(f"{guides}: no slice is drawn; draw an organ on at least one slice")
    names = _names(guides, ids)
    z_range = None
    if options.z_range is not None:
        ends = sorted(named.inside(number) for number in options.z_range)
        z_range = (ends[0], ends[1] + 1)
    session = Session(
        volume, carrier, axis=options.axis, z_range=z_range, names=names, memo_bytes=0
    )
    empty = np.zeros(view.shape[1:], bool)
    outside = [z for z in planes if z_range and not z_range[0] <= z < z_range[1]]
    if outside and len(outside) == len(planes):
        raise LabelError(
            f"{guides}: all drawn slices ({sorted(map(named.outside, outside))}) lie outside of "
            "the range; widen --z-range"
        )
    if outside:
        warnings.warn(
            f"{guides}: drawn slices outside of the range are left out: "
            f"{sorted(map(named.outside, outside))}", DataWarning, stacklevel=3,
        )  # fmt: skip
    for name, number in names.ids.items():
        for z in sorted((set(planes) | whole) - set(outside)):
            mask = planes[z] == number if z in planes else empty
            if mask.any() or z in whole:
                session.add_guide(z, mask, organ=name)
    return session


def _names(guides: Path, ids: Sequence[int]) -> LabelSet:
    """Name the ids that were drawn."""
    names, source = prediction_names(guides)
    if names is None:
        names, source = truth_names(guides)
    if names is None and len(ids) > _MOST_NAMELESS:
        raise LabelError(
            f"{guides} holds {len(ids)} different ids, which nobody names; masks with soft edges "
            "look so - save them without smoothing, or name the ids in a JSON beside them"
        )
    if names is None:
        return LabelSet({f"{_NAMELESS}{number}": number for number in ids})
    unnamed = sorted(set(ids) - set(names.ids.values()))
    if unnamed:
        raise LabelError(
            f"{guides} holds the ids {unnamed}, which the {source} near it does not name: "
            f"{dict(names.ids)}; name them in {guides.name.split('.')[0]}.json beside it, under "
            '"labels"'
        )
    return LabelSet({name: number for name, number in names.ids.items() if number in ids})


@dataclass(frozen=True)
class _Numbering:
    """How a user counts slices: as the file does, or by the numbers in file names."""

    volume: Volume
    axis: Axis

    def outside(self, z: int) -> int:
        """Return the user's number of a slice."""
        source = self.volume.source
        if self.axis == "z" and isinstance(source, FolderSource) and source.numbers:
            return source.numbers[z]
        return stored_slice(self.volume, z, axis=_AXES.index(self.axis))

    def inside(self, number: int) -> int:
        """Return the slice of a user's number.

        Raises:
            ShapeError: There is none.
        """
        depth = self.volume.shape[_AXES.index(self.axis)]
        known = {self.outside(z): z for z in range(depth)}
        if number not in known:
            raise ShapeError(
                f"there is no slice {number} along {self.axis}; they go from {min(known)} to "
                f"{max(known)}"
            )
        return known[number]


def _report(
    session: Session,
    volume: Volume,
    out: Path,
    sidecar: Path,
    options: CarryOptions,
    watch: Stopwatch,
    *,
    complete: bool,
) -> Carried:
    named = _Numbering(volume, options.axis)
    with watch("suggest"):
        found = session.suggest(options.suggestions) if options.suggestions else ()
    states = session.provenance
    return Carried(
        out,
        sidecar,
        {name: sorted(map(named.outside, masks)) for name, masks in session.guides.items()},
        {
            name: int(np.isin(states[name], (Provenance.PROPAGATED, Provenance.INTERPOLATED)).sum())
            for name in states
        },
        tuple(one._replace(z=named.outside(one.z)) for one in found),
        {stage: round(value, 3) for stage, value in watch.seconds.items()},
        complete,
    )


def _describe(
    found: Carried, session: Session, *, scan: Path, guides: Path, command: Sequence[str]
) -> dict[str, Any]:
    carrier = session.carrier
    known = not all(name.startswith(_NAMELESS) for name in session.names.names)
    return {
        **({"labels": {"background": 0, **session.names.ids}} if known else {}),
        "scan": str(scan),
        "guides": str(guides),
        "axis": session.axis,
        "method": "interpolate" if carrier is None else "stcn",
        "model": None if carrier is None else carrier.recipe.name,
        "weights_sha256": None if carrier is None else carrier.sha256,
        "licence": None if carrier is None else carrier.recipe.licence,
        "runtime": None if carrier is None else str(carrier.runtime),
        "command": list(command),
        "seconds": found.seconds,
        "complete": found.complete,
        "drawn": found.drawn,
        "carried_slices": found.carried,
        "suggestions": [
            {"slice": one.z, "organs": list(one.organs), "reason": one.reason}
            for one in found.suggestions
        ],
    }
