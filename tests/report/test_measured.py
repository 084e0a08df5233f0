"""An image and a mask on disk become figures."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from slicekit.errors import GeometryError, LabelError, ReadError
from slicekit.io import write_volume
from slicekit.report.measured import measure_file
from slicekit.volume import Volume

AFFINE = np.array([[0, 0, -2.0, 9], [0, -2, 0, 9], [5, 0, 0, 0], [0, 0, 0, 1]])


@pytest.fixture
def files(tmp_path):
    array = np.zeros((4, 6, 7), np.uint8)
    array[1:3, 1:4, 2:5] = 2
    array[0, 0, 0] = 5
    image = array.astype(np.int16) * 10
    image[1, 1, 2] = -100
    scan = write_volume(tmp_path / "scan.nii.gz", Volume(image, AFFINE))
    mask = write_volume(tmp_path / "mask.nii.gz", Volume(array, AFFINE))
    (tmp_path / "mask.json").write_text(json.dumps({"labels": {"liver": 2, "aorta": 3}}))
    return scan, mask


def test_organs_are_named_and_measured(files):
    found = measure_file(*files)
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert list(told["organs"]) == ["liver", "aorta", "label_5"]
    liver = told["organs"]["liver"]
    assert (liver["id"], liver["voxels"], liver["volume_ml"]) == (2, 18, 0.36)
    assert (liver["minimum"], liver["maximum"], liver["components"]) == (-100, 20, 1)
    assert told["organs"]["aorta"]["voxels"] == 0
    assert told["organs"]["label_5"]["touches_border"]
    assert (told["neighbours"], told["spacing_known"]) == (26, True)
    assert told["spacing_mm"] == [5, 2, 2]


def test_the_table_has_one_line_an_organ_and_plain_numbers(files):
    rows = list(csv.DictReader(io.StringIO(measure_file(*files).to_csv())))
    assert [row["organ"] for row in rows] == ["liver", "aorta", "label_5"]
    liver, aorta = rows[:2]
    figures = measure_file(*files).organs["liver"]
    assert [float(liver[f"centroid_mm_{a}"]) for a in "xyz"] == figures["centroid_mm"]
    assert [int(liver[f"box_first_voxel_{a}"]) for a in "ijk"] == figures["box_first_voxel"]
    assert (liver["touches_border"], aorta["mean"], aorta["centroid_mm_x"]) == ("0", "", "")
    assert all(len(row) == len(rows[0]) for row in rows)


def test_the_text_leaves_out_what_is_absent(files):
    text = measure_file(*files).to_text()
    lines = text.splitlines()
    assert lines[2].split()[:2] == ["liver", "0.36"]
    assert lines[3].split() == ["label_5", "0.02", "50", "0", "50", "50", "1", "yes"]
    assert "absent: aorta" in text


def test_without_an_organ_there_is_still_an_answer(files):
    scan, mask = files
    write_volume(mask, Volume(np.zeros((4, 6, 7), np.uint8), AFFINE), overwrite=True)
    mask.with_suffix("").with_suffix(".json").unlink()
    found = measure_file(scan, mask)
    assert found.organs == {}
    assert found.to_text().endswith("no organ is in it")
    assert found.to_csv() == "organ\n"


def test_slices_have_volumes_once_their_spacing_is_said(tmp_path):
    for folder, value in (("scan", 40), ("mask", 1)):
        (tmp_path / folder).mkdir()
        for z in range(3):
            plane = np.full((5, 6), value, np.uint8) + z * (value > 1)
            Image.fromarray(plane).save(tmp_path / folder / f"{z}.png")
    with pytest.warns(match="slices know no place"):
        found = measure_file(tmp_path / "scan", tmp_path / "mask")
    assert not found.spacing_known
    assert "say --spacing" in found.to_text()
    found = measure_file(tmp_path / "scan", tmp_path / "mask", spacing_mm=(10, 1, 1))
    assert found.organs["label_1"]["volume_ml"] == pytest.approx(0.9)
    assert found.organs["label_1"]["box_mm"] == [6, 5, 30]
    assert "--spacing" not in found.to_text()


def test_faults_are_told(files, tmp_path):
    scan, _ = files
    with pytest.raises(ReadError, match=r"gone\.nii\.gz: does not exist"):
        measure_file(scan, tmp_path / "gone.nii.gz")
    with pytest.raises(LabelError, match="label ids must be from 0"):
        measure_file(scan, scan)
    short = write_volume(tmp_path / "short.nii.gz", Volume(np.ones((3, 6, 7), np.uint8), AFFINE))
    with pytest.raises(GeometryError, match="both must lie on one grid"):
        measure_file(scan, short)


def test_a_real_ct_is_measured(shared_data):
    place = shared_data / "abdomen_ct"
    found = measure_file(
        place / "imagesTr" / "btcv_0023_0000.nii.gz", place / "labelsTr" / "btcv_0023.nii.gz"
    )
    assert len(found.organs) == 13
    assert found.organs["gallbladder"]["voxels"] == 0
    assert 500 < found.organs["liver"]["volume_ml"] < 3000
    assert "absent: gallbladder" in found.to_text()
