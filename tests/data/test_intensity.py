"""What is said of intensities that cannot be HU, and what 8-bit values become."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pytest

from slicekit.data.intensity import as_expected, from_gray
from slicekit.errors import DataWarning, ReadError
from slicekit.io import FolderSource
from slicekit.recipes import InputRecipe
from slicekit.volume import Volume

CT = InputRecipe(windows=((-125, 275), (0, 160), (90, 260)), spacing_mm=2.0)
UNIT = ((0.0, 1.0),) * 3
MR = InputRecipe(modality="MR", windows=UNIT, spacing_mm=2.0, body_above_hu=None)
GRAY = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)


def pictures(array: np.ndarray = GRAY) -> Volume:
    """A folder of 8-bit pictures of which nobody said what they show."""
    names = tuple(f"{n}.png" for n in range(len(array)))
    return Volume(array, np.eye(4), FolderSource("folder", names, None, gray_range=None))


def test_pictures_are_taken_to_show_the_first_window_and_that_is_said() -> None:
    with pytest.warns(DataWarning, match=r"case 7: .*-125 to 275 HU.*--gray-range LO HI"):
        seen = as_expected(pictures(), CT, name="case 7")
    np.testing.assert_allclose(seen.array, GRAY * (400 / 255) - 125, atol=1e-4)
    assert seen.source.gray_range == (-125, 275)


def test_pictures_with_a_range_are_left_alone() -> None:
    known = from_gray(pictures(), -1000, 400)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert as_expected(known, CT) is known


@pytest.mark.parametrize(
    "values",
    [
        np.linspace(0, 255, 64),
        np.linspace(0, 1, 64),
        np.full(64, -1024),
        np.linspace(0, 3000, 64),
        np.linspace(-610, 30393, 64),
    ],
    ids=["8 bits", "0 to 1", "constant", "without offset", "no scanner's HU"],
)
def test_values_that_are_no_hu_are_used_with_a_warning(values: np.ndarray) -> None:
    scan = Volume(values.reshape(4, 4, 4), np.eye(4))
    with pytest.warns(DataWarning, match="cannot be HU of a body"):
        assert as_expected(scan, CT) is scan


@pytest.mark.parametrize(("ours", "theirs"), [(CT, "MR"), (MR, "CT"), (CT, "PT")])
def test_a_scan_that_says_it_is_another_kind_is_used_with_a_warning(
    ours: InputRecipe, theirs: str
) -> None:
    @dataclass
    class Source:
        modality: str

    values = np.linspace(-1024, 1800, 64).reshape(4, 4, 4)
    with pytest.warns(DataWarning, match=f"modality {theirs} by its DICOM.*{ours.modality}") as one:
        as_expected(Volume(values, np.eye(4), Source(theirs)), ours)
    assert len(one) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        as_expected(Volume(values, np.eye(4), Source(ours.modality)), ours)
        as_expected(Volume(values, np.eye(4), Source("OT")), ours)


def test_an_implant_is_no_reason_to_warn() -> None:
    array = np.full((10, 20, 20), -100, dtype=np.int16)
    array[:, 5:9, 5:9] = 30000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        as_expected(Volume(array, np.eye(4)), CT)


@pytest.mark.parametrize(("low", "high"), [(-1024, 1800), (-125, 275), (-3024, 200)])
def test_hu_are_silent(low: int, high: int) -> None:
    scan = Volume(np.linspace(low, high, 64).reshape(4, 4, 4), np.eye(4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert as_expected(scan, CT) is scan


def test_one_column_of_air_is_no_reason_to_warn() -> None:
    """A sample of every n-th voxel of such a scan would see nothing but air."""
    array = np.full((600, 32, 32), 40, dtype=np.int16)
    array[:, :, 0] = -1000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        as_expected(Volume(array, np.eye(4)), CT)


def test_mr_becomes_a_share_of_its_own_range() -> None:
    values = np.arange(1000, dtype=np.int16).reshape(10, 10, 10) * 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        unit = as_expected(Volume(values, np.eye(4)), MR).array
        louder = as_expected(Volume(values * 7 + 40, np.eye(4)), MR).array
        flat = as_expected(Volume(np.full((2, 2, 2), 7.0), np.eye(4)), MR).array
    assert (unit.min(), unit.max()) == (0.0, 1.0)
    assert (unit == 0).mean() == pytest.approx(0.005, abs=0.002)
    np.testing.assert_allclose(unit, louder, atol=1e-6)  # whatever the scanner's unit
    assert np.isfinite(flat).all()


def test_eight_bit_values_of_other_files_take_a_gray_range_too() -> None:
    scan = Volume(GRAY, np.diag([3.0, 2.0, 2.0, 1.0]), source="kept")
    seen = from_gray(scan, -125, 275)
    assert (seen.array.dtype, seen.source) == (np.float32, "kept")
    assert (seen.array.min(), seen.array.max()) == (-125, 275)
    np.testing.assert_array_equal(seen.affine, scan.affine)


@pytest.mark.parametrize(
    ("array", "low", "high", "why"),
    [
        (GRAY.astype(np.int16) - 1, 0, 1, "values from -1 to 254, so they are not 8-bit"),
        (GRAY.astype(np.int16) * 2, 0, 1, "values from 0 to 510"),
        (GRAY, 275, -125, "the lower first, got 275, -125"),
        (GRAY, np.nan, 1, "the lower first"),
    ],
)
def test_a_gray_range_that_cannot_be_meant_is_refused(
    array: np.ndarray, low: float, high: float, why: str
) -> None:
    with pytest.raises(ReadError, match=rf"scan\.nii: .*{why}"):
        from_gray(Volume(array, np.eye(4)), low, high, name="scan.nii")
    if array is GRAY:
        with pytest.raises(ReadError, match="the lower first"):
            from_gray(pictures(), low, high)
