"""Faulty and odd headers, numbered as in the project's list of fault cases."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from slicekit.errors import DataWarning, ReadError
from slicekit.io import read_labels, read_volume, write_labels
from slicekit.volume import Volume

MakeNifti = Callable[..., Path]


def refusal(path: Path, **options: Any) -> str:
    """Read a file that must be refused, and return the cause."""
    with pytest.raises(ReadError) as caught:
        read_volume(path, **options)
    return caught.value.cause


def noted(path: Path, *words: str) -> Volume:
    """Read a file that is doubtful; each of the words is in one of the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        volume = read_volume(path)
    assert all(entry.category is DataWarning for entry in caught)
    texts = [str(entry.message) for entry in caught]
    assert all(text.startswith(f"{path}: ") for text in texts)
    for word in words:
        assert any(word in text for text in texts), (word, texts)
    assert bool(texts) is bool(words)
    return volume


def written(volume: Volume, folder: Path) -> nibabel.Nifti1Image:
    """Write a mask for a volume and load it with nibabel, whose own checks stay quiet."""
    out = write_labels(folder / "mask.nii.gz", volume.array > 0, like=volume, overwrite=True)
    image = nibabel.load(out)
    assert np.isfinite(image.affine).all()
    assert all(np.isfinite(image.header[f]).all() for f in ("pixdim", "qoffset_x", "quatern_b"))
    return image


@pytest.mark.parametrize("value", [0.0, -1.5, math.nan, 1e9])
def test_case_08_impossible_spacing(
    make_nifti: MakeNifti, tmp_path: Path, voxels: np.ndarray, value: float
) -> None:
    volume = noted(make_nifti(voxels, pixdim_1=value), "pixdim", "affine 1.5 x 1.25 x 3")
    assert volume.spacing_mm == (3.0, 1.25, 1.5)
    assert written(volume, tmp_path).header["pixdim"][1] == (1.5 if value != 1e9 else 1e9)
    cause = refusal(make_nifti(voxels, pixdim_1=value, sform_code=0))
    assert "no place in space" in cause
    cause = refusal(make_nifti(voxels, pixdim_1=value, sform_code=0, qform_code=0))
    assert "no spacing is known" in cause


@pytest.mark.parametrize("row", [[math.nan] * 4, [0, 0, 0, 0], [math.inf, 0, 0, 1]], ids=str)
def test_case_09_unusable_sform(
    make_nifti: MakeNifti, tmp_path: Path, voxels: np.ndarray, row: list[float]
) -> None:
    volume = noted(make_nifti(voxels, srow_y=row), "its sform", "qform is used instead")
    good = read_volume(make_nifti(voxels, name="good.nii"))
    assert np.allclose(volume.affine, good.affine, atol=1e-5)
    image = written(volume, tmp_path)
    assert (image.header["sform_code"], image.header["qform_code"]) == (0, 1)
    assert "sform" in refusal(make_nifti(voxels, srow_y=row, qform_code=0))
    cause = refusal(make_nifti(voxels, srow_y=row, quatern_b=math.nan))
    assert "its sform" in cause
    assert "its qform" in cause


def test_case_09_unusable_qform_is_not_written_on(
    make_nifti: MakeNifti, tmp_path: Path, voxels: np.ndarray
) -> None:
    for code in (0, 1):
        path = make_nifti(voxels, quatern_c=math.nan, qoffset_x=math.nan, qform_code=code)
        volume = noted(path, *["its qform is not usable"] * code)
        image = written(volume, tmp_path)
        assert (image.header["sform_code"], image.header["qform_code"]) == (1, 0)
        assert (image.affine == nibabel.load(make_nifti(voxels)).affine).all()
    assert "its qform" in refusal(make_nifti(voxels, quatern_b=7, sform_code=0))


def test_case_10_forms_that_disagree(
    make_nifti: MakeNifti, tmp_path: Path, voxels: np.ndarray
) -> None:
    path = make_nifti(voxels, qoffset_x=95, qform_code=3, sform_code=4)
    volume = noted(path, "disagree (by up to 5); the sform is used")
    image, scan = written(volume, tmp_path), nibabel.load(path)
    assert (image.header["sform_code"], image.header["qform_code"]) == (4, 3)
    assert (image.get_qform() == scan.get_qform()).all()
    assert (image.get_sform() == scan.get_sform()).all()
    assert np.allclose(volume.affine, read_volume(make_nifti(voxels)).affine)
    noted(make_nifti(voxels, qoffset_x=90.0005))  # rounding is no disagreement


def test_case_11_no_form_at_all(make_nifti: MakeNifti, tmp_path: Path, voxels: np.ndarray) -> None:
    path = make_nifti(voxels, None, pixdim_1=1.5, pixdim_2=1.25, pixdim_3=3)
    volume = noted(path, "left and right")
    assert volume.spacing_mm == (3.0, 1.25, 1.5)
    image, scan = written(volume, tmp_path), nibabel.load(path)
    assert (image.affine == scan.affine).all()
    different = [
        key for key in scan.header if not np.array_equal(scan.header[key], image.header[key])
    ]
    assert set(different) <= {"datatype", "bitpix", "scl_slope", "scl_inter", "magic"}
    assert (np.asarray(image.dataobj) == (voxels > 0)).all()


def test_units_of_metres(make_nifti: MakeNifti, tmp_path: Path, voxels: np.ndarray) -> None:
    affine = np.diag([-0.0015, 0.00125, 0.003, 1])
    path = make_nifti(voxels, affine, xyzt_units=1)
    volume = noted(path, "times 1000")
    assert volume.spacing_mm == pytest.approx((3.0, 1.25, 1.5))
    image = written(volume, tmp_path)
    assert image.header["xyzt_units"] == 1
    assert (image.affine == nibabel.load(path).affine).all()


@pytest.mark.parametrize(
    ("slope", "inter", "note"),
    [
        (1, 0, None),
        (0, 0, None),
        (0, -1024, "means unscaled"),
        (math.nan, math.nan, "used as stored"),
        (math.nan, 0, "used as stored"),
        (0, math.nan, "used as stored"),
    ],
)
def test_case_13_unscaled(
    make_nifti: MakeNifti, voxels: np.ndarray, slope: float, inter: float, note: str | None
) -> None:
    path = make_nifti(voxels, scl_slope=slope, scl_inter=inter)
    volume = noted(path, *([note] if note else []))
    assert volume.array.dtype == np.int16
    assert sorted(volume.array.ravel()) == sorted(voxels.ravel())


@pytest.mark.parametrize(("slope", "inter"), [(2, -1024), (-1, 0), (0.1, 3.5), (1, -1024)])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "u1", "<f4", "<i8"])
def test_case_13_scaled_values_and_plain_masks(
    make_nifti: MakeNifti, tmp_path: Path, slope: float, inter: float, dtype: str
) -> None:
    stored = np.arange(7 * 6 * 5).reshape(7, 6, 5).astype(dtype)
    path = make_nifti(stored, scl_slope=slope, scl_inter=inter)
    volume = read_volume(path)
    wanted = stored.astype(np.float64) * np.float32(slope) + np.float32(inter)
    assert volume.array.dtype == np.float32
    assert sorted(volume.array.ravel()) == sorted(wanted.astype(np.float32).ravel())
    image = written(volume, tmp_path)
    assert (image.dataobj.slope, image.dataobj.inter) == (1, 0)
    assert (np.asarray(image.dataobj) == (wanted > 0)).all()


@pytest.mark.parametrize(
    ("slope", "inter"),
    [(math.inf, 0), (1, math.nan), (2, math.inf), (math.nan, -1024), (0, math.inf)],
)
def test_case_13_impossible_scaling(
    make_nifti: MakeNifti, voxels: np.ndarray, slope: float, inter: float
) -> None:
    assert "scl_slope" in refusal(make_nifti(voxels, scl_slope=slope, scl_inter=inter))


@pytest.mark.parametrize("offset", [0, 348, -352, math.nan, math.inf, 352.5, 1e6, 1e30])
@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_case_14_voxels_that_begin_nowhere(
    make_nifti: MakeNifti, voxels: np.ndarray, offset: float, name: str
) -> None:
    cause = refusal(make_nifti(voxels, name=name, vox_offset=offset))
    assert "damaged header" in cause or "truncated" in cause


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_case_14_odd_offset_is_used_only_if_the_length_fits(
    make_nifti: MakeNifti, voxels: np.ndarray, to_bytes: Callable[..., bytes], name: str
) -> None:
    path = make_nifti(voxels, name=name, vox_offset=353)
    with pytest.warns(DataWarning, match="no multiple of 16"):
        assert "truncated" in refusal(path)
    plain = path.with_name("odd.nii")
    content = to_bytes(voxels, vox_offset=353)
    plain.write_bytes(content[:352] + b"\0" + content[352:])
    assert noted(plain, "no multiple of 16").array.max() == voxels.max()


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (0, "unknown"),
        (1, "one bit"),
        (32, "complex64"),
        (128, "RGB"),
        (1792, "complex128"),
        (2048, "complex256"),
        (2304, "RGBA"),
        (9999, "no such type"),
        (-4, "no such type"),
    ],
)
def test_case_15_types_that_are_no_numbers(
    make_nifti: MakeNifti, voxels: np.ndarray, code: int, name: str
) -> None:
    cause = refusal(make_nifti(voxels, datatype=code))
    assert f"datatype {code}" in cause
    assert name in cause


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("code", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
@pytest.mark.parametrize("version", [1, 2])
def test_case_15_all_types_and_byte_orders(
    make_nifti: MakeNifti, code: str, order: str, version: int
) -> None:
    stored = (np.arange(7 * 6 * 5).reshape(7, 6, 5) % 120).astype(
        np.dtype(code).newbyteorder(order)
    )
    path = make_nifti(stored, name="scan.nii", version=version)
    volume = read_volume(path)
    assert sorted(volume.array.ravel()) == sorted(stored.ravel())
    kept = code in ("u1", "i1", "u2", "i2", "u4", "i4")
    assert volume.array.dtype == (
        code if kept else "i4" if code[1:] == "8" and code[0] != "f" else "f4"
    )
    assert volume.array.dtype.isnative
    ids = read_labels(path, like=volume)
    assert np.array_equal(ids.array, volume.array)


def test_case_15_whole_numbers_too_large_for_32_bits(make_nifti: MakeNifti) -> None:
    stored = np.array([[[0, 2**40]]], dtype=np.int64)
    volume = read_volume(make_nifti(stored))
    assert volume.array.dtype == np.float32
    assert volume.array.max() == 2.0**40
    assert noted(make_nifti(stored, bitpix=8), "bitpix 8").array.max() == 2.0**40


def test_case_16_time_series_and_more(make_nifti: MakeNifti, voxels: np.ndarray) -> None:
    series = np.stack([voxels] * 3, axis=-1)
    cause = refusal(make_nifti(series))
    assert "3 volumes" in cause
    assert "--volume N" in cause
    for shape in [(7, 6, 5, 1, 2), (7, 6, 5, 3, 2), (1, 1, 1, 1, 4, 4)]:
        assert "not one scalar volume" in refusal(make_nifti(np.zeros(shape, np.uint8)))


def test_case_17_values_that_are_not_finite(make_nifti: MakeNifti) -> None:
    stored = np.arange(60, dtype=np.float32).reshape(5, 4, 3)
    stored[1, 1, :3] = (np.nan, np.inf, -np.inf)
    for dtype in ("<f4", ">f4", "<f8"):
        volume = noted(make_nifti(stored.astype(dtype)), "3 of 60 voxels", "taken as 0")
        assert volume.array.dtype == np.float32
        assert np.isfinite(volume.array).all()
        assert np.count_nonzero(volume.array == 0) == 4
    noted(make_nifti(stored.astype(float) * 1e300), "NaN or infinite")  # too large for float32
    assert "none of its 60 voxels" in refusal(make_nifti(stored * np.nan))


def test_case_17_nothing_to_see(make_nifti: MakeNifti) -> None:
    assert noted(make_nifti(np.full((5, 4, 3), -1024, np.int16)), "every voxel is -1024")
    for stored in (np.linspace(0, 1, 60).reshape(5, 4, 3), np.arange(60, dtype=np.uint8)[:, None]):
        assert np.isfinite(noted(make_nifti(stored)).array).all()


@pytest.mark.parametrize(("dtype", "slope"), [("u1", 1.1803921), ("i2", 0.009155273)])
def test_case_21_labels_under_a_copied_ct_header(
    make_nifti: MakeNifti, tmp_path: Path, dtype: str, slope: float
) -> None:
    """The input's scaling never reaches the labels: ids come back exactly, in their own type."""
    stored = np.arange(7 * 6 * 5).reshape(7, 6, 5).astype(dtype)
    volume = read_volume(make_nifti(stored, scl_slope=slope, scl_inter=-1024, cal_max=300))
    for largest, wanted in ((3, np.uint8), (300, np.uint16)):
        ids = np.resize([0, 1, largest], volume.shape)
        out = write_labels(tmp_path / "mask.nii.gz", ids, like=volume, overwrite=True)
        image = nibabel.load(out)
        assert image.get_data_dtype() == wanted
        assert (image.header["cal_max"], image.dataobj.slope) == (0, 1)
        assert np.array_equal(np.unique(image.get_fdata()), [0, 1, largest])
        assert np.array_equal(read_labels(out, like=volume).array, ids)


def test_case_21_ids_that_a_copied_slope_has_bent(make_nifti: MakeNifti) -> None:
    """Others do it wrong: 300 reads back as 300.00001 and is still 300, once and aloud."""
    slope = np.float32(300 / 255)
    stored = np.array([[[0, 255]]], dtype=np.uint8)
    path = make_nifti(stored, scl_slope=slope)
    volume = read_volume(path)
    with pytest.warns(DataWarning, match="stored scaled and were rounded"):
        labels = read_labels(path, like=volume)
    assert sorted(labels.array.ravel()) == [0, 300]
