"""The files of a folder or of a zip archive, opened one by one.

Nothing of an archive is ever written to disk, so no name in it can lead anywhere.
"""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, Self, cast

from slicekit.errors import ReadError
from slicekit.io.budget import expect_within_budget
from slicekit.io.listing import dicom_files, holds_dicom, is_dicom
from slicekit.io.pictures import SUFFIXES

FAULTS = (OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError)
"""What opening and reading a file of a container may raise."""
_ENCRYPTED = 0x1


class Container:
    """The files that a path means: of a folder, of a zip archive, or the one file itself.

    Args:
        path: A folder, a file whose name ends in .zip, or another file.
        budget: Bytes that an archive may hold unpacked; half of the available memory for
            ``None``.

    Raises:
        ReadError: The path cannot be opened, or the archive is damaged, locked or too large.
    """

    def __init__(self, path: Path, budget: int | None = None) -> None:
        self.path = path
        self._archive: zipfile.ZipFile | None = None
        self._sizes: dict[str, int] = {}
        if path.is_dir():
            self.names = tuple(dicom_files(path))
        elif is_zip_name(path):
            self._open_archive(budget)
        else:
            self.names = (path.name,)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._archive is not None:
            self._archive.close()

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """Open one of ``names`` to read a part of it; raises one of ``FAULTS``."""
        stream: IO[bytes]
        if self._archive is not None:
            stream = self._archive.open(name)
        else:
            stream = self.on_disk(name).open("rb")
        with stream:
            yield cast(BinaryIO, stream)

    @contextmanager
    def whole(self, name: str) -> Iterator[BinaryIO]:
        """Open one of ``names`` to read it all; one of an archive is unpacked into memory.

        So its checksum is compared; raises one of ``FAULTS``.
        """
        with self.open(name) as stream:
            yield stream if self._archive is None else io.BytesIO(stream.read())

    def size(self, name: str) -> int:
        """Return the bytes of a file, unpacked."""
        if self._archive is not None:
            return self._sizes[name]
        return os.stat(self.on_disk(name)).st_size  # noqa: PTH116

    def on_disk(self, name: str) -> Path:
        """Return where a file lies, for messages also inside of an archive."""
        if self._archive is None and not self.path.is_dir():
            return self.path
        return self.path / name

    def _open_archive(self, budget: int | None) -> None:
        try:
            archive = zipfile.ZipFile(self.path)
        except FAULTS as fault:
            raise ReadError(self.path, f"cannot be read as a zip archive ({fault})") from fault
        self._archive = archive
        members = [
            member
            for member in archive.infolist()
            if not member.is_dir()
            and not member.filename.startswith("__MACOSX/")
            and not member.filename.rpartition("/")[2].startswith(".")
        ]
        self._sizes = {member.filename: member.file_size for member in members}
        self.names = tuple(sorted(self._sizes))
        try:
            if any(member.flag_bits & _ENCRYPTED for member in members):
                raise ReadError(self.path, "is locked by a password; unpack it first")
            if len(self.names) < len(members):
                raise ReadError(self.path, "holds two files of one name; pack it anew")
            expect_within_budget(self.path, sum(self._sizes.values()), budget)
        except ReadError:
            archive.close()
            raise


def means_dicom(path: Path) -> bool:
    """Tell whether a path means DICOM: a folder of it, an archive, or one file."""
    # os.path raises nothing where a folder on the way may not be entered, Path.is_dir does
    if os.path.isdir(path):  # noqa: PTH112
        return holds_dicom(path)
    if not os.path.isfile(path):  # noqa: PTH113
        return False
    return is_zip_name(path) or (path.suffix.lower() not in SUFFIXES and is_dicom(path))


def is_zip_name(path: Path) -> bool:
    """Tell an archive by its name."""
    return path.name.lower().endswith(".zip")
