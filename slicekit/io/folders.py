"""Volumes as folders of slices: one picture or array a slice, in the order of their numbers.

Pictures know neither millimetres nor directions. Files are taken as going from the feet to the
head, rows from front to back, columns from the patient's right to the left; a spacing comes from
the caller. Eight-bit pictures have no HU either: ``gray_range`` says what 0 and 255 stand for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicekit.errors import GeometryError, LabelError, ReadError, WriteError
from slicekit.io.atomic import write_atomically, write_folder_atomically
from slicekit.io.budget import expect_within_budget
from slicekit.io.listing import list_slices
from slicekit.io.numbering import Ordered, order_slices
from slicekit.io.pictures import LOSSY, SUFFIXES, Look, look, read_slice, write_png
from slicekit.io.values import as_intensities, as_label_ids, warn_about_data
from slicekit.volume import Volume

_LISTED = 5
_FILE_ENDINGS = (*SUFFIXES, ".gz", ".mha", ".nrrd", ".dcm", ".img", ".hdr", ".zip")


@dataclass(frozen=True)
class FolderSource:
    """How a folder stored a volume; enough to write masks beside its slices."""

    path: Path
    """The folder, or the single file."""
    files: tuple[str, ...]
    """File names from the first slice to the last."""
    numbers: tuple[int, ...] | None
    """The number in each name, where names count."""
    gray_range: tuple[float, float] | None
    """Intensities that gray 0 and 255 stand for; ``None`` as long as nobody has said so, and
    (0, 255) where the numbers are taken as they are."""
    spacing_known: bool = True
    """Whether somebody said how far apart pixels and slices lie."""


def read_folder(
    path: Path,
    *,
    gray_range: tuple[float, float] | None,
    spacing_mm: tuple[float, float, float] | None,
    memory_budget_bytes: int | None,
) -> Volume:
    """Read an image from a folder, or from one picture; see ``slicekit.io.read_volume``."""
    affine = _affine(path, spacing_mm)
    stack, slices, first = _read_stack(path, memory_budget_bytes, as_ids=False)
    units = None if first.is_gray8 else (0.0, 255.0)
    source = FolderSource(path, *slices, units, spacing_known=spacing_mm is not None)
    if gray_range is not None and not first.is_gray8:
        raise ReadError(
            path, f"holds {first.mode}s, whose numbers are taken as they are; leave out gray_range"
        )
    if spacing_mm is None:
        warn_about_data(
            path,
            "slices know no place in the patient; taken are: first file lowest, rows front to "
            "back, columns from the patient's right to the left, 1 x 1 x 1 mm (say --spacing Z Y "
            "X; spacing_mm in Python)",
        )
    volume = Volume(as_intensities(path, stack), affine, source)
    return volume if gray_range is None else with_gray_range(volume, *gray_range)


def read_folder_labels(path: Path, *, like: Volume | None) -> Volume:
    """Read a label map from a folder; see ``slicekit.io.read_labels``, which compares grids."""
    source = None if like is None else like.source
    if like is not None and not isinstance(source, FolderSource):
        raise GeometryError(
            f"{path}: slices have no place in space, so they only label an image that was read "
            "from slices too; convert the labels to .nii.gz on the image's grid"
        )
    stack, slices, _ = _read_stack(path, None, as_ids=True)
    if slices.names[0].lower().endswith(LOSSY):
        raise LabelError(f"{path}: JPEG does not keep label ids; save the masks as PNG")
    theirs = source.numbers if isinstance(source, FolderSource) else None
    ours = slices.numbers
    if theirs and ours and len(theirs) == len(ours) > 1 and theirs != ours:
        raise GeometryError(
            f"{path}: its slices are numbered {ours[0]} to {ours[-1]}, those of the image "
            f"{theirs[0]} to {theirs[-1]}; rename them alike"
        )
    affine = _affine(path, None) if like is None else like.affine
    return Volume(as_label_ids(path, stack), affine, FolderSource(path, *slices, (0.0, 255.0)))


def with_gray_range(volume: Volume, low: float, high: float) -> Volume:
    """Give the gray values of 8-bit pictures their intensities.

    Args:
        volume: Read from 8-bit pictures, its ``source.gray_range`` still ``None``.
        low: Intensity that gray 0 stands for (HU on CT).
        high: Intensity that gray 255 stands for.

    Returns:
        The same slices as float32 from ``low`` to ``high``; its source says so.

    Raises:
        ReadError: The volume does not come from 8-bit pictures, has its intensities already, or
            the two are not finite numbers, the lower one first.
    """
    source = volume.source
    if not isinstance(source, FolderSource) or source.gray_range is not None:
        raise ReadError(
            getattr(source, "path", "volume"),
            "has intensities of its own; a gray range is for 8-bit pictures without one",
        )
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ReadError(
            source.path, f"its gray range must be two numbers, the lower first, got {low}, {high}"
        )
    array = volume.array.astype(np.float32) * np.float32((high - low) / 255) + np.float32(low)
    return replace(volume, array=array, source=replace(source, gray_range=(low, high)))


def write_folder_labels(path: Path, ids: NDArray[Any], like: Volume) -> Path:
    """Write label ids ``(z, y, x)`` as one PNG a slice, named as the slices they belong to.

    Raises:
        WriteError: They do not belong to slices, or could not be written whole.
    """
    expect_picture_name(path, like)
    if path.suffix.lower() == ".png" and len(ids) == 1:
        return write_atomically(path, lambda file: write_png(file, ids[0]))

    def fill(folder: Path) -> None:
        for name, plane in zip(like.source.files, ids, strict=True):
            file = folder / f"{Path(name).stem}.png"
            write_png(file, plane)
            if not np.array_equal(read_slice(file, as_ids=True), plane):
                raise WriteError(path, f"{file.name} reads back wrong; is the disk healthy?")

    return write_folder_atomically(path, fill)


def expect_picture_name(path: Path, like: Volume) -> None:
    """Refuse a name under which the labels of an image cannot be written as pictures.

    Raises:
        WriteError: The image has no slices to name them after, or the name is that of a file.
    """
    source, count = like.source, like.shape[0]
    if path.suffix.lower() == ".png" and count == 1:
        return
    if not isinstance(source, FolderSource) or len(source.files) != count:
        raise WriteError(path, "is no name for a volume; end it in .nii.gz or .nii")
    if path.suffix.lower() in _FILE_ENDINGS and not path.is_dir():
        raise WriteError(
            path, f"ends in {path.suffix}; end it in .nii.gz, or name a folder for PNG slices"
        )


def _affine(path: Path, spacing_mm: tuple[float, float, float] | None) -> NDArray[np.float64]:
    """Place slices: z to the head, y to the back, x to the left; 1 mm when nobody says."""
    z, y, x = spacing_mm or (1.0, 1.0, 1.0)
    if not all(math.isfinite(step) and step > 0 for step in (z, y, x)):
        raise ReadError(path, f"needs a spacing_mm above 0 along (z, y, x), got {spacing_mm}")
    return np.array([[0, 0, -x, 0], [0, -y, 0, 0], [z, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float64)


def _read_stack(
    path: Path, budget: int | None, *, as_ids: bool
) -> tuple[NDArray[Any], Ordered, Look]:
    """Read all slices as one array ``(z, y, x)``; with their order and what they are."""
    if path.is_dir():
        slices = order_slices(path, list_slices(path))
        files = [path / name for name in slices.names]
    else:
        files = [path]
        slices = order_slices(path, [path.name])
    looks = _look_at_all(path, files)
    first = looks[0]
    if len(files) == 1 and len(first.shape) == 3:
        expect_within_budget(path, 3 * math.prod(first.shape) * first.dtype.itemsize, budget)
        return np.ascontiguousarray(read_slice(path)), slices, first
    _expect_alike(path, files, [" x ".join(map(str, one.shape[::-1])) for one in looks], "sizes")
    _expect_alike(path, files, [one.mode for one in looks], "kinds")
    if len(first.shape) != 2:
        raise ReadError(path, "holds NPY volumes (z, y, x), not slices; give one of the files")
    shape = (len(files), *first.shape)
    expect_within_budget(path, 2 * math.prod(shape) * max(first.dtype.itemsize, 4), budget)
    stack = np.empty(shape, dtype=first.dtype)
    for plane, file in zip(stack, files, strict=True):
        plane[:] = read_slice(file, as_ids=as_ids)
    return stack, slices, first


def _look_at_all(path: Path, files: Sequence[Path]) -> list[Look]:
    """Read the header of every slice; faults are listed together."""
    looks, faults = [], []
    for file in files:
        try:
            looks.append(look(file))
        except ReadError as fault:
            faults.append(fault)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        names = "; ".join(f"{fault.path.name} {fault.cause}" for fault in faults[:_LISTED])
        more = f"; and {len(faults) - _LISTED} more" if len(faults) > _LISTED else ""
        raise ReadError(path, f"{len(faults)} of its slices cannot be read: {names}{more}")
    return looks


def _expect_alike(path: Path, files: Sequence[Path], kinds: Sequence[str], what: str) -> None:
    """Refuse slices that differ; list those of the rarer kinds."""
    groups: dict[str, list[str]] = {}
    for file, kind in zip(files, kinds, strict=True):
        groups.setdefault(kind, []).append(file.name)
    if len(groups) == 1:
        return
    most, *rest = sorted(groups, key=lambda kind: -len(groups[kind]))
    odd = "; ".join(
        f"{kind}: {', '.join(groups[kind][:_LISTED])}"
        f"{f' and {len(groups[kind]) - _LISTED} more' if len(groups[kind]) > _LISTED else ''}"
        for kind in rest
    )
    raise ReadError(
        path, f"has slices of several {what}, most are {most}, but {odd}; export them alike"
    )
