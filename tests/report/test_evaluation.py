"""Folders of boxes whose Dice is known."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from slicekit.errors import DatasetError, DataWarning, SlicekitError
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
