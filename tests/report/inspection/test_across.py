"""What is seen when cases are held beside one another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from found import kinds, only

from slicekit.report.inspection import inspect_dataset


def test_scans_that_are_not_like_the_others(data: Path, put: Any, scan: Any, affine: Any) -> None:
    put(data / "imagesTr" / "a_0000.nii.gz", scan(0)[::-1], affine * [[-1, 1, 1, 1]])
    put(data / "imagesTr" / "b_0000.nii.gz", scan(1), affine * [[1, 1, 4, 1]])
    put(data / "imagesTr" / "c_0000.nii.gz", (np.abs(scan(2)) % 256).astype(np.uint8))
    found = kinds(inspect_dataset(data))
    assert found["orientation"] == ["a"]
    assert found["spacing"] == ["b"]
    assert found["intensities"] == ["c"]


def test_repeated_scans_and_labels(data: Path, put: Any, scan: Any, labels: Any, say: Any) -> None:
    put(data / "imagesTr" / "d_0000.nii.gz", scan(0).astype(np.float32))  # stored otherwise
    found = inspect_dataset(data)
    assert kinds(found) == {"duplicate": ["d"]}
    assert only(found, "duplicate") == "has the voxels of a"
    say(data, "splits.json", {"train": ["a", "b"], "val": ["d"]})
    found = inspect_dataset(data)
    assert kinds(found) == {"leak": ["d"]}
    assert only(found, "leak") == "has the voxels of a: a in train, d in val"
    put(data / "imagesTr" / "d_0000.nii.gz", scan(3))
    put(data / "labelsTr" / "d.nii.gz", labels(0))
    assert kinds(inspect_dataset(data)) == {"same-labels": ["d"]}


def test_organs_that_are_missing(data: Path, put: Any, labels: Any, say: Any) -> None:
    table = {"labels": {"liver": 1, "spleen": 2, "aorta": 3}, "numTraining": 4}
    say(data, "dataset.json", table)
    assert kinds(inspect_dataset(data)) == {"never": ["aorta"]}
    for seed, name in enumerate("efgh", start=4):
        put(data / "imagesTr" / f"{name}_0000.nii.gz", np.roll(labels(seed), 1) * np.int16(seed))
        drawn = labels(seed) * (labels(seed) == 1) if name == "h" else labels(seed)
        drawn[0, 0, seed - 4] = 1
        put(data / "labelsTr" / f"{name}.nii.gz", drawn)
    found = inspect_dataset(data)
    assert only(found, "absent") == "has no spleen; 7 of 8 have"
    say(data, "annotations.json", {"h": {"labels_present": ["liver"]}})
    assert "absent" not in inspect_dataset(data).by_kind()
