"""Read the header of every file of a container, and tell scans from what lies beside them."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from slicekit.errors import ReadError
from slicekit.io.budget import available_bytes
from slicekit.io.dicom.container import FAULTS, Container
from slicekit.io.dicom.planes import DEFLATED, Damaged, NoScan, Plane, read_planes
from slicekit.io.listing import is_dicom_name, is_index_name

_LISTED = 5
_META = 4096  # bytes in which the transfer syntax is told
_BLOCK = 1 << 20


def read_headers(container: Container, budget: int | None) -> tuple[list[Plane], list[str]]:
    """Describe every plane of a container.

    Returns:
        The planes, and in words what is no scan.

    Raises:
        ReadError: Some files are damaged, or there is no scan at all.
    """
    planes: list[Plane] = []
    strays: list[str] = []
    faults: list[tuple[str, str]] = []
    for name in container.names:
        try:
            with container.open(name) as stream:
                planes += _of_file(stream, name, budget)
        except NoScan as other:
            strays.append(f"{name} ({other})" if str(other) else name)
        except Damaged as fault:
            faults.append((name, str(fault)))
        except Exception as fault:  # whatever a parser raises on bytes that are not what they claim
            kind = "cannot be read" if isinstance(fault, FAULTS) else "has a damaged header"
            faults.append((name, f"{kind} ({in_words(fault)})"))
    expect_sound(container, faults)
    if not planes:
        raise ReadError(container.path, f"holds no DICOM scan, only {listed(strays) or 'nothing'}")
    return planes, strays


def expect_sound(container: Container, faults: list[tuple[str, str]]) -> None:
    """Raise what is wrong with files, all of them together.

    Raises:
        ReadError: There are faults.
    """
    if not faults:
        return
    if len(faults) == 1:
        name, cause = faults[0]
        raise ReadError(container.on_disk(name), cause)
    words = "; ".join(f"{name} {cause}" for name, cause in faults[:_LISTED])
    more = f"; and {len(faults) - _LISTED} more" if len(faults) > _LISTED else ""
    raise ReadError(container.path, f"{len(faults)} of its files cannot be read: {words}{more}")


def listed(names: list[str]) -> str:
    """Name a few of many."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{', '.join(names[:_LISTED])}{more}"


@contextmanager
def plain(stream: BinaryIO, budget: int | None) -> Iterator[tuple[BinaryIO, bool]]:
    """Give a stream of elements that can be read: a deflated file is inflated first.

    Yields:
        The stream, at its beginning, and whether preamble and file meta are gone from it.

    Raises:
        Damaged: It inflates to more than the budget, or not at all.
    """
    head = stream.read(_META)
    if DEFLATED.encode() not in head:
        stream.seek(0)
        yield stream, False
        return
    length = int.from_bytes(head[140:144], "little")  # of the file meta, its first element
    packed = head + stream.read()
    yield io.BytesIO(_inflate(packed[144 + length :], budget)), True


def _of_file(stream: BinaryIO, name: str, budget: int | None) -> list[Plane]:
    """Describe the planes of one file."""
    if stream.read(132)[128:] != b"DICM":
        if is_dicom_name(Path(name)) and not is_index_name(Path(name)):
            raise Damaged("is no DICOM file, whatever its name says: empty, or cut at the front")
        raise NoScan("")
    if is_index_name(Path(name)):
        raise NoScan("an index")
    stream.seek(0)
    with plain(stream, budget) as (elements, bare):
        return read_planes(elements, name, bare=bare)


def _inflate(packed: bytes, budget: int | None) -> bytes:
    """Inflate a deflated file, never past the budget."""
    most = available_bytes() // 2 if budget is None else budget
    machine = zlib.decompressobj(-zlib.MAX_WBITS)
    found = bytearray()
    while packed and not machine.eof:
        found += machine.decompress(packed, _BLOCK)
        packed = machine.unconsumed_tail
        if len(found) > most:
            raise Damaged(f"inflates to more than the budget of {most:,} bytes")
    if not machine.eof:
        raise Damaged("is truncated: its deflated part has no end; copy it again")
    return bytes(found)


def in_words(fault: Exception) -> str:
    """Write what a library raised as one line."""
    return str(fault).splitlines()[0] if str(fault) else type(fault).__name__
