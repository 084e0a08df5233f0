"""One slice in one file: PNG, JPEG, TIFF or NPY."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from slicekit.errors import FileError, ReadError
from slicekit.io.gzip_stream import open_stream

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".npy")
LOSSY = (".jpg", ".jpeg")
_GRAY = ("1", "L", "LA", "RGB", "RGBA", "P")
_DEEP = {
    "I;16": "<u2",
    "I;16L": "<u2",
    "I;16B": ">u2",
    "I;16N": "=u2",
    "I": "=i4",
    "F": "=f4",
}
_IDS_APART = {2: 85, 4: 17}  # how far apart a PNG of 2 or 4 bits is spread over 8


class Look(NamedTuple):
    """What the header of a slice says."""

    shape: tuple[int, ...]
    """``(y, x)``, or ``(z, y, x)`` of an NPY file that holds a whole volume."""
    mode: str
    """Kind of its numbers; equal in all slices of a stack."""
    dtype: np.dtype[Any]
    """Type of its numbers once they are gray."""
    is_gray8: bool
    """Whether they are the 0 to 255 of a picture, and so have no unit."""


def look(path: Path) -> Look:
    """Read only the header of a slice; of a PNG also every checksum.

    Raises:
        ReadError: It is damaged, or of a kind that is no gray slice.
    """
    with _faults(path):
        if path.suffix.lower() == ".npy":
            array = _open_npy(path)
            return Look(array.shape, f"{array.dtype.name} array", array.dtype, False)
        with Image.open(BytesIO(_content(path))) as picture:
            size, mode = picture.size, picture.mode
            pages = getattr(picture, "n_frames", 1)
            if picture.format == "PNG":
                picture.verify()
        if pages > 1:
            raise ReadError(path, f"holds {pages} pages; save each as a file of its own")
        if mode not in (*_GRAY, *_DEEP):
            raise ReadError(path, f"is a picture of mode {mode}, expected gray; export it as gray")
        dtype = np.dtype(_DEEP.get(mode, "u1"))
        return Look(size[::-1], f"{mode} picture", dtype.newbyteorder("="), mode in _GRAY)


def read_slice(path: Path, *, as_ids: bool = False) -> NDArray[Any]:
    """Read the numbers of one slice.

    Args:
        path: The file.
        as_ids: Whether they are label ids: the indices of a palette, unspread small bit depths.

    Returns:
        ``(y, x)`` gray: uint8 of pictures with 8 bits, else the stored type; of an NPY file
        whatever it holds.

    Raises:
        ReadError: It is damaged or in true colour.
    """
    with _faults(path):
        if path.suffix.lower() == ".npy":
            return np.array(_open_npy(path))
        content = _content(path)
        depth, colours = _png_depth(content)
        if depth == 16 and colours:
            raise ReadError(path, "is a 16-bit colour PNG; export it as 16-bit gray")
        with Image.open(BytesIO(content)) as picture:
            if picture.mode in _DEEP:
                return np.asarray(picture).astype(np.dtype(_DEEP[picture.mode]).newbyteorder("="))
            if picture.mode == "1":
                return np.asarray(picture).astype(np.uint8) * np.uint8(1 if as_ids else 255)
            if picture.mode == "P" and not as_ids:
                return _gray(path, np.asarray(picture.convert("RGB")))
            numbers = np.asarray(picture)
        spread = _IDS_APART.get(depth, 1) if as_ids and not colours else 1
        return _gray(path, numbers) // np.uint8(spread)


def write_png(path: Path, ids: NDArray[Any]) -> None:
    """Write one slice ``(y, x)`` of uint8 or uint16 as gray PNG."""
    Image.fromarray(np.ascontiguousarray(ids)).save(path, format="PNG", compress_level=4)


def _gray(path: Path, numbers: NDArray[Any]) -> NDArray[Any]:
    """Reduce equal channels to one; refuse colours and see-through pixels."""
    if numbers.ndim == 2:
        return numbers
    channels = numbers.shape[-1]
    if channels in (2, 4) and (numbers[..., -1] != 255).any():
        raise ReadError(path, "has see-through pixels; export it as opaque gray")
    if channels > 2 and not (numbers[..., :1] == numbers[..., :3]).all():
        raise ReadError(path, "is in true colour, expected gray; export it as gray")
    return numbers[..., 0]


def _open_npy(path: Path) -> NDArray[Any]:
    """Map an array file into memory; nothing is unpickled."""
    with open_stream(path):  # names a file that is absent, empty or closed to us
        pass
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.memmap):
        raise ReadError(path, "holds no single array; save it with numpy.save")
    size = array.offset + array.nbytes
    if path.stat().st_size != size:
        raise ReadError(path, f"has {path.stat().st_size:,} bytes, expected {size:,}; save it anew")
    if array.dtype.kind not in "biuf" or array.ndim not in (2, 3) or array.size == 0:
        raise ReadError(
            path,
            f"holds {array.dtype.name} numbers of shape {array.shape}, expected real numbers "
            "(y, x), or (z, y, x) in a file of its own",
        )
    return array


def _content(path: Path) -> bytes:
    """Read a whole file, or say what stands in the way."""
    with open_stream(path) as stream:
        return stream.read(stream.size_on_disk)


def _png_depth(content: bytes) -> tuple[int, bool]:
    """Return the bits of a PNG's samples and whether they are colours, its own or a palette's."""
    if not content.startswith(b"\x89PNG") or len(content) < 26:
        return 8, False
    return content[24], content[25] != 0


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    """Name the file and the cause in whatever a decoder raises."""
    try:
        yield
    except FileError:
        raise
    except (
        OSError,
        EOFError,
        SyntaxError,
        ValueError,
        struct.error,
        zlib.error,
        Image.DecompressionBombError,
    ) as fault:
        text = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        if isinstance(fault, UnidentifiedImageError):
            text = "its content is no picture"
        raise ReadError(path, f"is damaged or no slice ({text}); export it again") from fault
