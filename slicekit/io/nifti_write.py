"""Write NIfTI on the grid of an input, or plain; read back before it gets its name."""

from __future__ import annotations

import gzip
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from nibabel.affines import from_matvec, to_matvec
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from numpy.typing import NDArray

from slicekit.errors import ReadError, ShapeError
from slicekit.io.atomic import write_atomically
from slicekit.io.gzip_stream import open_stream
from slicekit.io.nifti import NiftiSource
from slicekit.io.nifti_affine import mend_header, turn_back
from slicekit.io.nifti_header import parse_block
from slicekit.volume import Volume

_LEVEL = 4
_LARGEST_NIFTI1 = 32_767
_PLAIN_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")


def is_nifti_name(path: Path) -> bool:
    """Tell whether a name ends in .nii or .nii.gz."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def write_nifti_like(
    path: Path, numbers: NDArray[Any], like: Volume, *, slope: float = 1.0
) -> Path:
    """Write label ids or levels ``(z, y, x)`` on the grid that ``like`` was read from.

    The header is the input's: shape, axes, affine, codes and units; its type and everything
    that spoke about the input's intensities is reset, extensions are left out. Readers multiply
    the numbers by ``slope``.

    Raises:
        WriteError: It could not be written whole.
    """
    source = like.source
    if not (isinstance(source, NiftiSource) and source.describes(like)):
        return write_nifti(path, like.with_array(numbers), slope=slope)
    fields = parse_block(source.block).as_byteswapped("<")
    stored_shape = source.stored_shape
    fields["dim"][0] = len(stored_shape)
    fields["dim"][1:] = 1
    fields["dim"][1 : len(stored_shape) + 1] = stored_shape
    mend_header(fields)
    return _write(path, fields, turn_back(numbers, source.axes), slope=slope)


def write_nifti(path: Path, volume: Volume, *, slope: float = 1.0) -> Path:
    """Write a volume with a header of its own: axes (x, y, z), sform, and qform where it can be.

    Raises:
        ShapeError: The type of the array is none that NIfTI readers share.
        WriteError: It could not be written whole.
    """
    array = volume.array.astype(np.uint8) if volume.array.dtype.kind == "b" else volume.array
    if array.dtype.name not in _PLAIN_TYPES:
        raise ShapeError(
            f"volumes are written as one of {', '.join(_PLAIN_TYPES)}, got {array.dtype}; "
            "convert the array first"
        )
    kind: type[Nifti1Header] = Nifti1Header if max(array.shape) <= _LARGEST_NIFTI1 else Nifti2Header
    matrix, offset = to_matvec(volume.affine)
    affine = from_matvec(matrix[:, ::-1], offset)
    fields = kind(endianness="<")
    fields.set_data_shape(array.shape[::-1])
    fields.set_xyzt_units("mm")
    fields.set_qform(affine, code="scanner", strip_shears=True)
    fields.set_sform(affine, code="scanner")
    if not np.allclose(fields.get_qform(), affine, atol=1e-3):
        fields["qform_code"] = 0  # a sheared grid: the quaternion cannot say it
    return _write(path, fields, array.transpose(2, 1, 0), slope=slope)


def _write(path: Path, fields: Nifti1Header, stored: NDArray[Any], *, slope: float) -> Path:
    """Write numbers in their stored axes ``(i, j, k)`` behind a header, and read them back."""
    fields.set_data_dtype(stored.dtype)
    fields["scl_slope"], fields["scl_inter"] = slope, 0
    fields["cal_max"], fields["cal_min"] = 0, 0
    fields["intent_code"], fields["intent_name"] = 0, b""
    for name in ("intent_p1", "intent_p2", "intent_p3"):
        fields[name] = 0
    first = 352 if len(fields.binaryblock) == 348 else 544
    fields["vox_offset"] = first
    fields["magic"] = b"n+1" if first == 352 else b"n+2"
    head = fields.binaryblock.ljust(first, b"\0")
    writer = partial(_fill, head=head, planes=stored.T)
    return write_atomically(path, writer, verify=partial(_verify, head=head, planes=stored.T))


def _fill(path: Path, *, head: bytes, planes: NDArray[Any]) -> None:
    """Write the header and the planes ``(k, j, i)``; equal masks give equal files."""
    with path.open("wb") as file:
        if path.name.lower().endswith(".gz"):
            with gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed:
                _pour(packed, head, planes)
        else:
            _pour(file, head, planes)


def _pour(file: IO[bytes] | gzip.GzipFile, head: bytes, planes: NDArray[Any]) -> None:
    file.write(head)
    little = planes.dtype.newbyteorder("<")
    for plane in planes:
        file.write(np.ascontiguousarray(plane, dtype=little).data)


def _verify(path: Path, *, head: bytes, planes: NDArray[Any]) -> None:
    """Read a finished file again, to its checksum, and compare every byte."""
    little = planes.dtype.newbyteorder("<")
    with open_stream(path) as stream:
        if stream.read(len(head)) != head:
            raise ReadError(path, "its header is not the one that was written")
        for plane in planes:
            if stream.read(plane.nbytes) != np.ascontiguousarray(plane, dtype=little).tobytes():
                raise ReadError(path, "its voxels are not the ones that were written")
        if stream.count_rest(1):
            raise ReadError(path, "it is longer than what was written")
