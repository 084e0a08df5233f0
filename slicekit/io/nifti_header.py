"""The header of a NIfTI file, read strictly: what it may say, and what is refused.

Source: the NIfTI-1 and NIfTI-2 standards (nifti1.h, nifti2.h). The fields are parsed by nibabel,
which forgives what is refused here.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from numpy.typing import NDArray

from slicekit.errors import ReadError
from slicekit.io.gzip_stream import GZIP_MAGIC, ByteStream
from slicekit.io.nifti_affine import choose_affine
from slicekit.io.values import warn_about_data

_SIZES: dict[int, type[Nifti1Header]] = {348: Nifti1Header, 540: Nifti2Header}
_FIRST_VOXEL = {348: 352, 540: 544}
_REFUSED_TYPES = {
    0: "unknown",
    1: "one bit a voxel",
    32: "complex64",
    128: "RGB colour",
    1792: "complex128",
    2048: "complex256",
    2304: "RGBA colour",
}
_UNKNOWN = {1536: "float128, which this machine does not know"}
_OTHER_FORMATS = (
    (GZIP_MAGIC, "gzip inside of gzip; run gunzip on it once"),
    (b"PK\x03\x04", "a zip archive; unpack it first"),
    (b"BZh", "a bzip2 file; unpack it first"),
    (b"\xfd7zXZ", "an xz file; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd file; unpack it first"),
    (b"\x89PNG", "a PNG picture; name it .png"),
    (b"\xff\xd8\xff", "a JPEG picture; name it .jpg"),
    (b"\x93NUMPY", "a NumPy array; name it .npy"),
    (b"\x89HDF", "an HDF5 or MINC file; convert it to .nii.gz"),
    (b"NRRD", "an NRRD file; convert it to .nii.gz"),
    (b"ObjectType", "a MetaImage file; convert it to .nii.gz"),
    (b"NDims", "a MetaImage file; convert it to .nii.gz"),
    (b"<", "a web page or XML, perhaps a failed download; fetch the scan again"),
)


@dataclass(frozen=True)
class NiftiHeader:
    """What a checked header says about the voxels behind it."""

    block: bytes
    """The header as it stands in the file, 348 or 540 bytes."""
    stored_shape: tuple[int, ...]
    """Sizes of all axes on disk, the first being the fastest."""
    frames: int
    """Volumes of a time series; 1 for a plain volume."""
    dtype: np.dtype[Any]
    """Type of a stored number, with its byte order."""
    offset: int
    """Byte at which the voxels begin."""
    slope: float
    """Intensity = slope * stored + inter."""
    inter: float
    """See ``slope``."""
    affine: NDArray[np.float64]
    """``(4, 4)``: ``(i, j, k, 1)``, the stored axes, to RAS+ millimetres."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along the stored axes ``(i, j, k)`` of one frame."""
        i, j, k = (*self.stored_shape, 1, 1)[:3]
        return i, j, k

    @property
    def frame_bytes(self) -> int:
        """Stored bytes of one frame."""
        return math.prod(self.shape) * self.dtype.itemsize


def parse_block(block: bytes) -> Nifti1Header:
    """Parse the 348 or 540 bytes of a header without judging them (NIfTI-2 is a subclass)."""
    kind = _SIZES[len(block)]
    order = "<" if struct.unpack("<i", block[:4])[0] == len(block) else ">"
    return kind(block, endianness=order, check=False)


def read_header(path: Path, stream: ByteStream) -> NiftiHeader:
    """Read and check the header at the start of a stream.

    Args:
        path: The file, for messages.
        stream: Stands at the first byte; is left behind the header.

    Raises:
        ReadError: It is no NIfTI header, or one that cannot be meant.

    Warns:
        DataWarning: Something in it is doubtful, and what is made of it.
    """
    block = _read_block(path, stream)
    fields = parse_block(block)
    stored_shape = _shape(path, fields)
    extra = stored_shape[3:]
    if math.prod(extra[1:]) > 1:
        raise ReadError(
            path,
            f"has {len(stored_shape)} axes {stored_shape}, which is not one scalar volume; "
            "save the volume you mean as a file of its own",
        )
    dtype = _dtype(path, fields)
    offset = _offset(path, fields, len(block))
    slope, inter = _scaling(path, fields)
    affine = choose_affine(path, fields)
    frames = extra[0] if extra else 1
    return NiftiHeader(block, stored_shape, frames, dtype, offset, slope, inter, affine)


def _read_block(path: Path, stream: ByteStream) -> bytes:
    """Read the bytes of the header, or say what the file is instead."""
    head = stream.read(348)
    size = next((n for n in _SIZES for order in "<>" if head[:4] == struct.pack(f"{order}i", n)), 0)
    if not size:
        raise ReadError(path, f"is not NIfTI but {_what_it_is(head)}")
    head += stream.read(size - len(head))
    if len(head) < size:
        raise ReadError(
            path, f"ends after {len(head)} of the {size} bytes of its header; copy it again"
        )
    magic = head[344:348] if size == 348 else head[4:8]
    if magic[:3] in (b"ni1", b"ni2"):
        raise ReadError(
            path, "is the header of a .hdr/.img pair; convert the pair to one .nii.gz file"
        )
    if magic[:3] not in (b"n+1", b"n+2"):
        raise ReadError(
            path,
            "is not NIfTI: its header has no NIfTI magic (ANALYZE 7.5 has none either, and knows "
            "no left and right); convert the scan to .nii.gz",
        )
    return head


def _what_it_is(head: bytes) -> str:
    """Name the kind of a file that is not NIfTI, and what to do."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if head[128:132] == b"DICM":
        return "a DICOM file; unpack it to a name that ends in .dcm"
    for magic, what in _OTHER_FORMATS:
        if start.startswith(magic):
            return what
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as fault:
        text = head[: fault.start].decode("utf-8") if fault.start > len(head) - 4 else "\0"
    if all(letter.isprintable() or letter.isspace() for letter in text):
        return "text; was another file saved under this name?"
    if len(head) < 348:
        return f"only {len(head)} bytes of something else; copy or download it again"
    return "something else; slicekit reads .nii, .nii.gz and folders of slices"


def _shape(path: Path, fields: Nifti1Header) -> tuple[int, ...]:
    """Check the sizes of the axes."""
    dim = [int(size) for size in fields["dim"]]
    if not 1 <= dim[0] <= 7:
        raise ReadError(path, f"has a damaged header: dim[0] is {dim[0]}, expected 2 to 4 axes")
    sizes = tuple(dim[1 : dim[0] + 1])
    if min(sizes) < 1:
        raise ReadError(
            path, f"has a damaged header: its axes have the sizes {sizes}, each must be at least 1"
        )
    if dim[0] == 1:
        raise ReadError(path, f"has a single axis of {sizes[0]} numbers, expected a volume")
    return sizes


def _dtype(path: Path, fields: Nifti1Header) -> np.dtype[Any]:
    """Check the type of the voxels."""
    code = int(fields["datatype"])
    name = _REFUSED_TYPES.get(code)
    dtype: np.dtype[Any] | None
    try:
        dtype = np.dtype(fields.get_data_dtype()) if name is None else None
    except Exception:  # nibabel raises its own class here, for codes it does not know
        dtype = None
    if dtype is None or dtype.kind not in "iuf":
        raise ReadError(
            path,
            f"has voxels of datatype {code} ({name or _UNKNOWN.get(code, 'no such type')}); "
            "expected one whole or real number a voxel - export it as int16 or float32",
        )
    if int(fields["bitpix"]) != dtype.itemsize * 8:
        warn_about_data(
            path,
            f"its header says bitpix {fields['bitpix']} but datatype {code} ({dtype.name}); "
            "the datatype is used",
        )
    checked: np.dtype[Any] = dtype
    return checked


def _offset(path: Path, fields: Nifti1Header, header_bytes: int) -> int:
    """Check where the voxels begin."""
    offset, least = float(fields["vox_offset"]), _FIRST_VOXEL[header_bytes]
    if not (math.isfinite(offset) and offset >= least and offset == int(offset)):
        raise ReadError(
            path,
            f"has a damaged header: its voxels cannot begin at byte {offset:g}, expected {least} "
            "or more; write the file anew with the tool that made it",
        )
    if offset % 16:
        warn_about_data(path, f"its voxels begin at byte {offset:.0f}, which is no multiple of 16")
    return int(offset)


def _scaling(path: Path, fields: Nifti1Header) -> tuple[float, float]:
    """Check slope and intercept; slope 0 means unscaled in the standard."""
    slope, inter = float(fields["scl_slope"]), float(fields["scl_inter"])
    unscaled = slope == 0 or math.isnan(slope)
    if unscaled and (inter == 0 or math.isnan(inter)):
        if math.isnan(slope) or math.isnan(inter):
            warn_about_data(path, "its scaling is not a number; its values are used as stored")
        return 1.0, 0.0
    if slope == 0 and math.isfinite(inter):
        warn_about_data(
            path,
            f"its scl_slope is 0, which means unscaled, although scl_inter is {inter:g}; "
            "its values are used as stored",
        )
        return 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(inter)):
        raise ReadError(
            path,
            f"has a damaged header: scl_slope {slope:g}, scl_inter {inter:g}; intensities cannot "
            "be known - set them right, for example to 1 and 0",
        )
    return slope, inter
