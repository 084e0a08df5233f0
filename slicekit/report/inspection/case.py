"""A look at the files of one case; its image and its labels are never in memory together."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.orientations import aff2axcodes
from numpy.typing import NDArray

from slicekit.data.annotations import FILE_NAME, Annotation
from slicekit.errors import DataWarning, GeometryError, LabelError, SlicekitError, lacks_memory
from slicekit.io import NiftiSource, read_labels, read_volume, stored_slice
from slicekit.io.nifti_header import parse_block
from slicekit.labels import IGNORE_ID, LabelSet
from slicekit.report.inspection.findings import Finding
from slicekit.report.inspection.layout import Entry, Layout
from slicekit.volume import Volume, expect_same_grid

log = logging.getLogger(__name__)

SAME_PLACE_MM = 1e-3
"""Affines that differ by more are told, though the reader bears more."""
_LOOKED_AT = 2_000_000
_SHARE_OF_GAPS = 0.5
_MANY_SLICES = 10
_LISTED = 10


@dataclass(frozen=True)
class CaseFacts:
    """What one case holds; a few numbers, ``None`` where a file cannot be read."""

    name: str
    image: Path
    labels: Path | None
    shape: tuple[int, int, int] | None = None
    """Voxels along ``(z, y, x)``."""
    spacing_mm: tuple[float, float, float] | None = None
    """Along ``(z, y, x)``."""
    axes: str | None = None
    """Where the stored axes run to, such as ``LPS``."""
    kind: str | None = None
    """Type of the stored numbers."""
    low: float | None = None
    """One voxel of a hundred is darker."""
    middle: float | None = None
    high: float | None = None
    """One voxel of a hundred is brighter."""
    digest: str | None = None
    """Of the image's voxels, however they are stored."""
    labels_digest: str | None = None
    """Of the labels' voxels; ``None`` where no organ is in them."""
    voxels: Mapping[int, int] | None = None
    """Id to voxels, without background."""
    drawn: int | None = None
    """Slices with labels."""


def look_at(entry: Entry, layout: Layout) -> tuple[CaseFacts, list[Finding]]:
    """Read the files of a case and say what is wrong with them; no fault of theirs stops it."""
    facts, found = CaseFacts(entry.name, entry.image, entry.labels), list[Finding]()
    image = None
    with _told(entry.image, entry.name, found):
        facts, image = _look_at_image(facts, layout.organs, found)
    said = layout.annotations.get(entry.name, Annotation())
    if entry.labels is None or said.is_empty:
        found.append(Finding("unlabelled", entry.name, "has no labels to learn from"))
        return facts, found
    if said.labels_present is not None or said.annotated_slices is not None:
        found.append(Finding("partial", entry.name, _in_words(said)))
    with _told(entry.labels, entry.name, found):
        labels = _read_labels(entry, image, found)
        if labels is not None:
            facts = _look_at_labels(facts, labels, found)
            found += _judge_labels(facts, labels, layout, said)
    return facts, found


@contextmanager
def _told(path: Path, case: str, found: list[Finding]) -> Iterator[None]:
    """Turn errors and warnings about a file into findings."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", DataWarning)
        try:
            yield
        except Exception as fault:  # whatever it is, the other cases are looked at
            known = isinstance(fault, SlicekitError)
            text = str(fault) if known else repr(fault)
            if lacks_memory(fault):
                text = "there is not enough memory to read it"
            elif not known:
                log.exception("a fault of slicekit itself, with %s", path)
            found.append(Finding("unreadable", case, _without(path, text)))
    for text in dict.fromkeys(str(one.message) for one in heard):
        found.append(Finding("doubtful", case, f"{path.name}: {_without(path, text)}"))


def _look_at_image(
    facts: CaseFacts, organs: LabelSet | None, found: list[Finding]
) -> tuple[CaseFacts, Volume]:
    """Return the facts, and the image's grid without its voxels."""
    volume = read_volume(facts.image)
    array = volume.array
    some = array.reshape(-1)[:: max(1, array.size // _LOOKED_AT)]
    low, middle, high = (float(value) for value in np.percentile(some, (1, 50, 99)))
    if array.dtype.kind in "iu" and organs is not None and len(organs):
        least, most = int(array.min()), int(array.max())
        if least >= 0 and most in organs.names_by_id:
            said = f"{facts.image.name} holds whole numbers from {least} to {most} only"
            found.append(Finding("swapped", facts.name, said))
    facts = replace(
        facts, shape=volume.shape, spacing_mm=volume.spacing_mm, axes=_axes(volume),
        kind=_stored_type(volume), low=low, middle=middle, high=high, digest=_digest(array),
    )  # fmt: skip
    return facts, volume.with_array(np.broadcast_to(np.uint8(0), volume.shape))


def _read_labels(entry: Entry, image: Volume | None, found: list[Finding]) -> Volume | None:
    """Read a label map; one on another grid too, for its ids."""
    path = entry.labels or entry.image
    try:
        labels = read_labels(path, like=image)
    except GeometryError as fault:
        found.append(Finding("grid", entry.name, _without(path, str(fault))))
        return read_labels(path) if path.is_file() else None
    except LabelError as fault:
        found.append(Finding("not-ids", entry.name, _without(path, str(fault))))
        if image is not None:
            try:
                expect_same_grid(path.name, read_volume(path), image, like_name=entry.image.name)
            except GeometryError as other:
                found.append(Finding("grid", entry.name, str(other)))
        return None
    if image is not None:
        apart = float(np.abs(labels.affine - image.affine).max())
        if apart > SAME_PLACE_MM:
            said = f"its affine differs from the image's by up to {apart:.3g} mm"
            found.append(Finding("nearly-grid", entry.name, said))
    return labels


def _look_at_labels(facts: CaseFacts, labels: Volume, found: list[Finding]) -> CaseFacts:
    counts = np.zeros(int(labels.array.max()) + 1, np.int64)
    for plane in labels.array:
        counts += np.bincount(plane.reshape(-1), minlength=len(counts))
    voxels = {int(number): int(counts[number]) for number in np.flatnonzero(counts) if number}
    source = labels.source
    if isinstance(source, NiftiSource):
        fields = parse_block(source.block)
        scaled = float(fields["scl_slope"]) not in (0.0, 1.0) or float(fields["scl_inter"]) != 0
        stored = _stored_type(labels)
        if stored.startswith("float") or (scaled and np.isfinite(fields["scl_slope"])):
            said = f"{stored}, times {float(fields['scl_slope']):g}" if scaled else stored
            found.append(Finding("float-ids", facts.name, f"stored as {said}"))
    return replace(
        facts,
        voxels=voxels,
        labels_digest=_digest(labels.array) if voxels else None,
        drawn=int(_drawn(labels).size),
    )


def _judge_labels(
    facts: CaseFacts, labels: Volume, layout: Layout, said: Annotation
) -> Iterator[Finding]:
    """Say what is wrong with labels that could be read."""
    held, name = set(facts.voxels or ()) - {IGNORE_ID, layout.ignore_id}, facts.name
    organs = layout.organs
    unknown = sorted(held - set(organs.ids.values())) if organs is not None else []
    if unknown:
        yield Finding("unknown-ids", name, f"holds {_listed(unknown)}")
    if organs is not None and said.labels_present is not None:
        strange = [organs.names_by_id[n] for n in sorted(held - set(unknown))]
        strange = [organ for organ in strange if organ not in said.labels_present]
        if strange:
            what = f"holds {_listed(strange)}, which its labels_present do not name"
            yield Finding("annotations", name, what)
    count = len(labels.array)
    outside = [z for z in said.annotated_slices or () if z >= count]
    if outside:
        what = f"{FILE_NAME} names the slices {_listed(outside)}, there are 0 to {count - 1}"
        yield Finding("annotations", name, what)
    if not held and said.labels_present is None:
        yield Finding("empty", name, "holds background only")
    drawn = _drawn(labels)
    if said.annotated_slices is not None:
        seen = {stored_slice(labels, z) for z in said.annotated_slices if z < count}
        stray = sorted(stored_slice(labels, int(z)) for z in drawn if int(z) not in seen)
        if stray:
            what = f"has labels on the slices {_listed(stray)}, which {FILE_NAME} does not name"
            yield Finding("doubtful", name, what)
    elif len(drawn) and _is_sparse(drawn, count):
        numbers = sorted(stored_slice(labels, int(z)) for z in drawn)
        what = f"is drawn on {len(drawn)} of {count} slices: {_listed(numbers)}"
        yield Finding("few-slices", name, what)


def _drawn(labels: Volume) -> NDArray[np.intp]:
    """Return the slices with organs."""
    some = [bool(((plane != 0) & (plane != IGNORE_ID)).any()) for plane in labels.array]
    return np.flatnonzero(some)


def _is_sparse(drawn: NDArray[np.intp], count: int) -> bool:
    """Tell drawings on single slices from organs that go on through their slices."""
    if len(drawn) == 1:
        return count > _MANY_SLICES
    return len(drawn) <= _SHARE_OF_GAPS * (int(drawn[-1]) - int(drawn[0]) + 1)


def _axes(volume: Volume) -> str:
    """Write where the stored axes run to."""
    axes = getattr(volume.source, "axes", None)
    if axes is None:
        return "slices"
    stored = np.eye(4)
    for column, (axis, direction) in enumerate(axes):
        stored[:3, column] = volume.affine[:3, axis] * direction
    return "".join(code or "?" for code in aff2axcodes(stored))


def _stored_type(volume: Volume) -> str:
    if isinstance(volume.source, NiftiSource):
        return str(parse_block(volume.source.block).get_data_dtype().name)
    return str(volume.array.dtype.name)


def _digest(array: NDArray[Any]) -> str:
    """Sum up values and shape; a second for a GiB."""
    summed = blake2b(repr(array.shape).encode(), digest_size=16)
    for plane in array:
        summed.update(np.ascontiguousarray(plane, dtype=np.float32).data)
    return summed.hexdigest()


def _in_words(said: Annotation) -> str:
    parts = []
    if said.labels_present is not None:
        parts.append(f"organs: {_listed(sorted(said.labels_present))}")
    if said.annotated_slices is not None:
        parts.append(f"slices: {_listed(said.annotated_slices)}")
    return "; ".join(parts)


def _listed(values: Sequence[object]) -> str:
    rest = f" and {len(values) - _LISTED} more" if len(values) > _LISTED else ""
    return ", ".join(map(str, values[:_LISTED])) + rest


def _without(path: Path, text: str) -> str:
    """Leave out the name in front of a message that is told beside it."""
    return text.removeprefix(f"{path}: ").removeprefix(f"{path} ")
