"""Folders of boxes whose Dice is known."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
from made_series import write_series

from slicekit.errors import DatasetError, DataWarning, SlicekitError
from slicekit.io import read_volume, write_labels
from slicekit.labels import LabelSet
from slicekit.report.evaluation import evaluate_paths

LABELS = LabelSet({"liver": 1, "spleen": 2})


def write(path, *boxes, shape=(12, 12, 10)):
    """Write a label map; each box is (id, first row, last row + 1)."""
    array = np.zeros(shape, np.uint8)
    for number, start, stop in boxes:
        array[2:8, start:stop, 2:8] = number
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.diag([-1.0, -1.0, 2.0, 1.0])), path)
    return path


@pytest.fixture
def folders(tmp_path):
    pred, truth = tmp_path / "pred", tmp_path / "data" / "labelsTr"
    write(truth / "a.nii.gz", (1, 0, 4), (2, 6, 8))
    write(pred / "a.nii.gz", (1, 2, 6), (2, 6, 8))  # liver: half of it
    write(truth / "b.nii.gz", (1, 0, 4))
    write(pred / "b_0000.nii", (1, 0, 4))
    return pred, truth


def test_dice_means_and_text(folders):
    report = evaluate_paths(*folders, labels=LABELS)
    assert [case.case for case in report.cases] == ["a", "b"]
    result = report.to_json()
    assert result["cases"][0]["organs"]["liver"]["dsc"] == 0.5
    assert result["cases"][1]["organs"]["spleen"]["status"] == "absent"
    assert result["organs"]["liver"]["dsc"] == 0.75
    assert result["organs"]["spleen"]["hd95_mm"] == 0.0
    assert result["mean"]["dsc"] == 0.875
    text = report.to_text()
    assert next(row for row in text.splitlines() if row.startswith("liver")).split()[1] == "0.750"
    assert "tolerance" in text and "the given labels" in text


def test_nan_becomes_null(tmp_path):
    write(tmp_path / "p.nii.gz")
    write(tmp_path / "t.nii.gz", (1, 0, 4))
    report = evaluate_paths(tmp_path / "p.nii.gz", tmp_path / "t.nii.gz", labels=LABELS)
    result = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert result["cases"][0]["organs"]["liver"] == {
        "dsc": 0.0, "nsd": 0.0, "hd95_mm": None, "tolerance_mm": 5.0, "status": "missed",
    }  # fmt: skip
    assert " - " in report.to_text()


def test_without_names_the_ids_are_the_names(folders):
    report = evaluate_paths(*folders)
    assert set(report.to_json()["organs"]) == {"1", "2"}
    assert "the ids themselves" in report.to_text()


def test_names_come_from_the_dataset(folders):
    _, truth = folders
    (truth.parent / "dataset.json").write_text(json.dumps({"labels": {"liver": 1, "spleen": 2}}))
    assert set(evaluate_paths(*folders).to_json()["organs"]) == {"liver", "spleen"}


def test_a_prediction_that_numbers_organs_otherwise_is_translated(folders):
    pred, truth = folders
    (truth.parent / "dataset.json").write_text(json.dumps({"labels": {"liver": 1, "spleen": 2}}))
    (pred / "a.json").write_text(json.dumps({"labels": {"liver": 2, "colon": 1}}))
    organs = evaluate_paths(pred / "a.nii.gz", truth).to_json()["cases"][0]["organs"]
    assert (organs["liver"]["dsc"], organs["liver"]["status"]) == (0.0, "scored")
    assert organs["spleen"]["status"] == "not evaluated"  # this model knows no spleen
    assert "colon" not in organs
    (pred / "a.json").write_text(json.dumps({"labels": {"colon": 1}}))
    with pytest.raises(DatasetError, match="no organ in common"):
        evaluate_paths(pred / "a.nii.gz", truth)


def test_truths_without_a_prediction_are_told(folders):
    pred, truth = folders
    write(truth / "c.nii.gz", (1, 0, 4))
    with pytest.warns(DataWarning, match=r"1 of 3 true label maps .* left out: c"):
        report = evaluate_paths(pred, truth, labels=LABELS)
    assert report.not_predicted == ("c",)
    assert "no prediction for: c" in report.to_text()


def test_a_faulty_case_does_not_lose_the_others(folders):
    pred, truth = folders
    write(pred / "a.nii.gz", (1, 2, 6), shape=(12, 12, 9))
    report = evaluate_paths(pred, truth, labels=LABELS)
    assert [case.case for case in report.cases] == ["b"]
    assert list(report.failures) == ["a"]
    assert "could not be evaluated:\n  a: " in report.to_text()
    with pytest.raises(SlicekitError):
        evaluate_paths(pred / "a.nii.gz", truth, labels=LABELS)


def test_the_mean_says_of_how_many_truths_it_is(folders):
    pred, truth = folders
    assert "\nmean  " in evaluate_paths(pred, truth, labels=LABELS).to_text()
    write(truth / "c.nii.gz", (1, 0, 4))
    write(pred / "a.nii.gz", (1, 2, 6), shape=(12, 12, 9))
    with pytest.warns(DataWarning, match="left out: c"):
        text = evaluate_paths(pred, truth, labels=LABELS).to_text()
    assert "\nmean, 1 of 3 truths  " in text


def test_the_table_has_one_line_a_case_and_organ(folders):
    lines = evaluate_paths(*folders, labels=LABELS).to_csv().splitlines()
    assert lines[0] == "case,organ,dsc,nsd,hd95_mm,status"
    assert [line.split(",")[:3:2] for line in lines[1:]] == [
        ["a", "0.5"], ["a", "1.0"], ["b", "1.0"], ["b", "1.0"],
    ]  # fmt: skip
    assert lines[4].split(",")[1::4] == ["spleen", "absent"]


@pytest.fixture
def series(tmp_path):
    write_series(tmp_path / "series")
    return read_volume(tmp_path / "series")


def drawn(scan, numbers, *, shift=0):
    """Draw two organs, in slices 1 to 3."""
    ids = np.zeros(scan.shape, np.uint8)
    ids[1 + shift : 3, 2:6, 2:6], ids[2:4, 7:10, 8:14] = numbers
    return ids


EXCHANGED = LabelSet({"spleen": 1, "liver": 2})


@pytest.mark.parametrize("ending", [".dcm", ".rtstruct.dcm"])
def test_dicom_says_what_its_labels_mean(tmp_path, series, ending):
    pred, truth = tmp_path / "pred", tmp_path / "data" / "labelsTr"
    write_labels(pred / f"a{ending}", drawn(series, (2, 1)), like=series, names=EXCHANGED)
    write_labels(truth / "a.nii.gz", drawn(series, (1, 2)), like=series)
    (truth.parent / "dataset.json").write_text(json.dumps({"labels": dict(LABELS.ids)}))
    for guess in (pred, pred / f"a{ending}"):
        organs = evaluate_paths(guess, truth).to_json()["organs"]
        assert {name: one["dsc"] for name, one in organs.items()} == {"liver": 1, "spleen": 1}
    (case,) = evaluate_paths(truth, pred).cases  # the truth may be DICOM as well
    assert [score.dsc for score in case.scores] == [1, 1]


def test_two_segmentations_need_not_begin_on_one_slice(tmp_path, series):
    one = write_labels(tmp_path / "1.dcm", drawn(series, (2, 1)), like=series, names=EXCHANGED)
    two = write_labels(
        tmp_path / "2.dcm", drawn(series, (1, 2), shift=1), like=series, names=LABELS
    )
    for pair in ((one, two), (two, one)):
        organs = evaluate_paths(*pair).to_json()["organs"]
        assert organs["liver"]["dsc"] == pytest.approx(2 / 3)
        assert organs["spleen"]["dsc"] == 1


def test_two_sets_of_contours_need_a_scan(tmp_path, series):
    one = write_labels(tmp_path / "1.rtstruct.dcm", drawn(series, (1, 2)), like=series)
    with pytest.raises(SlicekitError, match=r"1\.rtstruct\.dcm: holds contours.*convert --like"):
        evaluate_paths(one, one)
