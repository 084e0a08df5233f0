"""Real series and every odd one of the shared folder, as its index says."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from slicekit.errors import DataWarning, ReadError
from slicekit.io import read_labels, read_volume, write_labels, write_volume
from slicekit.labels import LabelSet
from slicekit.volume import Volume

OTHER_UID = "1.3.6.1.4.1.14519.5.2.1.9203.8273.254242588659825836950462054012"
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_itk(folder: Path) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def itk_values(image: sitk.Image, volume: Volume) -> np.ndarray:
    """Return another reader's voxels in the order of ``volume``, found by their millimetres."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    back = np.linalg.inv(TO_RAS @ affine) @ volume.affine  # (z, y, x) to (i, j, k)
    whole = np.round(back)
    corner = np.array([*volume.shape, 1]) - [1, 1, 1, 0]
    assert np.abs((back - whole) @ corner).max() < 1e-2
    shape = volume.shape
    z, y, x = np.ix_(*map(np.arange, shape))
    i, j, k = (
        (whole[row, 0] * z + whole[row, 1] * y + whole[row, 2] * x + whole[row, 3]).astype(int)
        for row in range(3)
    )
    return sitk.GetArrayViewFromImage(image)[k, j, i]


@pytest.mark.parametrize("name", ["crlm_1004", "totalseg_j2k"])
def test_real_series_are_read_as_another_reader_does(shared_data: Path, name: str) -> None:
    folder = shared_data / "dicom_series" / name
    volume = read_volume(folder)
    assert np.array_equal(volume.array, itk_values(read_itk(folder), volume))
    assert volume.array.dtype == np.int16


def test_labels_of_others_fit_the_series_they_were_made_for(shared_data: Path) -> None:
    volume = read_volume(shared_data / "dicom_series" / "totalseg_j2k")
    file = shared_data / "dicom_series" / "totalseg_j2k_labels.nii.gz"
    labels = read_labels(file, like=volume)
    inside = volume.array[labels.array > 0]
    assert inside.size == np.count_nonzero(nibabel.load(file).dataobj)
    assert np.median(inside) > 0 > np.median(volume.array)  # organs, not air


EDGE_VALUES = {
    "compressed": (256, 256, 4),
    "compressed_j2k": (256, 256, 4),
    "compressed_jpeg": (256, 256, 4),
    "compressed_jpegls": (256, 256, 4),
    "compressed_rle": (256, 256, 4),
    "stray_files": (3, 128, 128),
    "two_slices": (256, 256, 2),
}
EDGE_CAUSES = {
    "duplicate_position": r"2\.dcm and 2b\.dcm at -270 mm",
    "empty": r"README\.txt",
    "gantry_tilt": r"tilted by 14 degrees.*--allow-uneven",
    "missing_slice": r"10 mm between IM-0001-0009-0001\.dcm \(28\.1075\)",
    "rgb": r"IM-0001-0001-0001\.dcm is in colour .*, as 3 more files; export the series",
    "same_position": r"several slices in one place.*time series",
    "truncated_slice": r"2\.dcm: is truncated: 18,392 of the 32,768 bytes",
    "two_orientations": r"--series.*202 MR sagittal, 2 slices.*501 MR axial, 2 slices",
    "two_series": r"holds 2 series.*3 slices of 128 x 128.*1 slice of 128 x 128",
}


def test_the_index_and_the_tests_know_the_same_series(shared_data: Path) -> None:
    index = json.loads((shared_data / "edge" / "INDEX.json").read_text())["files"]
    verdicts = {
        Path(one["file"]).name: one["verdict"] for one in index if one["file"].startswith("dicom/")
    }
    assert set(verdicts) == set(EDGE_VALUES) | set(EDGE_CAUSES)
    assert all(verdicts[name] != "refuse" for name in EDGE_VALUES)
    assert all(verdicts[name] != "accept" for name in EDGE_CAUSES)


@pytest.mark.parametrize("name", EDGE_VALUES)
def test_odd_series_that_can_be_read(shared_data: Path, name: str) -> None:
    folder = shared_data / "edge" / "dicom" / name
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        volume = read_volume(folder)
    assert volume.shape == EDGE_VALUES[name]
    assert np.array_equal(volume.array, itk_values(read_itk(folder), volume))
    names = [str(one.message) for one in told]
    assert len(names) == (name == "stray_files")
    assert not names or "notes.txt" in names[0]


def test_all_compressions_hold_the_same_voxels(shared_data: Path) -> None:
    edge = shared_data / "edge" / "dicom"
    plain = read_volume(edge / "compressed_rle")
    for name in ("compressed", "compressed_j2k", "compressed_jpeg", "compressed_jpegls"):
        other = read_volume(edge / name)
        assert np.array_equal(plain.array, other.array)
        assert np.array_equal(plain.affine, other.affine)


@pytest.mark.parametrize("name", EDGE_CAUSES)
def test_odd_series_that_are_refused(shared_data: Path, name: str) -> None:
    with pytest.raises(ReadError, match=EDGE_CAUSES[name]) as caught:
        read_volume(shared_data / "edge" / "dicom" / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "series", "shape"), [
    ("two_series", "2/1", (3, 128, 128)),
    ("two_series", OTHER_UID, (1, 128, 128)),
    ("two_orientations", "202", (288, 288, 2)),
    ("two_orientations", "501", (2, 288, 288)),
])  # fmt: skip
def test_the_series_that_is_named_is_read(
    shared_data: Path, name: str, series: str, shape: tuple[int, ...]
) -> None:
    volume = read_volume(shared_data / "edge" / "dicom" / name, series=series)
    assert volume.shape == shape


def test_uneven_series_can_be_resampled(shared_data: Path) -> None:
    edge = shared_data / "edge" / "dicom"
    with pytest.warns(DataWarning, match="interpolated to 5 slices every 5 mm"):
        gap = read_volume(edge / "missing_slice", allow_uneven=True)
    stored = [
        pydicom.dcmread(file).pixel_array.astype(np.float32) - 1024
        for file in sorted((edge / "missing_slice").iterdir())
    ]
    assert np.array_equal(gap.array[[0, 1, 2, 4]], np.stack(stored))
    assert np.allclose(gap.array[3], (stored[2] + stored[3]) / 2)
    with pytest.warns(DataWarning, match="tilted by 14 degrees"):
        tilted = read_volume(edge / "gantry_tilt", allow_uneven=True)
    axes = tilted.affine[:3, :3] / np.linalg.norm(tilted.affine[:3, :3], axis=0)
    assert np.allclose(axes.T @ axes, np.eye(3), atol=1e-6)


def test_segments_lie_on_a_real_series(shared_data: Path, tmp_path: Path) -> None:
    volume = read_volume(shared_data / "dicom_series" / "crlm_1004")
    ids = np.zeros(volume.shape, np.uint8)
    ids[10:20, 200:260, 100:180] = 6
    ids[30, 300, 400] = 11
    names = LabelSet({"liver": 6, "pancreas": 11})
    file = write_labels(tmp_path / "seg.dcm", ids, like=volume, names=names)
    assert np.array_equal(read_labels(file, like=volume).array, ids)
    seg = pydicom.dcmread(file)
    frames = {
        (
            int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber),
            float(group.PlanePositionSequence[0].ImagePositionPatient[2]),
        ): plane
        for group, plane in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True)
    }
    assert len(frames) == 11
    foot = volume.affine[2, 3]
    for (segment, height), plane in frames.items():
        z = round((height - foot) / 5)
        assert height == foot + 5 * z
        assert np.array_equal(plane != 0, ids[z] == (6, 11)[segment - 1])


def test_a_zip_of_a_real_series_is_the_series(shared_data: Path, tmp_path: Path) -> None:
    import zipfile

    folder = shared_data / "dicom_series" / "totalseg_j2k"
    with zipfile.ZipFile(tmp_path / "scan.zip", "w") as packed:
        for file in folder.iterdir():
            packed.write(file, f"study/series/{file.name}")
    one, other = read_volume(tmp_path / "scan.zip"), read_volume(folder)
    assert np.array_equal(one.array, other.array)
    assert np.array_equal(one.affine, other.affine)


def test_a_real_series_survives_nifti(shared_data: Path, tmp_path: Path) -> None:
    volume = read_volume(shared_data / "edge" / "dicom" / "compressed_rle")
    file = write_volume(tmp_path / "scan.nii.gz", volume)
    again = read_volume(file)
    assert np.array_equal(again.array, volume.array)
    assert again.same_grid(volume, tolerance_mm=1e-3)
