"""The bytes of a file, plain or gzipped, read once from front to end.

Nothing is believed: a gzip stream is read to its end so that its checksum is compared, a file
that breaks off is refused with byte counts, and no more is inflated than the reader asks for.

Source: RFC 1952 (gzip: several members may follow one another, zeros may pad the end).
"""

from __future__ import annotations

import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Protocol

from slicekit.errors import FileError, ReadError

GZIP_MAGIC = b"\x1f\x8b"
MOST_INFLATION = 1_032
"""Bytes that one byte of a deflate stream can become at the most."""
_IN = 1 << 18
_OUT = 1 << 20
_GZIP = 31  # zlib's name for: gzip header, deflate, compare the checksum


class ByteStream(Protocol):
    """A file that is read once, from front to end."""

    size_on_disk: int
    """Bytes of the file."""
    gzipped: bool
    """Whether they are inflated on the way."""

    def read(self, length: int) -> bytes:
        """Return the next bytes; fewer than ``length`` only at the end."""

    def read_into(self, view: memoryview) -> int:
        """Fill ``view`` and return the number of bytes; fewer only at the end."""

    def skip(self, length: int) -> None:
        """Pass over bytes without keeping them."""

    def count_rest(self, most: int) -> int:
        """Read on to the end, but past no more than ``most`` bytes, and count what was left."""

    def close(self) -> None:
        """Close the file."""


class PlainStream:
    """A file as it lies on the disk."""

    gzipped = False

    def __init__(self, file: FileIO, size: int) -> None:
        self._file = file
        self.size_on_disk = size

    def read(self, length: int) -> bytes:
        """Return the next bytes; fewer than ``length`` only at the end."""
        pieces = []
        while length > 0 and (piece := self._file.read(length)):
            pieces.append(piece)
            length -= len(piece)
        return b"".join(pieces)

    def read_into(self, view: memoryview) -> int:
        """Fill ``view`` and return the number of bytes; fewer only at the end."""
        done = 0
        while done < len(view) and (count := self._file.readinto(view[done:])):
            done += count
        return done

    def skip(self, length: int) -> None:
        """Pass over bytes without reading them."""
        self._file.seek(length, 1)

    def count_rest(self, most: int) -> int:
        """Count the bytes that were not read."""
        return max(self.size_on_disk - self._file.tell(), 0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class GzipStream:
    """The content of a gzip file; faults of the stream become ``ReadError``."""

    gzipped = True

    def __init__(self, path: Path, file: FileIO, size: int) -> None:
        self._path = path
        self._file = file
        self._inflater = zlib.decompressobj(_GZIP)
        self._waiting = b""
        self._count = 0
        self._ended = False
        self.size_on_disk = size

    def read(self, length: int) -> bytes:
        """Return the next bytes; fewer than ``length`` only at the end."""
        pieces = []
        while length > 0 and (piece := self._inflate(min(length, _OUT))):
            pieces.append(piece)
            length -= len(piece)
        return b"".join(pieces)

    def read_into(self, view: memoryview) -> int:
        """Inflate into ``view`` and return the number of bytes; fewer only at the end."""
        done = 0
        while done < len(view) and (piece := self._inflate(min(len(view) - done, _OUT))):
            view[done : done + len(piece)] = piece
            done += len(piece)
        return done

    def skip(self, length: int) -> None:
        """Inflate bytes and let them go."""
        while length > 0 and (piece := self._inflate(min(length, _OUT))):
            length -= len(piece)

    def count_rest(self, most: int) -> int:
        """Inflate on to the end, but past no more than ``most`` bytes, and count them."""
        count = 0
        while count < most and (piece := self._inflate(_OUT)):
            count += len(piece)
        return count + (len(self._waiting) if self._ended else 0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _inflate(self, most: int) -> bytes:
        """Return 1 to ``most`` bytes of content; none when every checksum has been compared."""
        while not self._ended:
            if self._inflater.eof:
                self._next_member()
                continue
            fresh = self._waiting or self._file.read(_IN)
            if not fresh:
                raise ReadError(
                    self._path,
                    f"is truncated: its gzip stream of {self.size_on_disk:,} bytes breaks off "
                    f"after {self._count:,} bytes of content; copy or download the file again",
                )
            try:
                piece = self._inflater.decompress(fresh, most)
            except zlib.error as fault:
                raise ReadError(self._path, self._damage(fault)) from fault
            self._waiting = self._inflater.unconsumed_tail
            if piece:
                self._count += len(piece)
                return piece
        return b""

    def _next_member(self) -> None:
        """Go on with the gzip stream that may follow the one that has just ended."""
        rest = self._inflater.unused_data.lstrip(b"\0")
        while len(rest) < len(GZIP_MAGIC) and (more := self._file.read(_IN)):
            rest = (rest + more).lstrip(b"\0")
        self._waiting = rest
        if rest.startswith(GZIP_MAGIC):
            self._inflater = zlib.decompressobj(_GZIP)
        else:
            self._ended = True  # nothing follows, or what follows is no gzip stream

    def _damage(self, fault: zlib.error) -> str:
        """Say what is wrong with the stream."""
        text = str(fault).split(": ")[-1]
        kind = {
            "incorrect data check": "CRC mismatch of its content",
            "incorrect length check": "length mismatch of its content",
        }.get(text, f"CRC mismatch or worse, its gzip stream cannot be inflated ({text})")
        return f"is damaged: {kind}; copy or download the file again"


@contextmanager
def open_stream(path: Path) -> Iterator[ByteStream]:
    """Open a file as the stream of its content, inflated if it begins as gzip does.

    Raises:
        ReadError: It is missing, a folder, empty, not a file, or may not be read.
    """
    try:
        size = _size_of_file(path)
        file = FileIO(path, "rb")
    except ReadError:
        raise
    except FileNotFoundError as fault:
        raise ReadError(path, "does not exist; check the name and the folder") from fault
    except ValueError as fault:  # such as a NUL in the name
        raise ReadError(path, f"cannot be a file name ({fault}); check it") from fault
    except PermissionError as fault:
        raise ReadError(path, "may not be read: permission denied; ask its owner") from fault
    except OSError as fault:
        raise ReadError(path, f"cannot be opened: {fault.strerror or fault}") from fault
    with file:
        try:
            gzipped = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
            file.seek(0)
            yield GzipStream(path, file, size) if gzipped else PlainStream(file, size)
        except FileError:
            raise
        except OSError as fault:
            raise ReadError(path, f"could not be read: {fault.strerror or fault}") from fault


def _size_of_file(path: Path) -> int:
    """Return the bytes of an ordinary file that holds something."""
    if path.is_symlink() and not path.exists():
        raise ReadError(
            path, f"is a symbolic link to {path.readlink()}, which does not exist; mend the link"
        )
    state = path.stat()
    if stat.S_ISDIR(state.st_mode):
        raise ReadError(path, "is a folder, where a file was expected; name a file in it")
    if not stat.S_ISREG(state.st_mode):
        raise ReadError(path, "is no regular file; copy its content to one first")
    if state.st_size == 0:
        raise ReadError(path, "is empty (0 bytes); copy or download the file again")
    return state.st_size
