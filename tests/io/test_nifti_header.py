"""Whatever a header holds, it is read right or refused by name; never another fault."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from slicekit.errors import DataWarning, ReadError
from slicekit.io import read_labels, read_volume, write_labels


@pytest.mark.parametrize("version", [1, 2])
def test_bytes_at_random_are_refused_or_lead_to_a_sound_mask(
    tmp_path: Path, to_bytes: Callable[..., bytes], voxels: np.ndarray, version: int
) -> None:
    rng = np.random.default_rng(version)
    whole = to_bytes(voxels, version=version)
    path, out = tmp_path / "scan.nii", tmp_path / "mask.nii"
    outcomes = set()
    for _ in range(250):
        content = bytearray(whole)
        for position in rng.integers(0, 348 if version == 1 else 540, 3):
            content[position] = rng.choice([0, 127, 128, 255, rng.integers(256)])
        path.write_bytes(content)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                volume = read_volume(path, memory_budget_bytes=1 << 26)
            except ReadError as fault:
                assert fault.path == path
                outcomes.add("refused")
                continue
            outcomes.add("read")
            write_labels(out, volume.array > 0, like=volume, overwrite=True)
            assert np.array_equal(read_labels(out, like=volume).array, volume.array > 0)
        assert {entry.category for entry in caught} <= {DataWarning}
    assert outcomes == {"read", "refused"}


def test_nifti_of_both_versions_and_byte_orders_says_the_same(
    make_nifti: Callable[..., Path], voxels: np.ndarray
) -> None:
    reference = read_volume(make_nifti(voxels))
    for version in (1, 2):
        for order in "<>":
            path = make_nifti(voxels.astype(f"{order}i2"), version=version, name="b.nii")
            volume = read_volume(path)
            assert np.array_equal(volume.array, reference.array)
            assert np.allclose(volume.affine, reference.affine, atol=1e-5)
