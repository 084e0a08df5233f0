"""One writer a case: a lock that the system lets go when its holder dies."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import TracebackType

from slicekit.errors import SlicekitError, WriteError
from slicekit.io.atomic import why_not_written
from slicekit.io.locking import lock


class TakenError(SlicekitError):
    """Another process writes this case."""


class Lock:
    """Holds a file locked until it is let go, or the process ends in whatever way.

    Args:
        path: The lock file; it is made, and stays, for taking it away would let two hold it.

    Raises:
        TakenError: Another process holds it; the message names it.
        WriteError: The file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError as fault:
            raise WriteError(path, why_not_written(fault, path)) from fault
        if not lock(self._file, wait=False):
            holder = os.read(self._file, 200).decode("utf-8", "replace").strip()
            os.close(self._file)
            raise TakenError(
                f"{path.parent / path.name.removeprefix('.').removesuffix('.lock')} is being "
                f"reviewed by another slicekit ({holder or 'of unknown name'}); close it there "
                "first, or choose another folder for the results (--out)"
            )
        said = f"process {os.getpid()} on {socket.gethostname()}\n".encode()
        os.ftruncate(self._file, 0)
        os.write(self._file, said)

    def release(self) -> None:
        """Let go."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
