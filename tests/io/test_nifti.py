"""Any orientation, type and byte order loads to one picture, and goes back to its own grid."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st

from slicekit.errors import GeometryError, LabelError, ReadError
from slicekit.io import read_labels, read_volume, stored_slice, write_labels
from slicekit.volume import Volume

MakeNifti = Callable[..., Path]


def place_in_itk(path: Path) -> list[float] | None:
    """Origin, spacing and direction, or ``None`` where ITK refuses the grid (shear)."""
    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError:
        return None
    return [*image.GetOrigin(), *image.GetSpacing(), *image.GetDirection()]


def expect_on_the_same_voxels(out: Path, image: Path, truth_ijk: np.ndarray) -> None:
    """Two other readers agree that a label map lies on the image, voxel for voxel."""
    labels, scan = nibabel.load(out), nibabel.load(image)
    assert labels.shape == scan.shape
    assert (labels.affine == scan.affine).all()
    assert (np.asarray(labels.dataobj) == truth_ijk.reshape(labels.shape)).all()
    for field in ("qform_code", "sform_code", "xyzt_units", "pixdim"):
        assert np.array_equal(labels.header[field], scan.header[field]), field
    assert (labels.dataobj.slope, labels.dataobj.inter) == (1, 0)
    assert place_in_itk(out) == place_in_itk(image)
    if place_in_itk(out) is not None:
        array = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(out)))
        assert (truth_ijk.reshape(array.T.shape) == array.T).all()


def test_inside_all_scans_run_to_head_back_and_left(
    make_nifti: MakeNifti, voxels: np.ndarray, any_order: np.ndarray
) -> None:
    volume = read_volume(make_nifti(voxels, any_order))
    # columns z, y, x against rows right, front, head: to the left, to the back, to the head
    assert volume.affine[:3, :3].tolist() == [[0, 0, -1.5], [0, -1.25, 0], [3, 0, 0]]
    assert volume.spacing_mm == (3.0, 1.25, 1.5)


def test_world_position_of_every_voxel_is_kept(
    make_nifti: MakeNifti, voxels: np.ndarray, any_affine: np.ndarray
) -> None:
    volume = read_volume(make_nifti(voxels, any_affine))
    stored = nibabel.load(make_nifti(voxels, any_affine))
    value_at = {int(voxels[ijk]): stored.affine @ (*ijk, 1) for ijk in np.ndindex(voxels.shape)}
    for zyx in np.ndindex(volume.shape):
        assert np.allclose(volume.affine @ (*zyx, 1), value_at[int(volume.array[zyx])], atol=1e-9)


def test_all_orders_of_one_patient_are_one_volume(
    make_nifti: MakeNifti, voxels: np.ndarray, any_order: np.ndarray
) -> None:
    """The patient is fixed in space; only the file's axes differ."""
    patient = nibabel.Nifti1Image(voxels, np.diag([1.5, 1.25, 3.0, 1.0]))
    reference = read_volume(make_nifti(voxels, patient.affine))
    wanted = nibabel.io_orientation(any_order)
    stored = patient.as_reoriented(
        nibabel.orientations.ornt_transform(nibabel.io_orientation(patient.affine), wanted)
    )
    volume = read_volume(make_nifti(np.asarray(stored.dataobj), stored.affine, name="b.nii"))
    assert np.array_equal(volume.array, reference.array)
    assert volume.array.flags.c_contiguous
    assert np.allclose(volume.affine, reference.affine)


@pytest.mark.parametrize("version", [1, 2])
def test_case_12_labels_land_on_the_voxels_they_were_made_from(
    make_nifti: MakeNifti, tmp_path: Path, voxels: np.ndarray, any_affine: np.ndarray, version: int
) -> None:
    image = make_nifti(voxels, any_affine, version=version)
    volume = read_volume(image)
    out = write_labels(tmp_path / "mask.nii.gz", (volume.array > 100) * 3, like=volume)
    expect_on_the_same_voxels(out, image, (voxels > 100) * 3)
    again = read_labels(out, like=volume)
    assert again.array.dtype == np.uint8
    assert np.array_equal(again.array, (volume.array > 100) * 3)
    assert np.array_equal(again.affine, volume.affine)


@settings(max_examples=40, deadline=None, database=None)
@given(
    angles=st.tuples(*[st.integers(-36, 36)] * 3),
    spacing=st.tuples(*[st.sampled_from([0.1, 0.7, 1.0, 5.0, 10.0])] * 3),
    shear=st.sampled_from([0.0, 0.0, 0.1, -0.4, 0.9]),
    mirrored=st.booleans(),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 3)),
)
def test_any_affine_survives_the_round_trip(
    tmp_path_factory: pytest.TempPathFactory,
    angles: tuple[int, int, int],
    spacing: tuple[float, float, float],
    shear: float,
    mirrored: bool,
    shape: tuple[int, int, int],
) -> None:
    folder = tmp_path_factory.mktemp("round")
    a, b, c = np.deg2rad(np.array(angles) * 5.0)
    turn = np.eye(3)
    for angle, (one, other) in zip((a, b, c), itertools.combinations(range(3), 2), strict=True):
        step = np.eye(3)
        step[one, one] = step[other, other] = np.cos(angle)
        step[one, other], step[other, one] = -np.sin(angle), np.sin(angle)
        turn = turn @ step
    affine = np.eye(4)
    affine[:3, :3] = turn @ [[-1 if mirrored else 1, shear, 0], [0, 1, 0], [0, 0, 1]] * spacing
    affine[:3, 3] = (100, -200, 50)
    stored = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    image = folder / "scan.nii.gz"
    nibabel.save(nibabel.Nifti1Image(stored, affine), image)
    with pytest.MonkeyPatch.context() as patch:  # one voxel is a constant image
        patch.setattr("slicekit.io.values.warn_about_data", lambda *_: None)
        volume = read_volume(image)
    out = write_labels(folder / "mask.nii.gz", volume.array, like=volume)
    expect_on_the_same_voxels(out, image, stored)


def test_equal_masks_make_equal_files(
    make_nifti: MakeNifti, tmp_path: Path, voxels: np.ndarray
) -> None:
    volume = read_volume(make_nifti(voxels))
    one, other = (
        write_labels(tmp_path / name, volume.array > 0, like=volume).read_bytes()
        for name in ("first.nii.gz", "second.nii.gz")
    )
    assert one == other


@pytest.mark.parametrize("name", ["mask.nii", "mask.nii.gz", "Maske é 1.NII.GZ"])
def test_name_decides_the_container(
    make_nifti: MakeNifti, tmp_path: Path, voxels: np.ndarray, name: str
) -> None:
    volume = read_volume(make_nifti(voxels))
    out = write_labels(tmp_path / "deep" / "er" / name, volume.array > 0, like=volume)
    assert (out.read_bytes()[:2] == b"\x1f\x8b") is name.lower().endswith(".gz")
    assert read_labels(out, like=volume).array.sum() == (voxels > 0).sum()


@pytest.mark.parametrize("shape", [(7, 6), (7, 6, 1), (7, 6, 5, 1), (7, 6, 5, 1, 1, 1)])
def test_trailing_axes_of_one_and_flat_files_come_back(
    make_nifti: MakeNifti, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    stored = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    image = make_nifti(stored)
    volume = read_volume(image)
    assert volume.shape == (*shape, 1)[:3][::-1]
    out = write_labels(tmp_path / "mask.nii.gz", volume.array, like=volume)
    assert nibabel.load(out).shape == shape
    assert (np.asarray(nibabel.load(out).dataobj) == stored).all()
    assert place_in_itk(out) == place_in_itk(image)


def test_one_volume_of_a_time_series_and_its_mask(
    make_nifti: MakeNifti, tmp_path: Path, voxels: np.ndarray
) -> None:
    series = np.stack([voxels, voxels + 1, voxels + 2], axis=-1)
    for name in ("series.nii", "series.nii.gz"):
        path = make_nifti(series, name=name)
        for index in range(3):
            volume = read_volume(path, volume_index=index)
            assert volume.array.min() == voxels.min() + index
        out = write_labels(tmp_path / "mask.nii.gz", volume.array > 0, like=volume, overwrite=True)
        assert nibabel.load(out).shape == voxels.shape
        assert (nibabel.load(out).affine == nibabel.load(path).affine).all()
        for index in (-1, 3):
            with pytest.raises(ReadError, match="numbered 0 to 2"):
                read_volume(path, volume_index=index)


def test_a_label_map_in_another_axis_order_is_on_the_same_grid(
    make_nifti: MakeNifti, voxels: np.ndarray
) -> None:
    image = nibabel.Nifti1Image(voxels, np.diag([1.5, 1.25, 3.0, 1.0]))
    volume = read_volume(make_nifti(voxels, image.affine))
    turned = image.as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    ids = (np.asarray(turned.dataobj) > 0).astype(np.uint8)
    labels = read_labels(make_nifti(ids, turned.affine, name="turned.nii.gz"), like=volume)
    assert np.array_equal(labels.array, volume.array > 0)


def test_a_tie_at_45_degrees_is_broken_as_the_image_broke_it(
    make_nifti: MakeNifti, voxels: np.ndarray
) -> None:
    """The label's affine differs by rounding only; on its own it might take the other axis."""
    half = np.sqrt(0.5)
    for noise in (-1e-6, 1e-6):
        affine = np.eye(4)
        affine[1:3, 1:3] = [[half, -half], [half, half]]
        volume = read_volume(make_nifti(voxels, affine))
        affine[1, 1] += noise
        affine[2, 2] -= noise
        ids = (voxels > 0).astype(np.uint8)
        labels = read_labels(make_nifti(ids, affine, name="mask.nii.gz"), like=volume)
        assert np.array_equal(labels.array, volume.array > 0)


def test_a_cropped_volume_is_written_where_it_lies(
    make_nifti: MakeNifti, tmp_path: Path, voxels: np.ndarray
) -> None:
    whole = read_volume(make_nifti(voxels))
    affine = whole.affine.copy()
    affine[:3, 3] += affine[:3, 0]
    cropped = Volume(whole.array[1:], affine, whole.source)
    out = write_labels(tmp_path / "mask.nii.gz", cropped.array > 0, like=cropped)
    assert read_labels(out, like=cropped).same_grid(cropped)
    with pytest.raises(GeometryError, match=r"mask\.nii\.gz"):
        read_labels(out, like=whole)


def test_source_travels_between_processes(
    make_nifti: MakeNifti, tmp_path: Path, voxels: np.ndarray
) -> None:
    image = make_nifti(voxels)
    volume = pickle.loads(pickle.dumps(read_volume(image)))
    out = write_labels(tmp_path / "mask.nii.gz", volume.array > 0, like=volume)
    expect_on_the_same_voxels(out, image, voxels > 0)


def test_refused_label_maps_name_the_file(make_nifti: MakeNifti, voxels: np.ndarray) -> None:
    volume = read_volume(make_nifti(voxels))
    ones = np.ones(voxels.shape)
    for number, (array, why) in enumerate(
        [
            (ones * 0.5, "whole numbers"),
            (ones * 1.0000001, "whole numbers"),
            (ones * -1, "from 0 to 65535"),
            (ones * 65_536, "from 0 to 65535"),
            (ones * np.nan, "NaN"),
        ]
    ):
        path = make_nifti(array, name=f"label{number}.nii.gz")
        with pytest.raises(LabelError, match=why) as caught:
            read_labels(path, like=volume)
        assert str(path) in str(caught.value)
    path = make_nifti(ones.astype(np.uint8)[1:], name="short.nii.gz")
    with pytest.raises(GeometryError, match=r"short\.nii\.gz is \(5, 6, 6\)"):
        read_labels(path, like=volume)


@pytest.mark.parametrize("step", [2.0, -2.0])
def test_stored_slice_counts_as_the_file_does(tmp_path: Path, step: float) -> None:
    stored = np.zeros((4, 5, 6), dtype=np.int16) + np.arange(6, dtype=np.int16)
    file = tmp_path / "scan.nii.gz"
    nibabel.save(nibabel.Nifti1Image(stored, np.diag([1.0, 1.0, step, 1.0])), file)
    volume = read_volume(file)
    for z in range(6):
        assert volume.array[z, 0, 0] == stored_slice(volume, z)
