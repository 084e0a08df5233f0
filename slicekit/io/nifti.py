"""Read and write NIfTI 1 and 2, whole or not at all.

Reading: open, parse the header, check it, ask the memory budget, inflate to the very end with
its checksum, compare the length. Writing: the header of the input with another type, beside the
final name, read back, renamed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slicekit.errors import ReadError
from slicekit.io.budget import expect_within_budget, in_words
from slicekit.io.dicom.source import DicomSource
from slicekit.io.gzip_stream import MOST_INFLATION, ByteStream, open_stream
from slicekit.io.nifti_affine import Axes, affine_inside, axes_inside, turn_inside
from slicekit.io.nifti_header import NiftiHeader, read_header
from slicekit.io.values import as_intensities, as_label_ids, target_dtype, warn_about_data
from slicekit.volume import Volume

_LOOK_FOR_DAMAGE = 64 << 20  # bytes inflated past a header that is refused


@dataclass(frozen=True, eq=False)
class NiftiSource:
    """How a NIfTI file stored a volume; enough to write another on its grid."""

    path: Path
    """The file that was read."""
    block: bytes
    """Its header, byte for byte."""
    stored_shape: tuple[int, ...]
    """Sizes of the axes on disk, trailing ones of 1 included; of one frame in a time series."""
    axes: Axes
    """For each stored axis, the axis of (z, y, x) it became and its direction."""
    affine: NDArray[np.float64]
    """The affine of the volume as it was read, ``(z, y, x, 1)`` to RAS+ mm."""

    def describes(self, volume: Volume) -> bool:
        """Tell whether a volume still lies on the file's own grid, or was cropped or resampled."""
        stored = (*self.stored_shape, 1, 1)[:3]
        inside = tuple(size for _, size in sorted(zip(self.axes, stored, strict=True)))
        return inside == volume.shape and np.array_equal(self.affine, volume.affine)


def stored_slice(volume: Volume, z: int, *, axis: int = 0) -> int:
    """Return the number, from 0, that a slice has along its axis in the file it came from.

    Files may run from head to foot while ``volume`` runs from foot to head; viewers count as the
    file does. The way back is the same.
    """
    if isinstance(volume.source, NiftiSource | DicomSource):
        for inside, direction in volume.source.axes:
            if inside == axis:
                return z if direction > 0 else volume.shape[axis] - 1 - z
    return z


class Stored(NamedTuple):
    """What lies in a file, before it means anything."""

    header: NiftiHeader
    """Checked."""
    numbers: NDArray[Any]
    """``(k, j, i)``, C-contiguous, in the type and byte order of the file."""


def read_nifti(
    path: Path,
    *,
    volume_index: int | None = None,
    memory_budget_bytes: int | None = None,
    allow_trailing_bytes: bool = False,
) -> Volume:
    """Read an image; see ``slicekit.io.read_volume``."""
    header, numbers = read_stored(
        path, volume_index, memory_budget_bytes, allow_trailing_bytes=allow_trailing_bytes
    )
    values = as_intensities(path, numbers, slope=header.slope, inter=header.inter)
    return _place(path, header, values, axes_inside(header.affine), volume_index)


def read_nifti_labels(path: Path, *, like: Volume | None) -> Volume:
    """Read a label map; see ``slicekit.io.read_labels``, which compares the grids."""
    header, numbers = read_stored(path)
    ids = as_label_ids(path, numbers, slope=header.slope, inter=header.inter)
    return _place(path, header, ids, _axes_like(header, like), None)


def _axes_like(header: NiftiHeader, like: Volume | None) -> Axes:
    """Turn a label map as its image was turned, even where 45 degrees leave a choice."""
    if like is not None and isinstance(like.source, NiftiSource):
        axes = like.source.axes
        if np.allclose(affine_inside(header.affine, axes, header.shape), like.affine, atol=1e-2):
            return axes
    return axes_inside(header.affine)


def _place(
    path: Path, header: NiftiHeader, values: NDArray[Any], axes: Axes, index: int | None
) -> Volume:
    """Turn ``(k, j, i)`` values to ``(z, y, x)`` and put them in their place."""
    affine = affine_inside(header.affine, axes, header.shape)
    array = _contiguous(turn_inside(values.T, axes))
    stored_shape = header.stored_shape if index is None else header.stored_shape[:3]
    return Volume(array, affine, NiftiSource(path, header.block, stored_shape, axes, affine.copy()))


def _contiguous(view: NDArray[Any]) -> NDArray[Any]:
    """Lay an array out as its axes run; mere flips are done in place, without a second array."""
    directions = tuple(-1 if step < 0 else 1 for step in view.strides)
    upright = view[tuple(slice(None, None, direction) for direction in directions)]
    if not upright.flags.c_contiguous:
        return np.ascontiguousarray(view)
    z_direction, *in_plane = directions
    if -1 in in_plane:
        turned = tuple(slice(None, None, direction) for direction in in_plane)
        for plane in upright:
            plane[:] = plane[turned].copy()
    if z_direction < 0:
        for low in range(len(upright) // 2):
            high = len(upright) - 1 - low
            upright[[low, high]] = upright[[high, low]]
    return upright


def read_stored(
    path: Path,
    volume_index: int | None = None,
    memory_budget_bytes: int | None = None,
    *,
    allow_trailing_bytes: bool = False,
) -> Stored:
    """Read header and numbers of one frame, and the whole stream to its end.

    Raises:
        ReadError: Something about the file is not as it must be.
    """
    with open_stream(path) as stream:
        with _damage_first(stream):
            header = read_header(path, stream)
            frame = _frame(path, header, volume_index)
            _expect_size(path, header, stream, memory_budget_bytes)
        numbers = np.empty(header.shape[::-1], dtype=header.dtype)
        before = header.offset - len(header.block) + frame * header.frame_bytes
        stream.skip(before)
        found = stream.read_into(memoryview(numbers.reshape(-1).view(np.uint8).data))
        after = (header.frames - 1 - frame) * header.frame_bytes
        _expect_end(path, header, stream, found, after, allow_trailing_bytes)
        _compare_name(path, stream)
    return Stored(header, numbers)


@contextmanager
def _damage_first(stream: ByteStream) -> Iterator[None]:
    """Let a damaged gzip stream be named as the cause when its header makes no sense."""
    try:
        yield
    except ReadError:
        if stream.gzipped:
            stream.count_rest(_LOOK_FOR_DAMAGE)
        raise


def _frame(path: Path, header: NiftiHeader, index: int | None) -> int:
    """Check which volume of a time series is wanted."""
    if index is None and header.frames > 1:
        raise ReadError(
            path,
            f"is a time series of {header.frames} volumes; name the one to read, from 0 to "
            f"{header.frames - 1} (volume_index=N, on the command line --volume N)",
        )
    if index is not None and not 0 <= index < header.frames:
        raise ReadError(
            path, f"has no volume {index}; its volumes are numbered 0 to {header.frames - 1}"
        )
    return index or 0


def _expect_size(path: Path, header: NiftiHeader, stream: ByteStream, budget: int | None) -> None:
    """Compare what the header declares with the memory and with the file, before reading."""
    stored = header.frame_bytes
    dtype = target_dtype(header.dtype, scaled=(header.slope, header.inter) != (1.0, 0.0))
    result = math.prod(header.shape) * dtype.itemsize
    plain = [axis for axis, _ in axes_inside(header.affine)] == [2, 1, 0]
    converted = 0 if dtype == header.dtype.newbyteorder("=") else result
    expect_within_budget(path, max(stored + converted, result if plain else 2 * result), budget)
    size = stream.size_on_disk
    declared = header.offset + header.frames * stored
    if stream.gzipped:
        if declared > size * MOST_INFLATION:
            raise ReadError(
                path,
                f"is truncated or has a damaged header: it declares {declared:,} bytes, more than "
                f"{size:,} gzipped bytes can hold; copy or download the file again",
            )
    elif size <= len(header.block) + 4:
        raise ReadError(
            path, f"holds a header but no voxels; {in_words(stored)} of them are missing"
        )
    elif header.offset >= size:
        raise ReadError(
            path,
            f"has a damaged header: its voxels begin at byte {header.offset:,}, but the file ends "
            f"at byte {size:,}; write it anew with the tool that made it",
        )
    elif size < declared:
        raise ReadError(
            path,
            f"is truncated: {size:,} of {declared:,} bytes are there; copy or download it again",
        )


def _expect_end(
    path: Path, header: NiftiHeader, stream: ByteStream, found: int, after: int, allow: bool
) -> None:
    """Compare what came with what the header declares."""
    declared = header.offset + header.frames * header.frame_bytes
    if found < header.frame_bytes:
        raise ReadError(
            path,
            f"is truncated: {found:,} of the {header.frame_bytes:,} bytes of its voxels are there; "
            "copy or download it again",
        )
    rest = stream.count_rest(after if after and not stream.gzipped else after + _LOOK_FOR_DAMAGE)
    if rest < after:
        raise ReadError(
            path, f"is truncated: {after - rest:,} of {declared:,} bytes are missing; copy it again"
        )
    if rest > after:
        if not allow:
            raise ReadError(
                path,
                f"holds more than its header declares: {rest - after:,} bytes or more follow the "
                f"{declared:,}; mend its dim, or allow trailing bytes if they mean nothing",
            )
        while stream.gzipped and stream.count_rest(_LOOK_FOR_DAMAGE) >= _LOOK_FOR_DAMAGE:
            pass  # on to the end, for the checksum
        warn_about_data(path, f"{rest - after:,} bytes behind its voxels were passed over")


def _compare_name(path: Path, stream: ByteStream) -> None:
    """Say so when the name promises another container than the file is."""
    name = path.name.lower()
    if stream.gzipped and not name.endswith(".nii.gz"):
        warn_about_data(path, "is gzipped NIfTI; other programs expect the name to end in .nii.gz")
    elif not stream.gzipped and not name.endswith(".nii"):
        warn_about_data(path, "is plain NIfTI; other programs expect the name to end in .nii")
