"""Superpixels in a batch: whether labels are what is wanted, and why not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from slicekit.errors import WriteError
from slicekit.report.superpixels_job import SuperpixelJob, SuperpixelOptions, cut_file

OPTIONS = SuperpixelOptions(segments=9, masked=False, threads=1)


def save(path: Path, seed: int) -> Path:
    values = np.random.default_rng(seed).normal(0, 50, (16, 12, 3)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    return path


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Path]:
    """A scan and its labels, complete."""
    scan, target = save(tmp_path / "scan.nii.gz", 1), tmp_path / "out" / "scan.nii.gz"
    cut = SuperpixelJob(OPTIONS).make(scan, target, overwrite=False)
    assert cut.labels == target and cut.cut_slices == cut.slices == 3
    return scan, target


def test_what_is_wanted_is_done_and_nothing_is_absent(made: tuple[Path, Path]) -> None:
    scan, target = made
    job = SuperpixelJob(replace(OPTIONS, threads=2, overwrite=True))
    assert job.find(scan, target) == ("done", "")
    assert job.find(scan, target.with_name("other.nii.gz")).state == "absent"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"segments": 12}, "was made with segments 9, not 12"),
        ({"regions": 3}, "was made with regions None, not 3"),
        ({"fast": True}, "was made with fast False, not True"),
        ({"masked": True}, "was made with masked False, not True"),
        ({"gray_range": (0.0, 9.0)}, "was made with gray_range None, not [0.0, 9.0]"),
        ({"series": "7"}, "was made with series None, not 7"),
    ],
)
def test_every_option_that_changes_labels_counts(
    changes: dict[str, object], said: str, made: tuple[Path, Path]
) -> None:
    wanted = replace(OPTIONS, **changes)  # type: ignore[arg-type]
    assert SuperpixelJob(wanted).find(*made) == ("other", said)


def test_another_scan_and_damage_are_told(made: tuple[Path, Path]) -> None:
    scan, target = made
    job, whole = SuperpixelJob(OPTIONS), target.read_bytes()
    target.write_bytes(whole[:60])
    assert "is damaged" in job.find(scan, target).why
    corrected = nibabel.Nifti1Image(np.ones((16, 12, 3), np.uint8), np.eye(4))
    nibabel.save(corrected, target)  # a person's own corrections are whole
    assert job.find(scan, target).state == "done"
    target.unlink()
    assert job.find(scan, target) == ("other", "is not there")
    target.write_bytes(whole)
    save(scan, 2)
    assert job.find(scan, target) == ("other", "is of another scan than lies there now")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"superpixels": 3}'])
def test_another_sidecar_is_another_result(content: str, made: tuple[Path, Path]) -> None:
    scan, target = made
    target.with_name("scan.json").write_text(content)
    found = SuperpixelJob(OPTIONS).find(scan, target)
    assert found == ("other", "scan.json does not tell how it was made")


def test_files_without_a_sidecar_are_unfinished_and_not_removed(made: tuple[Path, Path]) -> None:
    scan, target = made
    job = SuperpixelJob(OPTIONS)
    target.with_name("scan.json").unlink()
    assert job.find(scan, target) == ("unfinished", "exists already, without a sidecar")
    target.unlink()
    figures = target.with_name("scan_stats.json")
    figures.write_text("{}")
    assert "scan_stats.json exists already" in job.find(scan, target).why
    with pytest.raises(WriteError, match="scan_stats"):
        job.make(scan, target, overwrite=False)
    job.make(scan, target, overwrite=True)
    assert not figures.exists()
    side = json.loads(target.with_name("scan.json").read_text())
    assert side["superpixels"]["figures"]["slices"] == 3


def test_a_scan_alone_gets_labels_alone(tmp_path: Path) -> None:
    scan, labels = save(tmp_path / "scan.nii.gz", 1), tmp_path / "labels.nii.gz"
    seen: list[tuple[str, int, int]] = []
    options = replace(OPTIONS, regions=4)
    cut = cut_file(scan, labels, options, progress=lambda *told: seen.append(told))
    assert seen == [("superpixels", 3, 3)]
    assert "3 of 3 slices, 4 regions a slice" in str(cut)
    assert not labels.with_name("labels.json").exists()
    with pytest.raises(WriteError, match="exists already"):
        cut_file(scan, labels, options)
