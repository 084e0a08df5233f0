"""The command that cuts scans into superpixels."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from made_series import write_series

from slicekit.io import read_labels, read_volume


def test_a_scan_becomes_labels_on_its_own_grid(
    door: Callable[..., Any], scans: Path, tmp_path: Path
) -> None:
    scan, out = scans / "a.nii.gz", tmp_path / "new" / "labels.nii.gz"
    done = door("slicekit", "superpixels", scan, "-o", out, "--segments", 40)
    assert (done.code, done.err) == (0, "")
    assert re.search(r"16 of 16 slices, \d\d superpixels a slice, \d+ slices/s", done.out)
    image = read_volume(scan)
    cut = read_labels(out, like=image).array
    assert np.array_equal(nibabel.load(out).affine, nibabel.load(scan).affine)
    assert 0.1 < (cut > 0).mean() < 0.95
    fewer = tmp_path / "fewer.nii.gz"
    more = ("--segments", 40, "--regions", 6, "--fast", "--whole", "--threads", 1)
    assert "6 regions a slice" in door("slicekit", "superpixels", scan, "-o", fewer, *more).out
    regions = read_labels(fewer, like=image).array
    assert (regions > 0).all()
    assert (regions.max(axis=(1, 2)) == 6).all()


def test_a_folder_becomes_a_folder_and_one_fault_stops_nothing(
    door: Callable[..., Any], scans: Path, tmp_path: Path
) -> None:
    (scans / "broken.nii.gz").write_bytes(b"nothing")
    out = tmp_path / "out"
    done = door("slicekit", "superpixels", scans, "-o", out, "--segments", 20)
    assert done.code == 2
    made = ["a.json", "a.nii.gz", "b.json", "b.nii.gz", "run.jsonl"]
    assert sorted(path.name for path in out.iterdir()) == made
    assert "1 of 3 scans failed" in done.err
    again = door("slicekit", "superpixels", scans / "a.nii.gz", "-o", out / "a.nii.gz")
    assert again.code == 1
    assert "exists already" in again.err


def test_what_is_done_is_skipped_and_what_was_made_otherwise_is_not_touched(
    door: Callable[..., Any], scans: Path, tmp_path: Path
) -> None:
    words = ("slicekit", "superpixels", scans, "-o", tmp_path / "out", "--segments", 20)
    done = door(*words, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["scans"], told["failed"]) == (2, 0)
    assert [(one["case"], one["status"]) for one in told["cases"]] == [
        ("a.nii.gz", "done"), ("b.nii.gz", "done"),
    ]  # fmt: skip
    assert told["cases"][0]["slices"] == 16
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    again = door(*words, "--threads", 1)
    assert (again.code, again.out) == (0, "")
    assert "2 of 2 scans were done already" in again.err
    other = door(*words[:-1], 30)
    assert other.code == 2
    assert "was made with segments 20, not 30; say --overwrite" in other.err
    assert all(
        path.stat().st_mtime_ns == then for path, then in before.items() if path.suffix != ".jsonl"
    )
    assert door(*words[:-1], 30, "--overwrite").code == 0
    side = json.loads((tmp_path / "out" / "a.json").read_text())
    assert side["superpixels"]["options"]["segments"] == 30
    assert side["superpixels"]["figures"]["cut_slices"] == 16


def test_json_tells_of_one_scan(door: Callable[..., Any], scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels.nii.gz"
    done = door("slicekit", "superpixels", scans / "a.nii.gz", "-o", out, "--json")
    told = json.loads(done.out)
    assert told["labels"] == str(out)
    assert (told["slices"], told["cut_slices"]) == (16, 16)
    assert [path.name for path in tmp_path.glob("labels*")] == ["labels.nii.gz"]


def test_a_scan_is_read_as_it_is_described(
    door: Callable[..., Any], scans: Path, tmp_path: Path
) -> None:
    scan, out = scans / "a.nii.gz", tmp_path / "x.nii.gz"
    done = door("slicekit", "superpixels", scan, "-o", out, "--gray-range", 275, -125)
    assert done.code == 1 and "the lower first" in done.err
    done = door("slicekit", "superpixels", scan, "-o", out, "--spacing", 1, 1, 1)
    assert done.code == 1 and "leave out spacing_mm" in done.err
    assert not out.exists()


def test_folders_of_dicom_are_scans(door: Callable[..., Any], tmp_path: Path) -> None:
    for name in ("ann", "ben"):
        write_series(tmp_path / "patients" / name)
    words = ("slicekit", "superpixels", tmp_path / "patients", "-o", tmp_path / "out", "--whole")
    done = door(*words, "--segments", 20)
    assert done.code == 0, done.err
    assert read_labels(tmp_path / "out" / "ben.nii.gz").array.any()
    assert "2 of 2 scans were done already" in door(*words, "--segments", 20).err


def test_more_than_255_superpixels_have_room(
    door: Callable[..., Any], scans: Path, tmp_path: Path
) -> None:
    out = tmp_path / "many.nii.gz"
    door("slicekit", "superpixels", scans / "a.nii.gz", "-o", out, "--segments", 500, "--whole")
    assert 400 < read_labels(out).array.max() < 700


def test_a_scan_without_a_body_says_so(door: Callable[..., Any], tmp_path: Path) -> None:
    scan = tmp_path / "air.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.full((12, 10, 3), -1000, np.int16), np.eye(4)), scan)
    done = door("slicekit", "superpixels", scan, "-o", tmp_path / "x.nii.gz")
    assert done.code == 0
    assert "no body was found" in done.out


def test_numbers_that_cannot_be_meant_are_a_wrong_command_line(
    door: Callable[..., Any], scans: Path
) -> None:
    for words in (("--segments", 0), ("--regions", 0), ("--threads", 0), ("--segments", 10**6)):
        assert door("slicekit", "superpixels", scans, *words).code == 2
