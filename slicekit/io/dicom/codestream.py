"""Compressed pixels: where they end in a file, and what size they claim to be."""

from __future__ import annotations

from typing import BinaryIO

from slicekit.io.dicom.planes import Damaged

_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_UNDEFINED = 0xFFFFFFFF
_NO_LENGTH = (0x01, *range(0xD0, 0xD9))  # markers of JPEG that stand alone
_SIZES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7)


def read_encapsulated(stream: BinaryIO, size: int) -> bytes:
    """Read the items of an encapsulated element, from the first to the delimiter.

    Args:
        stream: Behind the head of the element.
        size: Bytes of the whole file.

    Raises:
        Damaged: It ends before the delimiter, or something else stands where an item must be.
    """
    start = at = stream.tell()
    while True:
        head = stream.read(8)
        if len(head) < 8:
            raise Damaged("is truncated within its compressed pixels; copy it again")
        length = int.from_bytes(head[4:], "little")
        at += 8
        if head[:4] == _END:
            break
        if head[:4] != _ITEM or length == _UNDEFINED:
            raise Damaged("is damaged: its compressed pixels are no sequence of items")
        at += length
        if at > size:
            raise Damaged(
                f"is truncated: its compressed pixels go to byte {at:,}, it has {size:,}; copy it "
                "again"
            )
        stream.seek(at)
    stream.seek(start)
    return stream.read(at - start)


def claimed_size(frame: bytes) -> tuple[int, int] | None:
    """Return the rows and columns that a JPEG, JPEG-LS or JPEG 2000 stream claims to have.

    ``None`` where it is none of these, such as run lengths.
    """
    if frame[:4] == b"\xff\x4f\xff\x51" and len(frame) >= 24:  # JPEG 2000: SOC, SIZ
        right, low, left, top = (
            int.from_bytes(frame[at : at + 4], "big") for at in (8, 12, 16, 20)
        )
        return low - top, right - left
    if frame[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker in _SIZES:
            rows, columns = (int.from_bytes(frame[at + k : at + k + 2], "big") for k in (5, 7))
            return rows, columns
        at += 1 if marker == 0xFF else 2
        if marker not in (0xFF, *_NO_LENGTH):
            at += int.from_bytes(frame[at : at + 2], "big")
    return None
