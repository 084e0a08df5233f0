"""Which file is compared with which, and where the names come from."""

from __future__ import annotations

import pytest

from slicekit.errors import DatasetError
from slicekit.report.pairs import Pair, first_of, labels_in, pair_paths


def folder(root, *names):
    root.mkdir()
    for name in names:
        (root / name).write_bytes(b"")
    return root


def test_cases_are_paired_by_name(tmp_path):
    pred = folder(tmp_path / "p", "b.nii", "a_0000.nii.gz", "a.json", "a.png", ".hidden.nii.gz")
    truth = folder(tmp_path / "t", "a.nii.gz", "b.nii.gz", "c.nii.gz")
    pairs, missing = pair_paths(pred, truth)
    assert pairs == [
        Pair("a", pred / "a_0000.nii.gz", truth / "a.nii.gz"),
        Pair("b", pred / "b.nii", truth / "b.nii.gz"),
    ]
    assert missing == ("c",)


def test_endings_are_read_in_any_case_and_what_lies_beside_labels_is_none(tmp_path):
    names = ("A.NII.GZ", "A_uncertainty.nii.gz", "b.nii", "b_uncertainty.nii.gz", "IM001.dcm")
    pred = folder(tmp_path / "p", *names)
    (pred / "folder.nii.gz").mkdir()
    assert labels_in(pred, "prediction") == {"A": pred / "A.NII.GZ", "b": pred / "b.nii"}
    alone = folder(tmp_path / "alone", "c_uncertainty.nii.gz")  # beside nothing
    assert list(labels_in(alone, "truth")) == ["c_uncertainty"]


def test_two_files_are_a_pair_whatever_their_names(tmp_path):
    both = folder(tmp_path / "f", "mine.nii.gz", "theirs.nii")
    pairs, missing = pair_paths(both / "mine.nii.gz", both / "theirs.nii")
    assert pairs == [Pair("mine", both / "mine.nii.gz", both / "theirs.nii")]
    assert missing == ()


def test_a_file_finds_its_truth_in_a_folder(tmp_path):
    pred = folder(tmp_path / "p", "a.nii.gz")
    truth = folder(tmp_path / "t", "a.nii.gz", "b.nii.gz")
    pairs, missing = pair_paths(pred / "a.nii.gz", truth)
    assert [pair.case for pair in pairs] == ["a"]
    assert missing == ()


def test_what_cannot_be_paired_is_listed(tmp_path):
    pred = folder(tmp_path / "p", "a.nii.gz", "x.nii.gz", "y.nii.gz")
    truth = folder(tmp_path / "t", "a.nii.gz", "b.nii.gz")
    with pytest.raises(DatasetError, match=r"1 pairs; no truth for: x, y\. The truths are: a, b"):
        pair_paths(pred, truth)


def test_missing_empty_and_doubled_are_refused(tmp_path):
    truth = folder(tmp_path / "t", "a.nii.gz")
    with pytest.raises(DatasetError, match="does not exist"):
        pair_paths(tmp_path / "nowhere", truth)
    with pytest.raises(DatasetError, match=r"holds no \.nii"):
        pair_paths(folder(tmp_path / "empty", "a.txt"), truth)
    with pytest.raises(DatasetError, match=r"two prediction files for the case 'a'"):
        pair_paths(folder(tmp_path / "twice", "a.nii.gz", "a_0000.nii.gz"), truth)


def test_long_lists_are_cut():
    assert first_of(["a", "b"]) == "a, b"
    assert first_of("abcdefg") == "a, b, c, d, e and 2 more"
