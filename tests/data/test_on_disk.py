"""Arrays on disk are the arrays, read-only, go when told, and what cannot be written is told."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from slicekit.data.on_disk import bytes_in_memory, keep_on_disk
from slicekit.errors import WriteError

ARRAY = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The system's folder for temporary files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_what_is_kept_is_mapped_and_equal(tmp_path):
    kept = keep_on_disk(ARRAY, tmp_path / "new" / "a.npy")
    assert isinstance(kept, np.memmap)
    assert not kept.flags.writeable
    np.testing.assert_array_equal(kept, ARRAY)
    del kept
    assert (tmp_path / "new" / "a.npy").is_file()


def test_a_temporary_file_goes_with_the_last_that_holds_the_array(temporary):
    one, other = keep_on_disk(ARRAY), keep_on_disk(ARRAY)
    np.testing.assert_array_equal(one, ARRAY)
    assert len(list(temporary.glob("slicekit-slices-*.npy"))) == 2
    del other
    part = one[1:]
    del one
    assert len(list(temporary.iterdir())) == 1
    np.testing.assert_array_equal(part, ARRAY[1:])
    del part
    assert not list(temporary.iterdir())


def test_a_temporary_file_goes_with_the_process_at_the_latest(temporary):
    code = (
        "import sys, tempfile, numpy as np; tempfile.tempdir = sys.argv[1]\n"
        "from slicekit.data.on_disk import keep_on_disk\n"
        "kept = keep_on_disk(np.zeros(3)); print(kept.filename); sys.held = kept"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(temporary)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(str(temporary))
    assert not list(temporary.iterdir())


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="file"):
        keep_on_disk(np.zeros(3), tmp_path / "file" / "a.npy")


def test_a_full_disk_is_named_and_nothing_is_left(temporary, monkeypatch):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(WriteError, match=r"slicekit-slices-\w+\.npy: .*No space left"):
        keep_on_disk(ARRAY)
    assert not list(temporary.iterdir())
    monkeypatch.setattr("tempfile.tempdir", str(temporary / "gone"))
    with pytest.raises(WriteError, match="gone"):
        keep_on_disk(ARRAY)


def test_what_lies_on_disk_takes_no_memory(tmp_path):
    kept = keep_on_disk(ARRAY, tmp_path / "a.npy")
    assert bytes_in_memory(ARRAY, None, kept, ARRAY) == 2 * ARRAY.nbytes
    assert bytes_in_memory() == 0
