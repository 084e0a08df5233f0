"""Each fault of one case is found once, under its kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from found import kinds, only

from slicekit.report.inspection import inspect_dataset


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\x1f\x8b" + bytes(50)], ids=["empty", "text", "gzip"]
)
@pytest.mark.parametrize("folder", ["imagesTr/b_0000", "labelsTr/b"])
def test_broken_files_are_named_and_the_rest_is_looked_at(
    folder: str, content: bytes, data: Path
) -> None:
    (data / f"{folder}.nii.gz").write_bytes(content)
    found = inspect_dataset(data)
    assert kinds(found)["unreadable"] == ["b"]
    assert str(data) not in only(found, "unreadable")
    assert [case.name for case in found.cases if case.digest] == [
        name for name in "abcd" if name != "b" or folder.startswith("labels")
    ]


def test_a_fault_of_our_own_stops_nothing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from slicekit.report.inspection import case as module

    right = module.read_volume

    def sometimes(path: Path) -> Any:
        if path.name.startswith("b"):
            raise ZeroDivisionError("ours")
        if path.name.startswith("c"):
            raise MemoryError
        return right(path)

    monkeypatch.setattr(module, "read_volume", sometimes)
    monkeypatch.setattr(module.log, "exception", lambda *_: None)
    found = inspect_dataset(data).by_kind()["unreadable"]
    assert [one.what for one in found] == [
        "ZeroDivisionError('ours')", "there is not enough memory to read it",
    ]  # fmt: skip


def test_labels_on_other_grids(data: Path, put: Any, labels: Any, affine: Any) -> None:
    put(data / "labelsTr" / "a.nii.gz", labels(0)[:, :, :7])
    affine[2, 3] += 20
    put(data / "labelsTr" / "b.nii.gz", labels(1), affine)
    affine[2, 3] -= 19.98
    put(data / "labelsTr" / "c.nii.gz", labels(2), affine)
    found = inspect_dataset(data)
    assert kinds(found) == {"grid": ["a", "b"], "nearly-grid": ["c"]}
    assert only(found, "nearly-grid") == "its affine differs from the image's by up to 0.02 mm"


def test_ids_that_cannot_be_meant(data: Path, put: Any, labels: Any) -> None:
    put(data / "labelsTr" / "a.nii.gz", labels(0) * 3)
    put(data / "labelsTr" / "b.nii.gz", labels(1) * np.float32(0.5))
    put(data / "labelsTr" / "c.nii.gz", labels(2).astype(np.float32))
    put(data / "labelsTr" / "d.nii.gz", labels(3) * 0)
    found = inspect_dataset(data)
    assert kinds(found) == {
        "not-ids": ["b"], "unknown-ids": ["a"], "empty": ["d"], "float-ids": ["c"],
    }  # fmt: skip
    assert only(found, "unknown-ids") == "holds 3, 6"
    assert only(found, "float-ids") == "stored as float32"


def test_the_id_to_be_passed_over_is_known(data: Path, put: Any, labels: Any, say: Any) -> None:
    array = labels(0)
    array[0, 0, 0], array[0, 0, 1] = 3, 255
    put(data / "labelsTr" / "a.nii.gz", array)
    assert only(inspect_dataset(data), "unknown-ids") == "holds 3"
    say(data, "dataset.json", {"labels": {"liver": 1, "spleen": 2, "ignore": 3}, "numTraining": 4})
    assert kinds(inspect_dataset(data)) == {}


def test_image_and_labels_exchanged(data: Path, put: Any, scan: Any, labels: Any) -> None:
    put(data / "imagesTr" / "a_0000.nii.gz", labels(0))
    put(data / "labelsTr" / "a.nii.gz", scan(0))
    found = kinds(inspect_dataset(data))
    assert found["swapped"] == found["not-ids"] == ["a"]


def test_partial_labels_are_told_or_missed(data: Path, put: Any, labels: Any, say: Any) -> None:
    sparse = labels(0)
    sparse[:, :, [2, 3]] = 0
    put(data / "labelsTr" / "a.nii.gz", sparse)
    found = inspect_dataset(data)
    assert kinds(found) == {}  # four of six slices are no few
    sparse[:, :, [4, 5]] = 0
    put(data / "labelsTr" / "a.nii.gz", sparse)
    found = inspect_dataset(data)
    assert only(found, "few-slices") == "is drawn on 2 of 8 slices: 1, 6"
    say(data, "annotations.json", {"a": {"annotated_slices": [1, 6]}, "b": {"labels_present": []}})
    found = inspect_dataset(data)
    assert kinds(found) == {"partial": ["a"], "unlabelled": ["b"]}
    say(data, "annotations.json", {"a": {"annotated_slices": [1]}})
    assert only(inspect_dataset(data), "doubtful").startswith("has labels on the slices 6, which")


def test_what_the_reader_doubts_is_told(data: Path, put: Any, scan: Any) -> None:
    put(data / "imagesTr" / "b_0000.nii.gz", scan(1) * 0)
    assert "every voxel is 0" in only(inspect_dataset(data), "doubtful")
