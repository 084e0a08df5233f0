"""Write a file whole or not at all.

The way of every file that slicekit writes: a temporary file in the same folder, written, checked
by ``verify``, flushed to the disk, renamed over the final name, and the folder flushed as well.
Whatever happens on the way, the final name holds either the old file or the complete new one.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import secrets
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from slicekit.errors import FileError, SlicekitError, WriteError

log = logging.getLogger(__name__)

_PREFIX = ".slicekit-"
_ABANDONED_AFTER_S = 24 * 3600.0


def write_atomically(
    path: str | Path,
    writer: Callable[[Path], None],
    *,
    verify: Callable[[Path], None] | None = None,
) -> Path:
    """Write one file so that its final name never holds half of it.

    Args:
        path: The final name; an existing file is replaced, missing parent folders are made.
        writer: Writes everything to the path it is given (an empty file beside the final one,
            with the same ending). It may replace that file.
        verify: Reads the finished temporary file again and raises when it is not as meant.

    Returns:
        The final path.

    Raises:
        WriteError: It could not be written whole or was not verified; what stood at ``path``
            before still stands, and no temporary file is left behind.
    """
    target = Path(path)
    if os.path.islink(target) or os.path.isdir(target):  # noqa: PTH112, PTH114 - raise nothing
        raise WriteError(target, "is a symbolic link or a folder; name an ordinary file")
    temporary = _temporary(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target)
        mode = _create(temporary)
        writer(temporary)
        _flush(temporary, mode)
        if verify is not None:
            _verify(temporary, verify)
        temporary.replace(target)
    except WriteError as fault:
        raise WriteError(target, fault.cause) from fault
    except SlicekitError:
        raise
    except OSError as fault:
        raise WriteError(target, why_not_written(fault, target, _size(temporary))) from fault
    finally:
        _discard(temporary)
    _flush_folder(target.parent)
    return target


def write_text(path: str | Path, text: str) -> Path:
    """Write a text file, UTF-8, whole or not at all.

    Raises:
        WriteError: It cannot be written; what stood there before still stands.
    """

    def write(file: Path) -> None:
        file.write_text(text, encoding="utf-8")

    return write_atomically(path, write)


def write_folder_atomically(path: str | Path, writer: Callable[[Path], None]) -> Path:
    """Write a folder so that its final name never holds a part of it.

    A new folder appears in one rename. An existing one is renamed aside first and put back
    when the second rename fails; it must hold no file that the new one does not replace.

    Args:
        path: The final name of the folder; missing parents are made.
        writer: Fills the empty folder it is given with files (no sub-folders).

    Returns:
        The final path.

    Raises:
        WriteError: It could not be written whole, or the existing folder holds other files.
    """
    target = Path(path)
    if os.path.lexists(target) and (target.is_symlink() or not target.is_dir()):
        raise WriteError(target, "is not a folder, so a folder cannot be written in its place")
    temporary = _temporary(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target)
        temporary.mkdir()
        writer(temporary)
        for file in temporary.iterdir():
            _flush(file, None)
        _flush_folder(temporary)
        _replace_folder(temporary, target)
    except WriteError as fault:
        raise WriteError(target, fault.cause) from fault
    except SlicekitError:
        raise
    except OSError as fault:
        raise WriteError(target, why_not_written(fault, target, _size(temporary))) from fault
    finally:
        _discard(temporary)
    _flush_folder(target.parent)
    return target


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Make a hidden folder beside ``target`` for files that are to appear together with it.

    Nothing of it is left in the end. A ``WriteError`` names the file as it was to be called.
    """
    folder = _temporary(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target)
        folder.mkdir()
        yield folder
    except WriteError as fault:
        inside = fault.path.is_relative_to(folder)
        named = target.parent / fault.path.relative_to(folder) if inside else fault.path
        raise WriteError(named, fault.cause) from fault
    except SlicekitError:
        raise
    except OSError as fault:
        raise WriteError(target, why_not_written(fault, target, _size(folder))) from fault
    finally:
        _discard(folder)
        _flush_folder(target.parent)


def why_not_written(fault: OSError, target: Path, written: int = 0) -> str:
    """Say in one sentence why a file was not written, and what to do."""
    if fault.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        free = shutil.disk_usage(target.parent).free
        return (
            f"could not be written whole: {fault.strerror} after {written:,} bytes "
            f"({free:,} bytes are free there); free some space or write elsewhere, then run again"
        )
    if fault.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"cannot be written: {fault.strerror}; choose another folder or change its rights"
    if fault.errno == errno.ENAMETOOLONG:
        return "cannot be written: the name is too long for this file system; choose a shorter one"
    return f"could not be written: {fault.strerror or fault}"


def _verify(temporary: Path, verify: Callable[[Path], None]) -> None:
    """Let ``verify`` read the finished file again; its complaint becomes a ``WriteError``."""
    try:
        verify(temporary)
    except SlicekitError as fault:
        cause = fault.cause if isinstance(fault, FileError) else str(fault)
        raise WriteError(
            temporary, f"was written but reads back wrong ({cause}); is the disk healthy?"
        ) from fault


def _discard(temporary: Path) -> None:
    """Delete an unfinished file or folder, as far as it is there."""
    try:
        shutil.rmtree(temporary) if temporary.is_dir() else temporary.unlink(missing_ok=True)
    except OSError as fault:
        log.warning("could not remove the unfinished %s: %s", temporary, fault)


def _replace_folder(temporary: Path, target: Path) -> None:
    """Rename ``temporary`` to ``target``, which may exist."""
    if not target.exists():
        temporary.rename(target)
        return
    lost = sorted(
        {file.name for file in target.iterdir()} - {file.name for file in temporary.iterdir()}
    )
    if lost:
        raise WriteError(
            target,
            f"holds files that this output does not replace ({', '.join(lost[:5])}"
            f"{', ...' if len(lost) > 5 else ''}); choose another folder",
        )
    aside = _temporary(target)
    target.rename(aside)
    try:
        temporary.rename(target)
    except OSError:
        aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _temporary(target: Path) -> Path:
    """Name a file beside ``target`` that nobody else uses; short even for a long name."""
    ending = ".nii.gz" if target.name.lower().endswith(".nii.gz") else target.suffix[:16]
    return target.with_name(
        f"{_stem(target)}{_host()}-{os.getpid()}-{secrets.token_hex(4)}{ending}"
    )


def _stem(target: Path) -> str:
    """Begin the name of every temporary file of ``target``."""
    return f"{_PREFIX}{_digest(target.name, 12)}-"


def _host() -> str:
    """Tell machines apart that share a folder."""
    return _digest(socket.gethostname(), 8)


def _digest(text: str, length: int) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:length]


def _remove_abandoned(target: Path) -> None:
    """Delete what writers of ``target`` left behind when they were killed."""
    for file in target.parent.glob(f"{_stem(target)}*"):
        host, number = file.name.removeprefix(_stem(target)).split("-")[:2]
        try:
            age_s = time.time() - file.lstat().st_mtime
            dead = host == _host() and number.isdigit() and not _is_alive(int(number))
            if dead or age_s > _ABANDONED_AFTER_S:
                log.info("removing %s, left behind by a writer that was killed", file)
                _discard(file)
        except OSError as fault:  # another writer was quicker, or it is not ours to delete
            log.debug("could not remove %s: %s", file, fault)


def _is_alive(process: int) -> bool:
    """Tell whether a process of this machine is running."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _create(file: Path) -> int:
    """Make an empty file and return the mode that the umask gives to new files."""
    descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)


def _flush(file: Path, mode: int | None) -> None:
    """Force a finished file to the disk, with the mode of ordinary new files."""
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
    if mode is not None and stat.S_IMODE(file.stat().st_mode) != mode:
        file.chmod(mode)


def _flush_folder(folder: Path) -> None:
    """Force the new name itself to the disk, where the file system can do that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError as fault:
        log.debug("could not flush the folder %s: %s", folder, fault)
    finally:
        os.close(descriptor)


def _size(file: Path) -> int:
    """Return the bytes written so far, 0 where there is nothing."""
    try:
        if file.is_dir():
            return sum(part.stat().st_size for part in file.iterdir())
        return file.stat().st_size
    except OSError:
        return 0
