"""The scan of labels is found wherever they are looked at, and never taken for another."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from slicekit.report.made import stamp
from slicekit.report.origin import find_scan, name_scan


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A scan and labels of the same name, in two folders of a third."""
    for folder, text in (("one", b"the scan"), ("out", b"the labels")):
        (tmp_path / "tree" / folder).mkdir(parents=True)
        (tmp_path / "tree" / folder / "p1.nii.gz").write_bytes(text)
    return tmp_path / "tree"


def test_a_scan_that_was_typed_relatively_is_found_from_anywhere(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree / "one")
    scan, labels = Path("p1.nii.gz"), Path("../out/p1.nii.gz")
    told = name_scan(scan, labels) | {"stamp": stamp(scan)}
    assert told["scan"] == str(tree / "one" / "p1.nii.gz")
    assert told["scan_from_labels"] == "../one/p1.nii.gz"
    monkeypatch.chdir(tree / "out")  # where a file of that name lies: the labels themselves
    assert find_scan(told, Path("p1.nii.gz")) == tree / "one" / "p1.nii.gz"


def test_a_tree_that_moved_keeps_its_scans(tree: Path, tmp_path: Path) -> None:
    scan = tree / "one" / "p1.nii.gz"
    told = name_scan(scan, tree / "out" / "p1.nii.gz") | {"stamp": stamp(scan)}
    moved = tree.rename(tmp_path / "moved")
    found = find_scan(told, moved / "out" / "p1.nii.gz")
    assert found is not None
    assert found.samefile(moved / "one" / "p1.nii.gz")


def test_neither_the_labels_nor_another_patients_scan_are_taken(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, labels = tree / "one" / "p1.nii.gz", tree / "out" / "p1.nii.gz"
    for told in ({"scan": "p1.nii.gz", "stamp": stamp(scan)}, {"scan": "p1.nii.gz"}):
        monkeypatch.chdir(tree / "out")
        assert find_scan(told, labels) is None
        monkeypatch.chdir(tmp_path)
        assert find_scan(told, labels) is None
        shutil.copy(labels, tmp_path / "p1.nii.gz")  # of that name, and another
        assert find_scan(told, labels) is None
    assert find_scan({"scan": str(labels), "scan_from_labels": "p1.nii.gz"}, labels) is None
    replaced = name_scan(scan, labels) | {"stamp": stamp(scan)}
    scan.write_bytes(b"of another patient")
    assert find_scan(replaced, labels) is None


def test_an_older_sidecar_is_believed_where_the_scan_is_the_one(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, labels = tree / "one" / "p1.nii.gz", tree / "out" / "p1.nii.gz"
    monkeypatch.chdir(tree / "one")
    found = find_scan({"scan": "p1.nii.gz", "stamp": stamp(scan)}, labels)
    assert found == Path("p1.nii.gz")


@pytest.mark.parametrize("scan", [None, 3, "a\0b", ""])
def test_odd_sidecars_name_no_scan(scan: object, tree: Path) -> None:
    assert find_scan({"scan": scan, "scan_from_labels": scan}, tree / "out" / "p1.nii.gz") is None
