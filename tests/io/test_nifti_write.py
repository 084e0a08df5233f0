"""What is written is whole, plain, and refused where it must not be."""

from __future__ import annotations

import resource
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from slicekit.errors import LabelError, ShapeError, WriteError
from slicekit.io import read_labels, read_volume, write_labels, write_volume
from slicekit.io.nifti_write import write_nifti
from slicekit.volume import Volume

MakeNifti = Callable[..., Path]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "bool"])
def test_plain_volumes_keep_values_type_and_place(
    tmp_path: Path, any_affine: np.ndarray, dtype: str
) -> None:
    array = (np.arange(2 * 3 * 4).reshape(2, 3, 4) % 120).astype(dtype)
    volume = Volume(array, any_affine)
    path = write_volume(tmp_path / "phantom.nii.gz", volume)
    image = nibabel.load(path)
    assert image.get_data_dtype() == (np.uint8 if dtype == "bool" else np.dtype(dtype))
    assert (array == np.asarray(image.dataobj).T).all()
    for zyx in ((0, 0, 0), (1, 2, 3)):
        assert np.allclose(image.affine @ (*zyx[::-1], 1), any_affine @ (*zyx, 1), atol=1e-4)


def test_a_volume_that_runs_as_inside_reads_back_as_it_is(tmp_path: Path) -> None:
    affine = np.array([[0, 0, -1, 5], [0, -2, 0, 6], [3, 0, 0, 7], [0, 0, 0, 1]], dtype=float)
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    again = read_volume(write_volume(tmp_path / "phantom.nii", Volume(array, affine)))
    assert np.array_equal(again.array, array)
    assert np.array_equal(again.affine, affine)
    itk = SimpleITK.ReadImage(str(tmp_path / "phantom.nii"))
    assert itk.GetSpacing() == (1.0, 2.0, 3.0)


def test_more_slices_than_nifti_1_can_count(tmp_path: Path) -> None:
    array = np.zeros((32_768, 1, 2), dtype=np.uint8)
    array[-1, 0, 1] = 1
    path = write_volume(tmp_path / "long.nii.gz", Volume(array, np.eye(4)[:, [2, 1, 0, 3]]))
    assert isinstance(nibabel.load(path), nibabel.Nifti2Image)
    assert read_volume(path).array.sum() == 1


@pytest.mark.parametrize("dtype", ["int64", "float16", "complex64"])
def test_types_that_readers_do_not_share_are_refused(tmp_path: Path, dtype: str) -> None:
    with pytest.raises(ShapeError, match=dtype):
        write_volume(tmp_path / "a.nii.gz", Volume(np.zeros((1, 2, 3), dtype), np.eye(4)))
    assert list(tmp_path.iterdir()) == []


def test_labels_of_a_volume_without_a_file_lie_on_it(tmp_path: Path) -> None:
    array = np.arange(24).reshape(2, 3, 4)
    affine = np.array([[0, 0, -1, 5], [0, -2, 0, 6], [3, 0, 0, 7], [0, 0, 0, 1]], dtype=float)
    volume = Volume(array.astype(np.float32), affine)
    out = write_labels(tmp_path / "mask.nii.gz", volume.with_array(array), like=volume)
    assert np.array_equal(read_labels(out, like=volume).array, array)


@pytest.mark.parametrize(
    ("labels", "dtype"),
    [
        (np.array([[[0, 1], [0, 255]]]), np.uint8),
        (np.array([[[0, 1], [0, 256]]], dtype=np.int64), np.uint16),
        (np.array([[[0, 65_535], [0, 1]]], dtype=np.uint64), np.uint16),
        (np.array([[[True, False], [True, True]]]), np.uint8),
        (np.array([[[0.0, 2.0], [300.0, 1.0]]]), np.uint16),
    ],
)
def test_labels_take_the_smallest_type(tmp_path: Path, labels: np.ndarray, dtype: type) -> None:
    like = Volume(np.zeros(labels.shape), np.eye(4)[:, [2, 1, 0, 3]])
    out = write_labels(tmp_path / "mask.nii.gz", labels, like=like)
    image = nibabel.load(out)
    assert image.get_data_dtype() == dtype
    assert (labels == np.asarray(image.dataobj).T).all()


@pytest.mark.parametrize("bad", [0.5, -1.0, 65_536.0, np.nan, np.inf])
def test_what_is_no_label_is_not_written(tmp_path: Path, bad: float) -> None:
    labels = np.array([[[0.0, bad]]])
    like = Volume(np.zeros((1, 1, 2)), np.eye(4))
    with pytest.raises(LabelError):
        write_labels(tmp_path / "mask.nii.gz", labels, like=like)
    with pytest.raises(ShapeError):
        write_labels(tmp_path / "mask.nii.gz", labels[0], like=like)
    assert list(tmp_path.iterdir()) == []


def test_existing_output_and_input_are_safe(make_nifti: MakeNifti, voxels: np.ndarray) -> None:
    image = make_nifti(voxels)
    before = image.read_bytes()
    volume = read_volume(image)
    for overwrite in (False, True):
        with pytest.raises(WriteError, match="is the input itself"):
            write_labels(image, voxels.T, like=volume, overwrite=overwrite)
        with pytest.raises(WriteError, match="is the input itself"):
            write_volume(image, volume, overwrite=overwrite)
    assert image.read_bytes() == before
    out = write_labels(image.with_name("mask.nii"), volume.array > 0, like=volume)
    with pytest.raises(WriteError, match="exists already"):
        write_labels(out, volume.array > 100, like=volume)
    write_labels(out, volume.array > 100, like=volume, overwrite=True)
    assert read_labels(out, like=volume).array.sum() == (voxels > 100).sum()


@pytest.mark.parametrize("name", ["mask", "mask.mha", "mask.nrrd", "mask.gz", "mask.png"])
def test_other_names_are_refused(
    make_nifti: MakeNifti, tmp_path: Path, voxels: np.ndarray, name: str
) -> None:
    volume = read_volume(make_nifti(voxels))
    with pytest.raises(WriteError, match=r"end it in \.nii\.gz"):
        write_labels(tmp_path / name, volume.array > 0, like=volume)
    with pytest.raises(WriteError, match=r"end it in \.nii\.gz"):
        write_volume(tmp_path / name, volume)


def test_read_only_folder_is_a_write_error(
    make_nifti: MakeNifti,
    voxels: np.ndarray,
    open_folder: Path,
    as_nobody: Callable[[], AbstractContextManager[None]],
) -> None:
    volume = read_volume(make_nifti(voxels))
    open_folder.chmod(0o555)
    with as_nobody(), pytest.raises(WriteError, match="read-only"):
        write_labels(open_folder / "mask.nii.gz", volume.array > 0, like=volume)


def test_full_disk_leaves_the_old_mask(
    make_nifti: MakeNifti, tmp_path: Path, voxels: np.ndarray
) -> None:
    volume = read_volume(make_nifti(voxels))
    out = write_labels(tmp_path / "mask.nii", volume.array > 0, like=volume)
    before, names = out.read_bytes(), sorted(tmp_path.iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400, limits[1]))
    try:
        with pytest.raises(WriteError, match="free some space"):
            write_labels(out, volume.array > 5, like=volume, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert out.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == names


def test_a_disk_that_lies_is_noticed(
    make_nifti: MakeNifti, tmp_path: Path, voxels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = read_volume(make_nifti(voxels))

    def spoil(path: Path, *, head: bytes, planes: np.ndarray) -> None:
        path.write_bytes(head + np.zeros(planes.size, planes.dtype).tobytes())

    monkeypatch.setattr("slicekit.io.nifti_write._fill", spoil)
    with pytest.raises(WriteError, match="reads back wrong"):
        write_labels(tmp_path / "mask.nii", volume.array > 5, like=volume)
    assert not (tmp_path / "mask.nii").exists()


def test_nan_in_a_float_volume_is_written_as_it_is(tmp_path: Path) -> None:
    array = np.array([[[np.nan, 1.0]]], dtype=np.float32)
    path = write_nifti(tmp_path / "a.nii.gz", Volume(array, np.eye(4)))
    assert np.isnan(np.asarray(nibabel.load(path).dataobj)).sum() == 1
