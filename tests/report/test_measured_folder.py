"""Folders of images and label maps become one table."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from made_series import write_series

from slicekit.errors import DatasetError, DataWarning, ReadError, SlicekitError
from slicekit.io import read_volume, write_labels, write_volume
from slicekit.labels import LabelSet
from slicekit.report.measured_folder import measure_folder, pair_images
from slicekit.volume import Volume

AFFINE = np.diag([5.0, -2.0, -2.0, 1.0])[:, [2, 1, 0, 3]]


def write(folder, name, slices, organ=2):
    """Write an image of 10 nearly everywhere and an organ of so many slices, 0.08 ml each."""
    array = np.zeros((4, 6, 7), np.uint8)
    array[:slices, 2:4, 2:4] = organ
    image = np.full(array.shape, 10, np.int16)
    image[3, 0] = 20
    write_volume(folder / "images" / f"{name}_0000.nii.gz", Volume(image, AFFINE))
    return write_volume(folder / "labels" / f"{name}.nii.gz", Volume(array, AFFINE))


@pytest.fixture
def folders(tmp_path):
    for name, slices in (("a", 1), ("b", 4), ("c", 2), ("d", 0)):
        write(tmp_path, name, slices)
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"liver": 2, "aorta": 3}}))
    return tmp_path / "images", tmp_path / "labels"


def test_organs_are_told_over_the_cases_that_have_them(folders):
    calls = []
    found = measure_folder(*folders, progress=lambda *call: calls.append(call))
    assert calls[-1] == ("cases", 4, 4)
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert [one["case"] for one in told["cases"]] == ["a", "b", "c", "d"]
    liver = told["over_cases"]["liver"]
    assert liver["cases"] == 3
    assert liver["volume_ml"] == pytest.approx(
        {"median": 0.16, "least": 0.08, "least_in": "a", "most": 0.32, "most_in": "b"}
    )
    assert told["over_cases"]["aorta"] == {"cases": 0, "volume_ml": None, "mean": None}
    rows = found.to_text().splitlines()
    assert rows[2].split() == ["liver", "3", "of", "4", "0.16", "0.08", "a", "0.32", "b", "10"]
    assert rows[3].split() == ["aorta", "0", "of", "4", "-", "-", "-", "-"]


def test_one_table_holds_all_cases(folders):
    rows = list(csv.DictReader(io.StringIO(measure_folder(*folders).to_csv())))
    assert [(row["case"], row["organ"]) for row in rows][:3] == [
        ("a", "liver"), ("a", "aorta"), ("b", "liver"),
    ]  # fmt: skip
    assert len(rows) == 8
    assert float(rows[2]["volume_ml"]) == pytest.approx(0.32)


def test_a_faulty_case_does_not_lose_the_others(folders, tmp_path):
    for name in "abc":
        (folders[1] / f"{name}.nii.gz").write_bytes(b"no labels")
    found = measure_folder(*folders)
    assert (list(found.cases), list(found.failures)) == (["d"], ["a", "b", "c"])
    assert "could not be measured:\n  a: " in found.to_text()
    (folders[1] / "d.nii.gz").write_bytes(b"no labels")
    with pytest.raises(SlicekitError, match=r"a\.nii\.gz"):
        measure_folder(*folders)


def test_images_without_labels_are_told_and_labels_without_images_refused(folders):
    images, labels = folders
    (labels / "b.nii.gz").unlink()
    with pytest.warns(DataWarning, match="1 of 4 scans have no labels and are left out: b"):
        found = measure_folder(images, labels)
    assert found.to_json()["without_labels"] == ["b"]
    assert "without labels: b" in found.to_text()
    (images / "a_0000.nii.gz").unlink()
    with pytest.raises(DatasetError, match=r"no scan for: a\. The scans are: b, c, d"):
        pair_images(images, labels)
    for image in images.iterdir():
        image.unlink()
    with pytest.raises(DatasetError, match="is one scan or none"):
        pair_images(images, labels)
    with pytest.raises(ReadError, match="does not exist"):
        pair_images(images / "gone", labels)


def test_patients_in_folders_of_dicom_are_paired_too(tmp_path):
    for patient in ("p1", "p2"):
        series = tmp_path / "patients" / patient / "ct"
        write_series(series, series=f"1.2.{patient[1]}")
        scan = read_volume(series)
        ids = np.zeros(scan.shape, np.uint8)
        ids[1:3, 2:4, 2:4] = 1
        names = LabelSet({"liver": 1})
        write_labels(tmp_path / "labels" / f"{patient}_ct.dcm", ids, like=scan, names=names)
    found = measure_folder(tmp_path / "patients", tmp_path / "labels")
    assert list(found.cases) == ["p1_ct", "p2_ct"]
    assert found.organs == ["liver"]
