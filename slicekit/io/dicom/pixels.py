"""Decode the planes of a series, several at once, each into its place in the volume.

Memory is that of the volume and of one file a thread. Compressed planes are decoded as ``codecs``
says, else through pydicom; plain ones are read where the header says they lie.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from slicekit.errors import ReadError
from slicekit.io.dicom.codecs import CODECS, decode_frame, in_stored_bits
from slicekit.io.dicom.codestream import claimed_size, read_encapsulated
from slicekit.io.dicom.container import FAULTS, Container
from slicekit.io.dicom.headers import expect_sound, in_words, plain
from slicekit.io.dicom.planes import Damaged, Pixels, Plane

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import Decoder

Place = Callable[[int, NDArray[Any]], None]
"""Takes the number of a plane and its stored numbers ``(row, column)``."""
_UNDEFINED = b"\xff\xff\xff\xff"
_PLAIN = (
    "",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
)


def threads(planes: Sequence[Plane]) -> int:
    """Return how many files are decoded at once."""
    return max(1, min(len(os.sched_getaffinity(0)), len({plane.file for plane in planes})))


def decode(container: Container, planes: Sequence[Plane], place: Place, budget: int | None) -> None:
    """Decode every plane and hand it over, in no certain order.

    Raises:
        ReadError: Files are truncated or damaged, or this machine lacks a decoder.
    """
    for pixels in {plane.pixels.syntax: plane.pixels for plane in planes}.values():
        if pixels.syntax not in (*_PLAIN, *CODECS):
            _decoder(container, pixels)
    jobs: dict[str, list[int]] = {}
    for number, plane in enumerate(planes):
        jobs.setdefault(plane.file, []).append(number)

    def work(job: tuple[str, list[int]]) -> str | None:
        name, numbers = job
        try:
            _decode_file(container, name, [(n, planes[n]) for n in numbers], place, budget)
        except Damaged as fault:
            return str(fault)
        except FAULTS as fault:
            return f"cannot be read ({in_words(fault)})"
        return None

    with warnings.catch_warnings():  # once for all threads, which share the filters
        warnings.filterwarnings("ignore", module="pydicom")
        with ThreadPoolExecutor(threads(planes)) as pool:
            try:
                answers = list(pool.map(work, jobs.items()))
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)  # the rest would be for nothing
                raise
    found = zip(jobs, answers, strict=True)
    expect_sound(container, [(name, fault) for name, fault in found if fault is not None])


def _decode_file(
    container: Container,
    name: str,
    planes: Sequence[tuple[int, Plane]],
    place: Place,
    budget: int | None,
) -> None:
    """Decode the planes of one file."""
    pixels = planes[0][1].pixels
    with container.whole(name) as packed, plain(packed, budget) as (stream, bare):
        size = stream.seek(0, os.SEEK_END) if bare else container.size(name)
        stream.seek(pixels.offset)
        head = stream.read(12 if pixels.explicit else 8)
        if pixels.syntax in _PLAIN:
            for number, plane in planes:
                place(number, _plain_plane(stream, pixels, plane.frame, head, size))
        else:
            if head[8:] != _UNDEFINED:
                raise Damaged(f"claims {_name(pixels.syntax)}, but its pixels are not encapsulated")
            wanted = {plane.frame: number for number, plane in planes}
            found = _frames(container, read_encapsulated(stream, size), pixels)
            for frame, numbers in found:
                if frame in wanted:
                    place(wanted[frame], numbers)


def _plain_plane(
    stream: BinaryIO, pixels: Pixels, frame: int, head: bytes, size: int
) -> NDArray[Any]:
    """Read a plane that is not compressed."""
    if head[-4:] == _UNDEFINED:
        raise Damaged("holds compressed pixels, but its transfer syntax says it does not")
    order = ">" if pixels.big_endian else "<"
    declared = int.from_bytes(head[-4:], "big" if pixels.big_endian else "little")
    needed = pixels.plane_bytes * pixels.frames
    begin = pixels.offset + len(head)
    if size < begin + min(declared, needed):
        raise Damaged(
            f"is truncated: {max(0, size - begin):,} of the {needed:,} bytes of its pixels are "
            "there; copy it again"
        )
    if declared < needed:
        raise Damaged(f"declares {declared:,} bytes of pixels, but its size needs {needed:,}")
    if pixels.big_endian and pixels.allocated == 8 and head[4:6] == b"OW":
        raise Damaged("stores bytes in swapped words, which is not supported; convert it first")
    stream.seek(begin + frame * pixels.plane_bytes)
    kind = f"{order}{'i' if pixels.signed else 'u'}{pixels.allocated // 8}"
    numbers = np.frombuffer(stream.read(pixels.plane_bytes), dtype=kind)
    numbers = numbers.reshape(pixels.rows, pixels.columns).astype(numbers.dtype.newbyteorder("="))
    return in_stored_bits(numbers, pixels)


def _frames(
    container: Container, value: bytes, pixels: Pixels
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Decode every frame of an encapsulated element."""
    from pydicom.encaps import generate_frames

    codec = CODECS.get(pixels.syntax)
    options: dict[str, Any] = {
        "rows": pixels.rows,
        "columns": pixels.columns,
        "samples_per_pixel": 1,
        "photometric_interpretation": pixels.photometric,
        "bits_allocated": pixels.allocated,
        "bits_stored": pixels.stored,
        "pixel_representation": int(pixels.signed),
        "number_of_frames": pixels.frames,
        "pixel_keyword": "PixelData",
    }
    try:
        for frame, stream in enumerate(generate_frames(value, number_of_frames=pixels.frames)):
            size = claimed_size(stream)
            if size is not None and size != (pixels.rows, pixels.columns):
                raise Damaged(
                    f"claims {pixels.rows} x {pixels.columns} pixels, but its stream of "
                    f"{_name(pixels.syntax)} {size[0]} x {size[1]}"
                )
            if codec is not None:
                yield frame, decode_frame(codec, stream, pixels)
            else:
                decoder = _decoder(container, pixels)
                yield frame, decoder.as_array(value, index=frame, raw=True, **options)[0]
    except (Damaged, ReadError):
        raise
    except Exception as fault:  # decoders raise whatever they like on damaged streams
        what = _name(pixels.syntax)
        raise Damaged(f"is damaged: its {what} pixels ({in_words(fault)})") from fault


def _decoder(container: Container, pixels: Pixels) -> Decoder:
    """Find pydicom's decoder of a transfer syntax.

    Raises:
        ReadError: There is none here; the message names the syntax and the package.
    """
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    what = f"is compressed as {_name(pixels.syntax)}"
    try:
        decoder = get_decoder(UID(pixels.syntax))
    except NotImplementedError as fault:
        cause = f"{what}, which pydicom does not decode; convert it with another program first"
        raise ReadError(container.path, cause) from fault
    if not decoder.is_available:
        wanted = "; ".join(decoder.missing_dependencies)
        raise ReadError(container.path, f"{what}, for which a package is missing: {wanted}")
    return decoder


def _name(syntax: str) -> str:
    from pydicom.uid import UID

    return f"{UID(syntax).name} ({syntax})" if UID(syntax).name != syntax else syntax
