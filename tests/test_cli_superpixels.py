"""The command that cuts scans into superpixels."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

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
    assert sorted(path.name for path in out.iterdir()) == ["a.nii.gz", "b.nii.gz"]
    assert "1 of 3 scans failed" in done.err
    again = door("slicekit", "superpixels", scans / "a.nii.gz", "-o", out / "a.nii.gz")
    assert again.code == 1
    assert "exists already" in again.err


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
