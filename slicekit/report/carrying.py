"""From a few drawn slices on disk to the whole organ on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slicekit.data.intensity import holds_hu
from slicekit.errors import ReadError
from slicekit.inference.model import DEFAULT_PROPAGATOR, Carrier, load_propagator
from slicekit.inference.organ_track import Provenance
from slicekit.inference.session import Progress, Session
from slicekit.inference.stopwatch import Stopwatch
from slicekit.inference.suggest import Suggestion
from slicekit.io import expect_labels_name, expect_writable, write_labels
from slicekit.report.batch import outputs_beside
from slicekit.report.beside import together, write_json, write_statistics
from slicekit.report.drawn import NAMELESS, CarryOptions, Numbering, open_session
from slicekit.report.hearing import hearing
from slicekit.report.made import stamp
from slicekit.report.origin import name_scan
from slicekit.report.preview import write_preview
from slicekit.report.reading import read_scan
from slicekit.report.view import usual_window
from slicekit.runtime import Runtime
from slicekit.volume import Volume

_OWN_PATHS = ("labels", "sidecar", "statistics", "preview", "volumes_ml", "voxels")


@dataclass(frozen=True, eq=False)
class Carried:
    """What came of one propagation."""

    labels: Path
    sidecar: Path
    statistics: Path
    preview: Path | None
    drawn: dict[str, list[int]]
    """Organ to drawn slices, counted as in the file."""
    carried: dict[str, int]
    """Organ to slices that were answered besides."""
    suggestions: tuple[Suggestion, ...]
    """Their slices counted as in the file."""
    volumes_ml: dict[str, float | None]
    """``None`` where nobody knows the spacing."""
    voxels: dict[str, int]
    seconds: dict[str, float]
    complete: bool
    """False where the propagation was interrupted."""

    def to_json(self) -> dict[str, Any]:
        """Return everything as a JSON object."""
        return {
            "labels": str(self.labels),
            "sidecar": str(self.sidecar),
            "statistics": str(self.statistics),
            "preview": None if self.preview is None else str(self.preview),
            "volumes_ml": self.volumes_ml,
            "voxels": self.voxels,
            "seconds": self.seconds,
            "complete": self.complete,
            "drawn": self.drawn,
            "carried_slices": self.carried,
            "suggestions": [
                {"slice": one.z, "organs": list(one.organs), "reason": one.reason}
                for one in self.suggestions
            ],
        }


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
        scan: A NIfTI file, a DICOM series or a slice folder.
        guides: A label map on the scan's grid of which a few slices are drawn, or a folder of
            masks, each named as its slice. Ids are named by a JSON beside the label map (key
            ``labels``) or by a dataset.json; without any they are called ``label_ID``.
        out: ``.nii`` or ``.nii.gz``; a folder name for a slice folder, ``.dcm`` for DICOM.
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
    expect_paths(scan, guides, out, options)
    watch = Stopwatch()
    with watch("read"), hearing() as heard:
        before = stamp(scan)
        volume = read_scan(scan, options)
        expect_labels_name(out, like=volume)
        session = open_session(volume, guides, carrier, options)
    complete = True
    with watch("propagate"):
        try:
            session.propagate(progress)
        except KeyboardInterrupt:
            complete = False
    with together(out) as staged_labels:
        new = outputs_beside(staged_labels)
        with watch("write"):
            write_labels(staged_labels, session.labels, like=volume, names=session.names)
        with watch("report"):
            stats = write_statistics(
                new.statistics, volume, session.labels, session.names, in_hu=holds_hu(volume),
                spacing_known=getattr(volume.source, "spacing_known", True),
            )  # fmt: skip
            if options.preview:
                _draw(new.preview, session, volume)
        found = _report(session, volume, out, stats, options, watch, complete=complete)
        told = _describe(found, session, guides=guides, command=command)
        made = {**name_scan(scan, out), "stamp": before, "warnings": heard}
        write_json(new.sidecar, {**told, **made})
    return found


def expect_paths(scan: Path, guides: Path, out: Path, options: CarryOptions) -> None:
    """Refuse paths that are not fit, before anything is read or loaded.

    Raises:
        ReadError: An input does not exist.
        WriteError: An output is in the way, is an input, or cannot be written.
    """
    for path in (scan, guides):
        if not path.exists():
            raise ReadError(path, "does not exist; check the name and the folder")
    beside = outputs_beside(out)
    written = [out, beside.sidecar, beside.statistics]
    if options.overwrite:  # what an earlier run left goes with its labels
        written += [beside.preview, beside.uncertainty]
    elif options.preview:
        written.append(beside.preview)
    inputs = [scan, guides, outputs_beside(guides).sidecar]
    for path in written:
        expect_writable(path, overwrite=options.overwrite, inputs=inputs)


def propagate_folder(
    slices: str | Path,
    masks: str | Path,
    out: str | Path,
    *,
    model: str | Path | None = DEFAULT_PROPAGATOR,
    runtime: Runtime | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
    drawn_slices: Sequence[int] = (),
    preview: bool = False,
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
        preview: Whether to draw a picture.
        overwrite: Whether results of an earlier run may be replaced.
        progress: Told the gaps done and the gaps in all.

    Raises:
        SlicekitError: As of ``propagate_file``.
    """
    carrier = None if model is None else load_propagator(model, runtime)
    options = CarryOptions(
        drawn_slices=tuple(drawn_slices), preview=preview, overwrite=overwrite,
        spacing_mm=spacing_mm,
    )  # fmt: skip
    return propagate_file(
        Path(slices), Path(masks), Path(out), carrier, options=options, progress=progress
    )


def _report(
    session: Session,
    volume: Volume,
    out: Path,
    stats: Mapping[str, Mapping[str, Any]],
    options: CarryOptions,
    watch: Stopwatch,
    *,
    complete: bool,
) -> Carried:
    named = Numbering(volume, options.axis)
    with watch("suggest"):
        found = session.suggest(options.suggestions) if options.suggestions else ()
    states, beside = session.provenance, outputs_beside(out)
    return Carried(
        out,
        beside.sidecar,
        beside.statistics,
        beside.preview if options.preview else None,
        {name: sorted(map(named.outside, masks)) for name, masks in session.guides.items()},
        {
            name: int(np.isin(states[name], (Provenance.PROPAGATED, Provenance.INTERPOLATED)).sum())
            for name in states
        },
        tuple(one._replace(z=named.outside(one.z)) for one in found),
        {organ: figures["volume_ml"] for organ, figures in stats.items()},
        {organ: figures["voxels"] for organ, figures in stats.items()},
        {stage: round(value, 3) for stage, value in watch.seconds.items()},
        complete,
    )


def _draw(path: Path, session: Session, volume: Volume) -> None:
    """Draw the labels, and below them the slices that were drawn; axial ones only."""
    drawn: dict[int, list[str]] = {}
    for organ, masks in session.guides.items() if session.axis == "z" else ():
        for z, mask in masks.items():
            if mask.any():
                drawn.setdefault(z, []).append(organ)
    guides = [(z, "drawn by hand", organs) for z, organs in sorted(drawn.items())]
    write_preview(
        path, volume, session.labels, session.names, window=usual_window(volume), guides=guides
    )


def _describe(
    found: Carried, session: Session, *, guides: Path, command: Sequence[str]
) -> dict[str, Any]:
    carrier = session.carrier
    known = not all(name.startswith(NAMELESS) for name in session.names.names)
    return {
        **({"labels": {"background": 0, **session.names.ids}} if known else {}),
        "guides": str(guides.absolute()),
        "axis": session.axis,
        "method": "interpolate" if carrier is None else "stcn",
        "model": None if carrier is None else carrier.recipe.name,
        "weights_sha256": None if carrier is None else carrier.sha256,
        "licence": None if carrier is None else carrier.recipe.licence,
        "runtime": None if carrier is None else str(carrier.runtime),
        "command": list(command),
        **{key: value for key, value in found.to_json().items() if key not in _OWN_PATHS},
    }
