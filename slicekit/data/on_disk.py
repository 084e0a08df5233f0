"""Arrays that lie in a file and are mapped into memory, for what does not fit a budget."""

from __future__ import annotations

import os
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicekit.errors import WriteError
from slicekit.io.atomic import why_not_written


def keep_on_disk(array: NDArray[Any], path: Path | None = None) -> NDArray[Any]:
    """Write an array to a .npy file and return it mapped from there, read-only.

    Args:
        array: What to keep.
        path: The file, which stays; a temporary one when ``None``, which goes with the last that
            holds the returned array, and with the process at the latest.

    Raises:
        WriteError: The disk cannot hold it.
    """
    file = _temporary_file() if path is None else path
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, array, allow_pickle=False)
    except OSError as fault:
        if path is None:
            file.unlink(missing_ok=True)
        raise WriteError(file, why_not_written(fault, file)) from fault
    kept: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    if path is None:
        weakref.finalize(kept, file.unlink, missing_ok=True)
    return kept


def bytes_in_memory(*arrays: NDArray[Any] | None) -> int:
    """Return how many bytes arrays take in memory; those on disk and ``None`` take nothing."""
    return sum(a.nbytes for a in arrays if a is not None and not isinstance(a, np.memmap))


def _temporary_file() -> Path:
    folder = Path(tempfile.gettempdir())
    try:
        number, name = tempfile.mkstemp(prefix="slicekit-slices-", suffix=".npy", dir=folder)
    except OSError as fault:
        raise WriteError(folder, why_not_written(fault, folder)) from fault
    os.close(number)
    return Path(name)
