"""Arrays that lie in a file and are mapped into memory, for what does not fit a budget."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicekit.errors import WriteError
from slicekit.io.atomic import why_not_written


def folder_of_this_process() -> Path:
    """Make a temporary folder that is removed when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="slicekit-slices-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def keep_on_disk(array: NDArray[Any], path: Path) -> NDArray[Any]:
    """Write an array to a .npy file and return it mapped from there, read-only.

    Raises:
        WriteError: The disk cannot hold it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, array, allow_pickle=False)
    except OSError as fault:
        raise WriteError(path, why_not_written(fault, path)) from fault
    kept: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return kept
