"""Arrays on disk are the arrays, read-only, and what cannot be written is told."""

from __future__ import annotations

import numpy as np
import pytest

from slicekit.data.on_disk import folder_of_this_process, keep_on_disk
from slicekit.errors import WriteError


def test_what_is_kept_is_mapped_and_equal(tmp_path):
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    kept = keep_on_disk(array, tmp_path / "new" / "a.npy")
    assert isinstance(kept, np.memmap)
    assert not kept.flags.writeable
    np.testing.assert_array_equal(kept, array)


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="file"):
        keep_on_disk(np.zeros(3), tmp_path / "file" / "a.npy")


def test_every_process_has_a_folder_of_its_own():
    assert folder_of_this_process() != folder_of_this_process()
