"""The journal of a batch: one line of JSON a case, appended whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slicekit.errors import ReadError, WriteError
from slicekit.io.atomic import why_not_written
from slicekit.io.locking import lock

_BLOCK = 65_536


def journal_path(folder: Path, part: int | None = None) -> Path:
    """Return the journal of a batch, or of one of its parts: ``run.jsonl``, ``run-3.jsonl``."""
    return folder / ("run.jsonl" if part is None else f"run-{part}.jsonl")


def append_line(path: Path, entry: Mapping[str, Any]) -> None:
    """Append one line; a torn last line, which a kill or a full disk left, is cut off first.

    The line is forced to the disk. Two processes may append to one file: they wait for one
    another where the file system can lock.

    Raises:
        WriteError: It could not be appended whole; the file is as it was.
    """
    line = json.dumps(entry).encode("ascii") + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _no_links(), 0o666)
        try:
            lock(descriptor, wait=True)
            _cut_torn_line(descriptor)
            _append(descriptor, line)
        finally:
            os.close(descriptor)
    except OSError as fault:
        raise WriteError(path, why_not_written(fault, path)) from fault


def read_journals(folder: Path) -> tuple[list[dict[str, Any]], int]:
    """Read the journals of a batch and of its parts.

    Returns:
        The last line of every case, in the order of the cases' names; and how many lines were
        passed over because they are torn.

    Raises:
        ReadError: A journal cannot be read.
    """
    last: dict[str, dict[str, Any]] = {}
    torn = 0
    for path in journals_in(folder):
        try:
            lines = path.read_bytes().splitlines()
        except OSError as fault:
            raise ReadError(path, f"cannot be read: {fault.strerror or fault}") from fault
        for line in lines:
            try:
                entry = json.loads(line)
                case, at = str(entry["case"]), str(entry.get("at", ""))
            except (ValueError, TypeError, KeyError, RecursionError):
                torn += 1
                continue
            if case not in last or at >= str(last[case].get("at", "")):
                last[case] = entry
    return [last[case] for case in sorted(last)], torn


def journals_in(folder: Path) -> list[Path]:
    """List the journals of a folder."""
    return sorted(path for path in folder.glob("run*.jsonl") if _is_journal(path.stem))


def _is_journal(stem: str) -> bool:
    return stem == "run" or (stem.startswith("run-") and stem[4:].isdecimal())


def _no_links() -> int:
    """Refuse to write through a symbolic link, where the system can."""
    return getattr(os, "O_NOFOLLOW", 0)


def _append(descriptor: int, line: bytes) -> None:
    """Append bytes and force them to the disk; what was written of them is taken back."""
    before = os.fstat(descriptor).st_size
    try:
        written = 0
        while written < len(line):  # a disk that gets full writes a part first
            written += os.write(descriptor, line[written:])
        os.fsync(descriptor)
    except BaseException:
        os.ftruncate(descriptor, before)
        raise


def _cut_torn_line(descriptor: int) -> None:
    """Cut off what stands behind the last end of a line."""
    size = end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - _BLOCK)
        at = os.pread(descriptor, end - start, start).rfind(b"\n")
        if at >= 0:
            end = start + at + 1
            break
        end = start
    if end < size:
        os.ftruncate(descriptor, end)
