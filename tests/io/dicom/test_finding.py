"""The series in a folder of patients: found by their files, named, and the rest told."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from made_series import write_series
from pydicom.dataset import Dataset

from slicekit.errors import DataWarning
from slicekit.io import listing
from slicekit.io.dicom.finding import find_series


def small(folder: Path, **words: Any) -> None:
    write_series(folder, np.ones((3, 4, 4), np.uint16), **words)


def names(root: Path, found: list[Path]) -> list[str]:
    return [path.relative_to(root).as_posix() for path in found]


def test_patients_are_found_at_every_depth_and_the_rest_is_told(tmp_path: Path) -> None:
    small(tmp_path / "p1")
    small(tmp_path / "p2" / "study" / "ct", series="1.2.9", name="I{}")
    small(tmp_path / "p2" / "study" / "mr", series="1.2.10")
    small(tmp_path / ".hidden")
    shutil.make_archive(str(tmp_path / "p3"), "zip", tmp_path / "p1")
    (tmp_path / "scan.nii.gz").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "p4").mkdir()
    (tmp_path / "p4" / "scan.nii.gz").touch()
    (tmp_path / "p5").mkdir()
    found = find_series(tmp_path)
    assert names(tmp_path, found.scans) == ["p3.zip", "p1", "p2/study/ct", "p2/study/mr"]
    nifti = "p4 (NIfTI files are taken from the folder that was named)"
    assert found.strays == ["notes.txt", nifti, "p5 (no DICOM)"]


def test_a_few_files_tell_a_folder_and_no_header_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    for at in range(200):
        (tmp_path / "a" / f"{at:03}").write_bytes(b"no DICOM" * 100)
    small(tmp_path / "b", name="{:03}")
    opened: list[Path] = []
    right = listing.is_dicom
    monkeypatch.setattr(listing, "is_dicom", lambda file: opened.append(file) or right(file))
    read: list[Any] = []
    monkeypatch.setattr(pydicom, "dcmread", lambda *words, **_: read.append(words) or Dataset())
    assert names(tmp_path, find_series(tmp_path).scans) == ["b"]
    assert sum(file.parent.name == "a" for file in opened) <= 16
    assert len(read) == 1


def test_a_series_spread_over_folders_is_one_scan_and_copies_are_not(tmp_path: Path) -> None:
    small(tmp_path / "all")
    for at in range(3):
        part = tmp_path / "spread" / f"IM{at}"
        part.mkdir(parents=True)
        shutil.copy(tmp_path / "all" / f"IM00{at}.dcm", part)
    assert find_series(tmp_path / "spread").scans == [tmp_path / "spread"]
    for name in ("one", "two"):
        shutil.copytree(tmp_path / "all", tmp_path / "copies" / name)
    assert names(tmp_path / "copies", find_series(tmp_path / "copies").scans) == ["one", "two"]
    shutil.copytree(tmp_path / "all", tmp_path / "spread" / "other")
    for file in (tmp_path / "spread" / "other").iterdir():
        header = pydicom.dcmread(file)
        header.SeriesInstanceUID = "1.9"
        header.save_as(file)
    with pytest.warns(DataWarning, match="IM0, IM1, IM2 are parts of one series"):
        assert len(find_series(tmp_path / "spread").scans) == 4


def test_what_is_dicom_but_no_scan_is_passed_over(tmp_path: Path) -> None:
    def plan(_: int, header: Dataset) -> None:
        header.Modality = "RTPLAN"

    small(tmp_path / "p" / "ct")
    small(tmp_path / "p" / "plan", change=plan)
    (tmp_path / "p" / "DICOMDIR").touch()
    (tmp_path / "p" / "pictures").mkdir()
    (tmp_path / "p" / "pictures" / "1.png").touch()
    found = find_series(tmp_path)
    assert names(tmp_path, found.scans) == ["p/ct"]
    assert found.strays == ["p/pictures (no DICOM)", "p/plan (RTPLAN, no scan)"]


def test_damage_is_the_readers_business(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.dcm").write_bytes(b"")
    (tmp_path / "b.zip").write_bytes(b"PK broken")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = find_series(tmp_path)
    assert names(tmp_path, found.scans) == ["b.zip", "a"]


def test_links_are_followed_to_series_only(tmp_path: Path) -> None:
    small(tmp_path / "store" / "x")
    root = tmp_path / "root"
    root.mkdir()
    (root / "one").symlink_to(tmp_path / "store" / "x")
    (root / "circle").symlink_to(root)
    found = find_series(root)
    assert names(root, found.scans) == ["one"]
    assert found.strays == ["circle (no DICOM)"]


def test_the_folder_of_results_is_not_searched(tmp_path: Path) -> None:
    small(tmp_path / "p1")
    small(tmp_path / "out")
    assert names(tmp_path, find_series(tmp_path, but=tmp_path / "out").scans) == ["p1"]
    assert not find_series(tmp_path, but=tmp_path / "out").strays
