"""A lock holds between open files and ends when its file is closed."""

from __future__ import annotations

import os
from pathlib import Path

from slicekit.io.locking import lock


def test_a_file_is_locked_once_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    one, other = (os.open(path, os.O_RDWR | os.O_CREAT) for _ in range(2))
    assert lock(one, wait=False)
    assert not lock(other, wait=False)
    os.close(one)
    assert lock(other, wait=True)
    os.close(other)
