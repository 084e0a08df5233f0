"""Stored numbers become finite intensities or whole ids, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slicekit.errors import DataWarning, LabelError
from slicekit.io.values import as_intensities, as_label_ids, as_levels

HERE = Path("scan.nii")


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", "<i2", "<u4", "<i4", "<f4"])
def test_native_numbers_are_not_copied(dtype: str) -> None:
    stored = np.arange(24).astype(dtype).reshape(2, 3, 4)
    assert np.shares_memory(as_intensities(HERE, stored), stored)


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [(-(2**31), 2**31 - 1, np.int32), (-(2**31) - 1, 0, np.float32), (0, 2**31, np.float32)],
)
def test_64_bits_become_32_where_they_fit(low: int, high: int, dtype: type) -> None:
    values = as_intensities(HERE, np.array([low, high], dtype=np.int64))
    assert values.dtype == dtype
    assert values[0] == dtype(low)


def test_scaling_is_done_in_double_precision() -> None:
    stored = np.arange(600_000, dtype=np.int32)
    slope, inter = 0.1, -1024.3
    wanted = (stored * slope + inter).astype(np.float32)
    assert np.array_equal(as_intensities(HERE, stored, slope=slope, inter=inter), wanted)


def test_scaled_overflow_is_mended_too() -> None:
    with pytest.warns(DataWarning, match="1 of 3 voxels"):
        values = as_intensities(HERE, np.array([1.0, 2.0, 1e30], np.float32), slope=1e20)
    assert np.isfinite(values).all()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("code", ["i1", "u2", "i4", "i8", "u8", "f4", "f8"])
def test_ids_of_any_type(code: str, order: str) -> None:
    stored = np.array([0, 3, 77], dtype=np.dtype(code).newbyteorder(order))
    ids = as_label_ids("mask", stored)
    assert ids.dtype == np.uint8
    assert ids.tolist() == [0, 3, 77]


@pytest.mark.parametrize("values", [["a"], [1j]])
def test_what_is_no_number_is_no_id(values: list[object]) -> None:
    with pytest.raises(LabelError, match="mask: labels must be whole numbers"):
        as_label_ids("mask", np.array(values))


@pytest.mark.parametrize("slope", [1.01, 0.5, np.nan])
def test_scaled_ids_far_from_whole_are_refused(slope: float) -> None:
    with pytest.raises(LabelError):
        as_label_ids("mask", np.array([0, 1, 3], np.uint8), slope=slope)


def test_scaling_by_a_whole_number_needs_no_note() -> None:
    assert as_label_ids("mask", np.array([0, 1], np.uint8), slope=2, inter=1).tolist() == [1, 3]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint8])
def test_levels_are_the_nearest(dtype: type) -> None:
    values = np.array([[0, 1], [1, 0]], dtype) if dtype is np.uint8 else np.linspace(0, 1, 9)[None]
    levels = as_levels(values.astype(dtype), 200)
    assert levels.dtype == np.uint8
    assert np.abs(levels / 200 - values).max() <= 0.0025 + 1e-6
    with pytest.raises(ValueError, match="a map holds values from 0 to 1"):
        as_levels(values.astype(dtype) + 1, 200)
