"""Which batch works in a folder, and at which case it is, so that a kill leaves no riddle.

A hidden file names the case at hand and is locked while the batch runs. A file that nobody locks
any more was left by a batch that was killed, and the case in it is one that may be half written.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Collection
from pathlib import Path
from types import TracebackType

from slicekit.errors import WriteError
from slicekit.io.atomic import why_not_written
from slicekit.io.locking import lock

log = logging.getLogger(__name__)

_PREFIX = ".slicekit-batch"


class Claim:
    """The right to work on a batch, or on one part of it.

    Args:
        folder: Where the results go; made if it is not there.
        part: Which part of how many; the whole batch for ``None``.

    Raises:
        WriteError: Another process works on the same, or the folder cannot be written.
    """

    def __init__(self, folder: Path, part: tuple[int, int] | None = None) -> None:
        name = _PREFIX if part is None else f"{_PREFIX}-{part[0]}-of-{part[1]}"
        self._path = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as fault:
            raise WriteError(self._path, why_not_written(fault, self._path)) from fault
        if not lock(self._descriptor, wait=False):
            os.close(self._descriptor)
            raise WriteError(
                folder,
                "another slicekit works on this batch at the moment; wait until it has ended, or "
                "share the work by --parts N --part K",
            )
        abandoned = _abandoned(folder, but=self._path)
        cases = {case for path in (self._path, *abandoned) for case in _cases_in(path)}
        self.unfinished = frozenset(cases)
        """Cases at which earlier batches were killed."""
        self._open = cases
        self._write(cases)
        for path in abandoned:
            _remove(path)

    def begin(self, case: str) -> None:
        """Say which case is worked on from now on.

        Raises:
            WriteError: That cannot be written down, so a kill would leave a riddle.
        """
        self._write({case} | self._open)

    def end(self, case: str) -> None:
        """Say that a case is no longer worked on and that nothing of it is half written."""
        self._open.discard(case)
        self._write(self._open)

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the right up; what earlier batches left unfinished stays known until it is seen."""
        if kind is None or not self._open:
            _remove(self._path)
        os.close(self._descriptor)

    def _write(self, cases: Collection[str]) -> None:
        content = json.dumps({"cases": sorted(cases)}).encode("ascii") if cases else b""
        try:
            os.pwrite(self._descriptor, content, 0)
            os.ftruncate(self._descriptor, len(content))
        except OSError as fault:
            raise WriteError(self._path, why_not_written(fault, self._path)) from fault


def _abandoned(folder: Path, *, but: Path) -> list[Path]:
    """List the files of batches that no longer run."""
    found = []
    for path in sorted(folder.glob(f"{_PREFIX}*")):
        if path == but:
            continue
        try:
            descriptor = os.open(path, os.O_RDWR)
        except OSError:  # gone by now, or not ours
            continue
        try:
            if lock(descriptor, wait=False):
                found.append(path)
        finally:
            os.close(descriptor)
    return found


def _cases_in(path: Path) -> list[str]:
    """Return the cases that a file names; none where it names none or is torn."""
    try:
        return [str(case) for case in json.loads(path.read_bytes())["cases"]]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as fault:
        log.debug("could not remove %s: %s", path, fault)
