"""Odd and broken files from the wild through the commands: every verdict of their index is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

FOR_TRAINING_ONLY = ("unknown_id_labels.nii.gz",)
"""Labels that only a dataset can refuse, which says what ids there are."""
EVERY = 12
"""Of the 48 axis orders every so many-th: reading is tested with all of them."""


class Entry(NamedTuple):
    """A file of the index."""

    path: Path
    role: str
    verdict: str

    def agrees(self, accepted: bool) -> bool:
        """Tell whether what became of it is what the index says."""
        either = self.verdict == "either" or self.path.name in FOR_TRAINING_ONLY
        return either or (self.verdict == "accept") == accepted


@pytest.fixture
def entries(shared_data: Path) -> list[Entry]:
    index = json.loads((shared_data / "edge" / "INDEX.json").read_text())["files"]
    found = []
    for one in index:
        pattern = one["file"].rstrip("/").replace("XYZ", "[A-Z][A-Z][A-Z]")
        paths = sorted((shared_data / "edge").glob(pattern))
        assert len(paths) == one.get("count", 1), one["file"]
        every = EVERY if "count" in one else 1
        found += [Entry(path, one["role"], one["verdict"]) for path in paths[::every]]
    return found


def image_of(labels: Path) -> Path:
    """Return the image that labels of the index belong to."""
    own = labels.name.startswith("orient_")
    return labels.with_name(labels.name.replace("_label", "") if own else "crop.nii.gz")


def test_convert_keeps_every_verdict(
    door: Callable[..., Any], entries: list[Entry], tmp_path: Path
) -> None:
    wrong = []
    for at, entry in enumerate(entries):
        out = tmp_path / f"{at}.nii.gz"
        like = () if entry.role == "image" else ("--like", image_of(entry.path))
        done = door("slicekit", "convert", entry.path, *like, "-o", out)
        assert "Traceback" not in done.err
        assert done.code in (0, 1), entry.path
        assert out.exists() == (done.code == 0), entry.path
        if done.code:
            (told,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
            assert str(entry.path) in told
        if not entry.agrees(done.code == 0):
            wrong.append((entry, done.err))
    assert wrong == []
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_a_batch_keeps_every_verdict(
    door: Callable[..., Any], entries: list[Entry], using: tuple[str, ...], tmp_path: Path
) -> None:
    """All images as one folder of scans, files and series among one another."""
    root = tmp_path / "scans"
    root.mkdir()
    asked = {}
    for at, entry in enumerate(entries):
        folder = entry.path.is_dir()
        if entry.role == "image" and (folder or entry.path.name.endswith((".nii", ".nii.gz"))):
            ending = ".nii.gz" if entry.path.name.endswith(".gz") else ".nii"
            name = f"{at}" if folder else f"{at}{ending}"
            (root / name).symlink_to(entry.path)
            asked[str(root / name)] = entry
    done = door(
        "slicekit", "segment", root, "-o", tmp_path / "out", *using, "--no-propagation", "--json"
    )
    assert done.code == 2
    assert "Traceback" not in done.err
    told = {one["scan"]: one for one in json.loads(done.out)["cases"]}
    passed_over = {path for path in asked if path not in told}
    assert {asked[path].path.name for path in passed_over} == {"empty"}
    assert "(no DICOM)" in done.err
    wrong = [
        (asked[path], one.get("error"))
        for path, one in told.items()
        if not asked[path].agrees(one["status"] == "done")
    ]
    assert wrong == []
    for path, one in told.items():
        labels = Path(one["labels"])
        assert labels.is_file() == (one["status"] == "done")
        assert one["status"] == "done" or path in one["error"]
    written = {path.name for path in (tmp_path / "out").iterdir() if path.name != "run.jsonl"}
    assert len(written) == 3 * sum(one["status"] == "done" for one in told.values())
