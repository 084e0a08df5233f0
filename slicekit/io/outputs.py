"""Refuse an output that must not be written, before anything is computed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from slicekit.errors import FileError, WriteError
from slicekit.io.atomic import why_not_written
from slicekit.io.dicom.source import DicomSource
from slicekit.volume import Volume


def expect_writable(
    path: str | Path, *, overwrite: bool = False, inputs: Iterable[str | Path] = ()
) -> Path:
    """Refuse an output that must not or cannot be written, before anything is computed.

    Args:
        path: The file or folder that is going to be written; it need not exist, nor its parent.
        overwrite: Whether something of that name may be replaced.
        inputs: Files and folders that are read for this output; none of them may be ``path``.

    Returns:
        ``path`` as a ``Path``.

    Raises:
        WriteError: ``path`` is an input, a symbolic link, exists already (without
            ``overwrite``), or lies in a folder that cannot be written.
    """
    target = Path(path)
    try:
        _expect_writable(target, overwrite, inputs)
    except FileError:
        raise
    except OSError as fault:
        raise WriteError(target, why_not_written(fault, target)) from fault
    return target


def files_behind(volume: Volume) -> Sequence[Path]:
    """Return the files that a volume was read from, which are never written over."""
    if isinstance(volume.source, DicomSource):
        return volume.source.paths()
    origin = getattr(volume.source, "path", None)
    return () if origin is None else (Path(origin),)


def _expect_writable(target: Path, overwrite: bool, inputs: Iterable[str | Path]) -> None:
    """Do the work of ``expect_writable``; a folder that may not be entered raises as it does."""
    for source in map(Path, inputs):
        if _is_same(target, source):
            raise WriteError(
                target, "is the input itself and is never overwritten; choose another output name"
            )
    if target.is_symlink():
        raise WriteError(
            target, "is a symbolic link, which is never written through; name the real file"
        )
    if target.exists() and not overwrite:
        raise WriteError(
            target, "exists already; choose another name, or say --overwrite (overwrite=True)"
        )
    folder = target.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise WriteError(target, f"cannot be written because {folder} is not a folder")
    as_effective = os.access in os.supports_effective_ids
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=as_effective):
        raise WriteError(
            target, f"cannot be written because the folder {folder} is read-only; choose another"
        )


def _is_same(one: Path, other: Path) -> bool:
    """Tell whether two paths name one file, through links and differing spellings too."""
    try:
        return one.samefile(other)
    except OSError:
        return os.path.abspath(one) == os.path.abspath(other)  # noqa: PTH100 - keep links
