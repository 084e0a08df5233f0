"""The command convert, both ways."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from made_series import stored_voxels, write_series
from PIL import Image

from slicekit.io import read_labels, read_volume, write_labels
from slicekit.labels import LabelSet

Door = Callable[..., tuple[int, str, str]]


@pytest.fixture
def series(tmp_path: Path) -> Path:
    write_series(tmp_path / "series")
    return tmp_path / "series"


def test_a_series_becomes_nifti(door: Door, series: Path, tmp_path: Path) -> None:
    out = tmp_path / "scan.nii.gz"
    code, told, _ = door("slicekit", "convert", series, "-o", out)
    assert code == 0
    assert "5 x 12 x 16 voxels of 2.5 x 0.75 x 0.5 mm" in told
    assert np.array_equal(read_volume(out).array, read_volume(series).array)
    code, _, fault = door("slicekit", "convert", series, "-o", out)
    assert code == 1 and "exists already" in fault
    assert door("slicekit", "convert", series, "-o", out, "--overwrite")[0] == 0


def test_a_zip_and_a_choice_of_series(door: Door, series: Path, tmp_path: Path) -> None:
    write_series(series, stored_voxels(3), series="1.2.9", number=9, name="B{}.dcm")
    archive = Path(shutil.make_archive(str(tmp_path / "study"), "zip", series))
    out = tmp_path / "scan.nii.gz"
    code, _, fault = door("slicekit", "convert", archive, "-o", out)
    assert code == 1
    assert fault.count("\n") == 1 and fault.startswith("error: ") and "--series" in fault
    assert not out.exists()
    assert door("slicekit", "convert", archive, "-o", out, "--series", "9")[0] == 0
    assert read_volume(out).shape == (3, 12, 16)


def test_uneven_slices_are_resampled_when_asked(door: Door, tmp_path: Path) -> None:
    write_series(tmp_path / "s", heights=[0, 2.5, 5, 10, 12.5])
    out = tmp_path / "scan.nii.gz"
    code, _, fault = door("slicekit", "convert", tmp_path / "s", "-o", out)
    assert code == 1 and "--allow-uneven" in fault and not out.exists()
    code, told, fault = door("slicekit", "convert", tmp_path / "s", "-o", out, "--allow-uneven")
    assert code == 0 and "6 x 12 x 16" in told and fault.startswith("warning: ")


def test_labels_become_a_segmentation_and_come_back(
    door: Door, series: Path, tmp_path: Path
) -> None:
    volume = read_volume(series)
    ids = np.zeros(volume.shape, np.uint8)
    ids[1:4, 2:5, 3:9] = 6
    write_labels(tmp_path / "labels.nii.gz", ids, like=volume)
    (tmp_path / "labels.json").write_text(json.dumps({"labels": {"background": 0, "liver": 6}}))
    seg, back = tmp_path / "seg.dcm", tmp_path / "back.nii.gz"
    code, _, fault = door("slicekit", "convert", tmp_path / "labels.nii.gz", "-o", seg)
    assert code == 1 and "--like" in fault
    words = ("convert", tmp_path / "labels.nii.gz", "--like", series, "-o", seg)
    assert door("slicekit", *words)[0] == 0
    assert np.array_equal(read_labels(seg, like=volume).array, ids)
    assert door("slicekit", "convert", seg, "--like", series, "-o", back)[0] == 0
    assert np.array_equal(read_labels(back, like=volume).array, ids)
    assert json.loads((tmp_path / "back.json").read_text())["labels"] == {
        "background": 0,
        "liver": 6,
    }
    alone = tmp_path / "alone.nii.gz"
    assert door("slicekit", "convert", seg, "-o", alone)[0] == 0
    assert np.count_nonzero(read_labels(alone).array) == np.count_nonzero(ids)


def test_labels_of_another_scan_are_refused(door: Door, series: Path, tmp_path: Path) -> None:
    write_series(tmp_path / "other", stored_voxels(4), series="1.2.9")
    other = read_volume(tmp_path / "other")
    write_labels(tmp_path / "labels.nii.gz", np.ones(other.shape), like=other)
    seg = tmp_path / "seg.dcm"
    words = ("convert", tmp_path / "labels.nii.gz", "--like", series, "-o", seg)
    code, _, fault = door("slicekit", *words)
    assert code == 1 and "(4, 12, 16)" in fault and not seg.exists()


def test_a_folder_of_slices_becomes_nifti(door: Door, tmp_path: Path) -> None:
    (tmp_path / "slices").mkdir()
    for at in range(3):
        plane = np.full((6, 8), 100 * at, np.uint8)
        plane[0] = 255
        Image.fromarray(plane).save(tmp_path / "slices" / f"{at:02d}.png")
    out = tmp_path / "scan.nii.gz"
    words = ("--spacing", 5, 0.7, 0.8, "--gray-range", -100, 155)
    assert door("slicekit", "convert", tmp_path / "slices", "-o", out, *words)[0] == 0
    volume = read_volume(out)
    assert volume.spacing_mm == pytest.approx((5, 0.7, 0.8))
    assert volume.array[:, 3, 3] == pytest.approx([-100, 0, 100])


def test_segment_and_propagate_take_a_series(
    door: Door, using: tuple[str, ...], tmp_path: Path
) -> None:
    voxels = np.full((16, 64, 64), 24, np.uint16)
    voxels[4:12, 20:44, 20:44] = 1084
    write_series(tmp_path / "s", voxels)
    out = tmp_path / "labels.dcm"
    code, _, fault = door("slicekit", "segment", tmp_path / "s", "-o", out, *using)
    assert code == 0, fault
    assert read_labels(out, like=read_volume(tmp_path / "s")).shape == (16, 64, 64)
    assert (tmp_path / "labels.json").is_file()
    volume = read_volume(tmp_path / "s")
    drawn = np.zeros(volume.shape, np.uint8)
    drawn[4], drawn[10] = volume.array[4] > 0, volume.array[10] > 0
    write_labels(tmp_path / "drawn.nii.gz", drawn, like=volume)
    carried = tmp_path / "organ.nii.gz"
    code, _, fault = door(
        "slicekit", "propagate", tmp_path / "s", tmp_path / "drawn.nii.gz", "-o", carried,
        "--method", "interpolate", "--series", "7",
    )  # fmt: skip
    assert code == 0, fault
    assert np.array_equal(read_labels(carried, like=volume).array[6], drawn[4])


def test_labels_become_contours_and_come_back(door: Door, series: Path, tmp_path: Path) -> None:
    volume = read_volume(series)
    ids = np.zeros(volume.shape, np.uint8)
    ids[1:4, 2:9, 3:12] = 6
    ids[2, 4:6, 5:8] = 0
    write_labels(tmp_path / "labels.nii.gz", ids, like=volume)
    (tmp_path / "labels.json").write_text(json.dumps({"labels": {"background": 0, "liver": 6}}))
    contours, back = tmp_path / "labels.rtstruct.dcm", tmp_path / "back.nii.gz"
    words = ("convert", tmp_path / "labels.nii.gz", "--like", series, "-o", contours)
    assert door("slicekit", *words)[0] == 0
    code, _, fault = door("slicekit", *words)
    assert code == 1 and "exists already" in fault
    assert door("slicekit", "convert", contours, "--like", series, "-o", back)[0] == 0
    assert np.array_equal(read_labels(back, like=volume).array, ids)
    named = json.loads((tmp_path / "back.json").read_text())["labels"]
    assert named == {"background": 0, "liver": 6}
    seg = tmp_path / "again.dcm"
    assert door("slicekit", "convert", contours, "--like", series, "-o", seg)[0] == 0
    assert np.array_equal(read_labels(seg, like=volume).array, ids)
    code, _, fault = door("slicekit", "convert", contours, "-o", tmp_path / "alone.nii.gz")
    assert code == 1 and "--like" in fault and not (tmp_path / "alone.nii.gz").exists()
    nifti = tmp_path / "scan.nii.gz"
    assert door("slicekit", "convert", series, "-o", nifti)[0] == 0
    words = ("convert", back, "--like", nifti, "-o", tmp_path / "no.rtstruct.dcm")
    code, _, fault = door("slicekit", *words)
    assert code == 1 and "is to be an RTSTRUCT, but the image is no DICOM series" in fault


def test_segment_writes_contours(door: Door, using: tuple[str, ...], tmp_path: Path) -> None:
    voxels = np.full((16, 64, 64), 24, np.uint16)
    voxels[4:12, 20:44, 20:44] = 1084
    write_series(tmp_path / "s", voxels)
    for name in ("labels.rtstruct.dcm", "labels.nii.gz"):
        words = (tmp_path / "s", "-o", tmp_path / name, *using, "--no-propagation", "--overwrite")
        code, _, fault = door("slicekit", "segment", *words)
        assert code == 0, fault
    volume = read_volume(tmp_path / "s")
    endings = ("rtstruct.dcm", "nii.gz")
    found = [read_labels(tmp_path / f"labels.{end}", like=volume) for end in endings]
    assert found[0].array.any()
    assert np.array_equal(found[0].array, found[1].array)
    assert (tmp_path / "labels_stats.json").is_file()


def test_organs_are_chosen_from_regions_that_overlap(
    door: Door, series: Path, tmp_path: Path
) -> None:
    volume = read_volume(series)
    ids = np.zeros(volume.shape, np.uint8)
    ids[1:4, 2:9, 3:12] = 1
    ids[1, 2:4, 13:15] = 2
    names = LabelSet({"body": 1, "liver": 2})
    plan = write_labels(tmp_path / "plan.rtstruct.dcm", ids, like=volume, names=names)
    dataset = pydicom.dcmread(plan)
    body, liver = dataset.ROIContourSequence
    liver.ContourSequence.append(body.ContourSequence[1])
    dataset.save_as(plan)
    out = tmp_path / "liver.nii.gz"
    words = ("convert", plan, "--like", series, "-o", out)
    code, _, fault = door("slicekit", *words)
    assert code == 1 and "'body' and 'liver' overlap" in fault and "--organs" in fault
    code, _, fault = door("slicekit", *words, "--organs", "livver")
    assert code == 1 and "'liver'" in fault and not out.exists()
    assert door("slicekit", *words, "--organs", "liver")[0] == 0
    found = read_labels(out, like=volume).array
    assert np.array_equal(
        found == 2, (ids == 2) | ((ids == 1) & (np.arange(5) == 2)[:, None, None])
    )
    assert json.loads((tmp_path / "liver.json").read_text())["labels"] == {
        "background": 0, "liver": 2
    }  # fmt: skip
    seg = write_labels(tmp_path / "seg.dcm", ids, like=volume, names=names)
    words = ("convert", seg, "--like", series, "-o", tmp_path / "body.nii.gz", "--organs", "body")
    assert door("slicekit", *words)[0] == 0
    assert set(np.unique(read_labels(tmp_path / "body.nii.gz").array)) == {0, 1}
    assert door("slicekit", "convert", seg, "-o", tmp_path / "x.nii", "--organs", "body")[0] == 2


def test_nifti_keeps_its_axes_and_codes(door: Door, tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).integers(-900, 900, (6, 5, 4)).astype(np.int16)
    image = nibabel.Nifti1Image(numbers, np.diag([1.0, -2.0, 3.0, 1.0]))
    image.set_sform(image.affine, code="aligned")
    image.set_qform(image.affine, code="unknown")
    nibabel.save(image, tmp_path / "a.nii.gz")
    done = door("slicekit", "convert", tmp_path / "a.nii.gz", "-o", tmp_path / "b.nii.gz")
    assert done.code == 0, done.err
    found = nibabel.load(tmp_path / "b.nii.gz")
    np.testing.assert_array_equal(np.asarray(found.dataobj), numbers)
    np.testing.assert_array_equal(found.affine, image.affine)
    assert (int(found.header["sform_code"]), int(found.header["qform_code"])) == (2, 0)


def test_a_folder_that_exists_takes_the_scan_under_its_name(
    door: Door, series: Path, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    done = door("slicekit", "convert", series, "-o", tmp_path / "there")
    assert done.code == 0, done.err
    assert [path.name for path in (tmp_path / "there").iterdir()] == [f"{series.name}.nii.gz"]


def test_names_of_labels_neither_block_nor_replace_what_is_told_of_them(
    door: Door, series: Path, tmp_path: Path
) -> None:
    scan = read_volume(series)
    ids = np.zeros(scan.shape, np.uint8)
    ids[1:3, 2:6, 2:6] = 4
    write_labels(tmp_path / "x.dcm", ids, like=scan, names=LabelSet({"liver": 4}))
    told = {"labels": {"background": 0, "liver": 4}, "model": "a"}
    (tmp_path / "x.json").write_text(json.dumps(told))
    done = door("slicekit", "convert", tmp_path / "x.dcm", "-o", tmp_path / "x.nii.gz")
    assert done.code == 0, done.err
    assert "has the slices that it labels and no others" in done.err
    assert json.loads((tmp_path / "x.json").read_text()) == told
    (tmp_path / "y.json").write_text(json.dumps({"labels": {"spleen": 1}}))
    refused = door("slicekit", "convert", tmp_path / "x.dcm", "-o", tmp_path / "y.nii.gz")
    assert refused.code == 1
    assert "y.json: exists already" in refused.err
    assert not (tmp_path / "y.nii.gz").exists()


def test_every_series_of_a_folder_becomes_a_file(door: Door, tmp_path: Path) -> None:
    study, out = tmp_path / "anna", tmp_path / "out"
    write_series(study, stored_voxels(6), number=2, name="A{:03d}.dcm")
    write_series(study, stored_voxels(4), series="1.2.9", number=3, name="B{:03d}.dcm")
    done = door("slicekit", "convert", study, "-o", out, "--all-series")
    assert done.code == 0, done.err
    assert read_volume(out / "anna_2_thin-abdomen.nii.gz").shape[0] == 6
    assert read_volume(out / "anna_3_thin-abdomen.nii.gz").shape[0] == 4
    again = door("slicekit", "convert", study, "-o", out, "--all-series")
    assert "2 of 2 scans were done already" in again.err
    wrong = door("slicekit", "convert", study, "-o", out, "--all-series", "--series", "2")
    assert wrong.code == 2


def test_what_does_not_exist_is_told_first(door: Door, series: Path, tmp_path: Path) -> None:
    words = ("slicekit", "convert", tmp_path / "none.dcm", "-o", tmp_path / "x.nii.gz")
    for more in ((), ("--like", series, "--organs", "liver")):
        assert "none.dcm: does not exist" in door(*words, *more).err
