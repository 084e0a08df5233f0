"""What somebody drew is found, in a dataset or as slices beside masks, or refused with the cure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from slicekit.data.drawn import find_drawn, pictures
from slicekit.errors import DatasetError, LabelError


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Four cases of empty files: only names are looked at."""
    for name in ("a", "b", "c", "d", "e"):
        touch(tmp_path / "imagesTr" / f"{name}_0000.nii.gz")
    for name in ("a", "b", "d"):
        touch(tmp_path / "labelsTr" / f"{name}.nii.gz")
    labels = {"background": 0, "liver": 1, "left_kidney": 2, "right_kidney": 7}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
    (tmp_path / "splits.json").write_text(json.dumps({"train": ["a"], "val": ["d", "e"]}))
    return tmp_path


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def names(cases: Any) -> list[str]:
    return [case.name for case in cases]


def test_a_dataset_gives_its_scans_and_those_of_val_only_to_be_scored_on(dataset: Path) -> None:
    drawn = find_drawn(dataset)
    assert drawn.organs.names == ("liver", "left_kidney", "right_kidney")
    assert names(drawn.cases) == ["a", "b", "c"]
    assert [case.labels is not None for case in drawn.cases] == [True, True, False]
    assert names(drawn.held_out) == ["d"]  # e has no labels


def test_some_organs_are_taken_with_the_ids_of_the_labels(dataset: Path) -> None:
    assert find_drawn(dataset, ["right_kidney"]).organs.ids == {"right_kidney": 7}
    with pytest.raises(DatasetError, match=r"names no lever; did you mean 'liver'"):
        find_drawn(dataset, ["liver", "lever"])


def test_folders_of_slices_are_scans_of_their_names(tmp_path: Path) -> None:
    for scan in ("p2", "p1"):
        touch(tmp_path / scan / "images" / "1.png")
    touch(tmp_path / "p1" / "masks" / "1.png", tmp_path / "p2" / "labels" / "1.png")
    (tmp_path / "p3" / "images").mkdir(parents=True)
    (tmp_path / "p3" / "masks").mkdir()
    touch(tmp_path / ".trash" / "images" / "1.png", tmp_path / "p3" / "masks" / ".thumb.png")
    drawn = find_drawn(tmp_path, ["lesion=255", "liver=127"])
    assert drawn.organs.ids == {"liver": 127, "lesion": 255}
    assert names(drawn.cases) == ["p1", "p2", "p3"]
    masks = [case.labels and case.labels.name for case in drawn.cases]
    assert masks == ["masks", "labels", None]  # an empty folder of masks: nothing was drawn
    assert drawn.held_out == ()
    alone = find_drawn(tmp_path / "p2", ["x=1"])
    assert names(alone.cases) == ["p2"]


def test_the_folder_that_one_stands_in_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "scan" / "images" / "1.png", tmp_path / "scan" / "masks" / "1.png")
    monkeypatch.chdir(tmp_path / "scan")
    assert names(find_drawn(".", ["x=1"]).cases) == ["scan"]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ([], r"values have no names; say which organ has which value, such as lesion=255"),
        (["lesion"], "wanted NAME=VALUE, such as lesion=255, got 'lesion'"),
        (["lesion=0"], "got 'lesion=0'"),
        (["lesion=-1"], "got 'lesion=-1'"),
        (["=3"], "got '=3'"),
        (["lesion=1", "lesion=2"], "lesion has two values, 1 and 2"),
        (["background=255"], "cannot be called 'background'"),
        (["ignore=255"], "cannot be called 'ignore'"),
        (["1=255"], "cannot be called '1'"),
    ],
)
def test_masks_need_names_that_can_be_meant(wanted: list[str], said: str, tmp_path: Path) -> None:
    touch(tmp_path / "images" / "1.png", tmp_path / "masks" / "1.png")
    with pytest.raises(DatasetError, match=said):
        find_drawn(tmp_path, wanted)


def test_values_that_two_organs_share_or_no_mask_can_hold_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "images" / "1.png", tmp_path / "masks" / "1.png")
    with pytest.raises(LabelError, match="share the id 255"):
        find_drawn(tmp_path, ["a=255", "b=255"])
    with pytest.raises(LabelError, match="65535"):
        find_drawn(tmp_path, ["a=70000"])


def test_what_is_nothing_of_the_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"neither a dataset.json .* nor the folders images"):
        find_drawn(tmp_path, ["a=1"])
    with pytest.raises(DatasetError, match="is no folder"):
        find_drawn(tmp_path / "gone", ["a=1"])


def test_pictures_of_a_folder(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("b.PNG", "a.npy", "notes.txt", ".c.png")))
    assert [file.name for file in pictures(tmp_path)] == ["a.npy", "b.PNG"]
    assert pictures(tmp_path / "gone") == []
