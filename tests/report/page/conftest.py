"""A batch of six made-up cases as files, without any network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slicekit.io import write_labels, write_volume
from slicekit.labels import LabelSet
from slicekit.report.beside import write_statistics
from slicekit.report.journal import append_line
from slicekit.report.made import digest
from slicekit.volume import Volume

NAMES = LabelSet({"liver": 1, "<script>alert(1)</script>": 2})
AFFINE = np.array([[0, 0, -2.0, 0], [0, -2.0, 0, 0], [5.0, 0, 0, 0], [0, 0, 0, 1]])


def make_case(folder: Path, name: str, size: int, *, second: bool = True) -> Path:
    """Write a scan with a box of an organ, its labels and all that lies beside them."""
    image = np.full((6, 32, 32), -1000, np.int16)
    image[:, 4:28, 4:28] = 40
    ids = np.zeros(image.shape, np.uint8)
    ids[1:5, 8 : 8 + size, 8 : 8 + size] = 1
    if second:
        ids[2, 24:27, 24:27] = 2
    scan, labels = folder.parent / "scans" / f"{name}.nii.gz", folder / f"{name}.nii.gz"
    volume = Volume(image, AFFINE)
    write_volume(scan, volume)
    write_labels(labels, ids, like=volume)
    write_statistics(
        folder / f"{name}_stats.json", volume, Volume(ids, AFFINE), NAMES,
        in_hu=True, spacing_known=True,
    )  # fmt: skip
    side: dict[str, Any] = {
        "labels": {"background": 0, **NAMES.ids}, "scan": str(scan), "model": "toy",
        "weights_sha256": {"toy": "ab" * 32}, "command": ["infer.py", "<b>scan</b>"],
        "options": {"organs": None, "series": None, "allow_uneven": False}, "runtime": "cpu",
        "labels_sha256": digest(labels), "made_with": {"slicekit": "0"}, "licence": "none",
        "guides": [{"z": 2, "slice_in_file": 2, "organs": ["liver"], "reason": "<i>why</i>"}],
        "seconds": {"read": 0.5, "reference": 1.0}, "made_at": "2024-01-01T00:00:00",
    }  # fmt: skip
    (folder / f"{name}.json").write_text(json.dumps(side))
    line = {"case": labels.name, "scan": str(scan), "status": "done", "at": "1"}
    append_line(folder / "run.jsonl", line | {"seconds": 1.5, "peak_memory_mib": 345.6})
    return labels


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    """Five like cases, one unlike the others, one that failed and one that was stopped."""
    folder = tmp_path / "out"
    for n, size in enumerate((10, 10, 11, 10, 11)):
        make_case(folder, f"case_{n}", size)
    make_case(folder, "odd", 2, second=False)
    for case, status in (("bad<img>.nii.gz", "failed"), ("late.nii.gz", "stopped")):
        line = {"case": case, "status": status, "at": "2", "seconds": 0.2, "error": "<u>no</u>"}
        append_line(folder / "run.jsonl", line)
    return folder
