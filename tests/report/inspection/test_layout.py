"""A dataset folder is listed, whatever is wrong with the list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from found import kinds, only
from PIL import Image

from slicekit.errors import DatasetError
from slicekit.report.inspection import inspect_dataset


@pytest.mark.parametrize(
    ("file", "kind", "where"),
    [
        ("labelsTr/zz.nii.gz", "pairing", "zz"),
        ("imagesTr/a_0001.nii.gz", "pairing", "a"),
        ("imagesTr/a.nii.gz", "pairing", "a"),
        ("imagesTr/notes.txt", "stray", "notes.txt"),
    ],
)
def test_files_that_make_no_case(
    file: str, kind: str, where: str, data: Path, put: Any, scan: Any
) -> None:
    if file.endswith(".txt"):
        (data / file).write_text("x")
    else:
        put(data / file, scan(9))
    assert where in kinds(inspect_dataset(data))[kind]


@pytest.mark.parametrize(
    ("name", "content", "kind", "said"),
    [
        ("dataset.json", "{", "dataset", "is not readable JSON"),
        ("dataset.json", [1], "dataset", "holds a list"),
        ("dataset.json", {}, "dataset", "has no 'labels'"),
        ("dataset.json", {"labels": {"liver": 1, "spleen": 2}}, "training-count", "is missing"),
        ("dataset.json", {"labels": {"liver": 1, "spleen": 1}}, "dataset", "share the id 1"),
        ("dataset.json", {"labels": {"liver": "x"}}, "dataset", "whole numbers"),
        ("splits.json", {"train": ["a", "zz"]}, "splits", "names 'zz', which has no image"),
        ("splits.json", {"train": "a"}, "splits", "must be a list"),
        ("splits.json", {"train": ["a", "a"]}, "splits", "names 'a' twice"),
        ("splits.json", "nothing", "splits", "is not readable JSON"),
        ("splits.json", '{"a": ["a"], "a": ["b"]}', "dataset", "names 'a' twice"),
        ("splits.json", {"train": ["a", "b"], "val": ["b"]}, "leak", "the groups val and train"),
        ("annotations.json", {"zz": {}}, "annotations", "there is no case 'zz'"),
        ("annotations.json", {"a": {"labels_presen": []}}, "annotations", "unknown key"),
        ("annotations.json", {"a": {"annotated_slices": [99]}}, "annotations", "there are 0 to 7"),
        ("annotations.json", {"a": {"labels_present": ["liver"]}}, "annotations", "holds spleen"),
    ],
)
def test_tables_that_cannot_be_meant(
    name: str, content: Any, kind: str, said: str, data: Path, say: Any
) -> None:
    say(data, name, content)
    found = inspect_dataset(data)
    assert any(said in one.what for one in found.by_kind()[kind]), found.to_text()
    assert len(found.cases) == 4


def test_every_wrong_annotation_is_told(data: Path, say: Any) -> None:
    say(data, "annotations.json", {"zz": {}, "a": {"annotated_slices": [0.5]}, "yy": 3})
    assert kinds(inspect_dataset(data))["annotations"] == ["zz", "a", "yy"]


def test_without_a_description_scans_are_looked_at_all_the_same(data: Path) -> None:
    (data / "dataset.json").unlink()
    found = inspect_dataset(data)
    assert kinds(found) == {"dataset": ["dataset.json"]}
    assert all(case.voxels for case in found.cases)


def test_names_for_nnunet(data: Path, say: Any) -> None:
    (data / "imagesTr" / "b_0000.nii.gz").rename(data / "imagesTr" / "b.nii.gz")
    say(data, "dataset.json", {"labels": {"liver": 1, "spleen": 2}, "numTraining": 9})
    found = inspect_dataset(data)
    assert kinds(found) == {"suffix": ["b"], "training-count": ["dataset.json"]}
    assert only(found, "training-count") == "says 9, scans: 4"


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds neither"):
        inspect_dataset(tmp_path)
    with pytest.raises(DatasetError, match="is no folder"):
        inspect_dataset(tmp_path / "gone")


def test_a_scan_may_be_a_folder_of_slices(data: Path) -> None:
    for folder, value in (("imagesTr", 90), ("labelsTr", 1)):
        place = data / folder / "e"
        place.mkdir()
        for z in range(3):
            plane = np.full((6, 5), 10 * z + value if value > 1 else 1, np.uint8)
            Image.fromarray(plane).save(place / f"{z}.png")
    case = next(case for case in inspect_dataset(data).cases if case.name == "e")
    assert (case.shape, case.axes, case.voxels) == ((3, 6, 5), "slices", {1: 90})
