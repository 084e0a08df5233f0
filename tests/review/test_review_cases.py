"""Which cases a path means."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_series import write_series

from slicekit.errors import DatasetError, ReadError, WriteError
from slicekit.review.cases import review_cases


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")


def test_one_scan_and_its_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    touch(tmp_path / "a_0000.nii.gz", tmp_path / "guess.nii.gz")
    (case,) = review_cases(tmp_path / "a_0000.nii.gz", labels=tmp_path / "guess.nii.gz")
    assert (case.name, case.given) == ("a", tmp_path / "guess.nii.gz")
    assert case.labels == Path("a_0000_review/a.nii.gz") or case.labels.name == "a.nii.gz"


def test_a_folder_and_labels_of_the_same_names(tmp_path: Path) -> None:
    touch(*(tmp_path / "scans" / f"{n}.nii.gz" for n in "abc"))
    touch(tmp_path / "guess" / "a.nii.gz", tmp_path / "guess" / "c_labels.nii")
    cases = review_cases(tmp_path / "scans", labels=tmp_path / "guess", out=tmp_path / "out")
    assert [case.given and case.given.name for case in cases] == ["a.nii.gz", None, "c_labels.nii"]


def test_a_dataset_brings_its_labels_and_their_names(tmp_path: Path) -> None:
    root = tmp_path / "data"
    touch(root / "imagesTr" / "a_0000.nii.gz", root / "labelsTr" / "a.nii.gz")
    touch(root / "imagesTr" / "b_0000.nii.gz")
    labels = {"background": 0, "liver": 6}
    (root / "dataset.json").write_text(json.dumps({"labels": labels}))
    one, other = review_cases(root, out=tmp_path / "out")
    assert one.organs is not None and one.organs.ids == {"liver": 6}
    assert (one.given, other.given) == (root / "labelsTr" / "a.nii.gz", None)
    assert other.organs is not None and other.organs.ids == {"liver": 6}


def test_results_never_replace_scans_or_given_labels(tmp_path: Path) -> None:
    touch(tmp_path / "scans" / "a.nii.gz", tmp_path / "guess" / "a.nii.gz")
    for folder in ("scans", "guess"):
        with pytest.raises(WriteError, match="is the input itself"):
            review_cases(tmp_path / "scans", labels=tmp_path / "guess", out=tmp_path / folder)


def test_scans_of_one_name_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "scans" / "a.nii.gz", tmp_path / "scans" / "a_0000.nii.gz")
    with pytest.raises(DatasetError, match="two scans of one name: a"):
        review_cases(tmp_path / "scans", out=tmp_path / "out")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="does not exist"):
        review_cases(tmp_path / "no.nii.gz")
    with pytest.raises(DatasetError, match="holds no file"):
        review_cases(tmp_path)
    touch(tmp_path / "a.nii.gz")
    with pytest.raises(ReadError, match="name the labels to review"):
        review_cases(tmp_path / "a.nii.gz", labels=tmp_path / "no.nii.gz")


def test_series_of_patients_are_cases_named_after_their_folders(tmp_path: Path) -> None:
    for name in ("anna/ct", "anna/mr", "berta/ct"):
        write_series(tmp_path / "in" / name, np.ones((2, 4, 4), np.uint16))
    cases = review_cases(tmp_path / "in", out=tmp_path / "out")
    assert [one.name for one in cases] == ["anna_ct", "anna_mr", "berta_ct"]
    assert cases[0].scan == tmp_path / "in" / "anna" / "ct"
    (one,) = review_cases(tmp_path / "in" / "berta", out=tmp_path / "out")
    assert one.name == "berta"
