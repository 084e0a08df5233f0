"""Which scans may be proposed: nothing that is annotated, nothing that is held out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slicekit.errors import DatasetError, ReadError
from slicekit.report.pool import find_pool

MakeDataset = Callable[..., Path]


@pytest.fixture
def make_dataset(tmp_path: Path) -> MakeDataset:
    """Write a dataset of empty files: no scan is opened here."""

    def make(
        images: str = "abcd", labelled: str = "", splits: Any = None, drawn: Any = None
    ) -> Path:
        root = tmp_path / "data"
        for folder, names, ending in (("imagesTr", images, "_0000"), ("labelsTr", labelled, "")):
            (root / folder).mkdir(parents=True)
            for name in names:
                (root / folder / f"{name}{ending}.nii.gz").touch()
        contents = {
            "dataset.json": {"labels": {"background": 0, "liver": 1, "spleen": 2}},
            "splits.json": splits,
            "annotations.json": drawn,
        }
        for name, content in contents.items():
            if content is not None:
                (root / name).write_text(json.dumps(content))
        return root

    return make


def names(data: Path, **words: Any) -> list[str]:
    pool = find_pool(data, **{"group": None, "held_out": "val", **words})
    return [case.name for case in pool]


def test_scans_without_labels_are_proposed(make_dataset: MakeDataset) -> None:
    assert names(make_dataset(labelled="ac")) == ["b", "d"]


def test_scans_of_which_some_slices_are_drawn_are_still_open(make_dataset: MakeDataset) -> None:
    drawn = {"a": {"annotated_slices": [3, 9]}, "b": {"labels_present": ["liver"]}}
    pool = find_pool(make_dataset(labelled="abc", drawn=drawn), group=None, held_out="val")
    assert [(case.name, case.annotated_slices) for case in pool] == [("a", (3, 9)), ("d", None)]


def test_held_out_scans_are_left_out_unless_they_are_named(make_dataset: MakeDataset) -> None:
    data = make_dataset(labelled="a", splits={"val": ["b", "a"], "rest": ["b", "c", "a"]})
    assert names(data) == ["c", "d"]
    assert names(data, group="rest") == ["c"]
    assert names(data, group="val") == ["a", "b"]
    assert names(data, held_out=None) == ["b", "c", "d"]
    assert names(data, held_out="test") == ["b", "c", "d"]
    with pytest.raises(DatasetError, match="no group 'rset'; did you mean 'rest'"):
        find_pool(data, group="rset", held_out="val")


def test_where_nothing_is_left_it_is_told(make_dataset: MakeDataset) -> None:
    data = make_dataset(labelled="abc", splits={"val": ["d"]})
    with pytest.raises(DatasetError, match="no scan to propose outside the held-out group 'val'"):
        find_pool(data, group=None, held_out="val")


def test_a_plain_folder_is_proposed_whole(tmp_path: Path) -> None:
    for name in ("b.NII", "a.x.nii.gz", "notes.txt"):
        (tmp_path / name).touch()
    pool = find_pool(tmp_path, group=None, held_out="val")
    assert [(case.name, case.image.name) for case in pool] == [
        ("a.x", "a.x.nii.gz"), ("b", "b.NII")
    ]  # fmt: skip
    with pytest.raises(DatasetError, match=r"has no dataset\.json and so no group 'train'"):
        find_pool(tmp_path, group="train", held_out="val")
    (tmp_path / "b.nii.gz").touch()
    with pytest.raises(DatasetError, match="two files for the case 'b'"):
        find_pool(tmp_path, group=None, held_out="val")


def test_no_scans_at_all(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"neither a dataset\.json nor a \.nii"):
        find_pool(tmp_path, group=None, held_out="val")
    with pytest.raises(ReadError, match="does not exist"):
        find_pool(tmp_path / "none", group=None, held_out="val")
    (tmp_path / "a.nii").touch()
    with pytest.raises(DatasetError, match="name an nnU-Net raw folder or a folder of scans"):
        find_pool(tmp_path / "a.nii", group=None, held_out="val")
