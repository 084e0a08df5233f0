"""Folders of patients on the command line: every series is a case, one bad one stops none."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_series import write_series

from slicekit.io import read_labels, read_volume, write_volume

QUICK = ("--no-propagation",)
Door = Callable[..., Any]


def body(count: int = 8) -> np.ndarray[Any, Any]:
    voxels = np.full((count, 48, 48), 24, np.uint16)
    voxels[1:-1, 10:38, 10:38] = 1084
    return voxels


@pytest.fixture
def patients(tmp_path: Path) -> Path:
    """Two patients with a series each, one in an archive, one with two series in one folder."""
    root = tmp_path / "patients"
    write_series(root / "anna", body())
    write_series(root / "berta" / "ct", body(6), series="1.2.7")
    write_series(tmp_path / "packed", body(5), series="1.2.8", number=4)
    shutil.make_archive(str(root / "carla"), "zip", tmp_path / "packed")
    write_series(root / "mixed", body(4), series="1.2.9", number=4, name="A{}.dcm")
    write_series(root / "mixed", body(3), series="1.2.10", number=5, name="B{}.dcm")
    return root


def lines(journal: Path) -> dict[str, dict[str, Any]]:
    told = [json.loads(line) for line in journal.read_text().splitlines()]
    return {one["case"]: one for one in told}


def test_every_series_is_a_case_and_one_bad_one_stops_none(
    door: Door, patients: Path, phantoms: Any, using: tuple[str, ...], tmp_path: Path
) -> None:
    write_volume(patients / "dora.nii.gz", phantoms[0].image)
    (patients / "notes.txt").touch()
    out = tmp_path / "out"
    words = (patients, "-o", out, *using, *QUICK)
    done = door("slicekit", "segment", *words)
    assert done.code == 2
    assert "passed over what is no scan: notes.txt\n" in done.err
    assert "mixed: holds 2 series that make no one volume; choose one with --series" in done.err
    assert f"1 of 5 scans failed: {patients}/mixed\n" in done.err
    made = ("anna", "berta_ct", "carla", "dora")
    for name, scan in zip(made, ("anna", "berta/ct", "carla.zip", "dora.nii.gz"), strict=True):
        labels = read_labels(out / f"{name}.nii.gz", like=read_volume(patients / scan))
        assert labels.array.any()
    told = lines(out / "run.jsonl")
    assert {case: one["status"] for case, one in told.items()} == {
        **{f"{name}.nii.gz": "done" for name in made}, "mixed.nii.gz": "failed"
    }  # fmt: skip
    again = door("slicekit", "segment", *words)
    assert "4 of 5 scans were done already" in again.err
    page = door("slicekit", "report", out, "-o", tmp_path / "batch.html")
    assert page.code == 0, page.err


def test_a_changed_series_is_seen_and_a_copied_one_is_the_same(
    door: Door, patients: Path, using: tuple[str, ...], tmp_path: Path
) -> None:
    shutil.rmtree(patients / "mixed")
    words = (patients, "-o", tmp_path / "out", *using, *QUICK)
    assert door("slicekit", "segment", *words).code == 0
    for file in (patients / "anna").iterdir():
        os.utime(file, ns=(1, 1))
    (patients / "anna" / "notes.txt").write_text("nothing")
    done = door("slicekit", "segment", *words)
    assert (done.code, "3 of 3 scans were done already" in done.err) == (0, True)
    content = bytearray((patients / "anna" / "IM003.dcm").read_bytes())
    content[-9] ^= 1
    (patients / "anna" / "IM003.dcm").write_bytes(content)
    done = door("slicekit", "segment", *words)
    assert (done.code, "anna.nii.gz: is of another scan than lies" in done.err) == (2, True)
    (patients / "anna" / "IM007.dcm").unlink()
    done = door("slicekit", "segment", *words, "--overwrite")
    assert done.code == 0
    assert read_labels(tmp_path / "out" / "anna.nii.gz").shape[0] == 7


def test_series_and_parts_belong_to_every_case(
    door: Door, patients: Path, using: tuple[str, ...], tmp_path: Path
) -> None:
    words = (patients, "-o", tmp_path / "out", *using, *QUICK)
    done = door("slicekit", "segment", *words, "--series", "4")
    assert done.code == 2
    assert "anna: has no series '4'" in done.err
    assert read_labels(tmp_path / "out" / "mixed.nii.gz").shape[0] == 4
    assert read_labels(tmp_path / "out" / "carla.nii.gz").shape[0] == 5
    shares = [
        door("slicekit", "segment", patients, "-o", tmp_path / "shared", *using, *QUICK,
             "--parts", 2, "--part", part)
        for part in (1, 2)
    ]  # fmt: skip
    assert [one.code for one in shares] == [0, 2]
    assert sorted(path.name for path in (tmp_path / "shared").glob("*.nii.gz")) == [
        "anna.nii.gz", "berta_ct.nii.gz", "carla.nii.gz"
    ]  # fmt: skip


def test_one_file_cannot_take_several_patients(door: Door, patients: Path, tmp_path: Path) -> None:
    for name in ("x.nii.gz", "x.dcm"):
        done = door("slicekit", "segment", patients, "-o", tmp_path / name)
        assert done.code == 1
        assert f"{name}: is the name of one file, but {patients} holds 4 scans; name a" in done.err
    done = door("slicekit", "segment", patients, "-o", patients)
    assert (done.code, "is the folder of the scans" in done.err) == (1, True)
    write_series(patients / "berta_ct", body(2))
    done = door("slicekit", "segment", patients, "-o", tmp_path / "out")
    assert done.code == 1
    assert "berta_ct.nii.gz: would be written for both" in done.err


def test_what_was_one_scan_still_is(door: Door, using: tuple[str, ...], tmp_path: Path) -> None:
    root = tmp_path / "study"
    write_series(root / "a", body(4))
    out = tmp_path / "one.nii.gz"
    assert door("slicekit", "segment", root, "-o", out, *using, *QUICK).code == 0
    write_series(root / "b", body(5), series="1.2.9", number=9)
    two = tmp_path / "two.nii.gz"
    assert door("slicekit", "convert", root, "-o", two, "--series", 9).code == 0
    assert read_volume(two).shape[0] == 5
    assert door("slicekit", "convert", root / "a", "-o", tmp_path / "a.nii.gz").code == 0


def test_a_folder_of_patients_is_converted(door: Door, patients: Path, tmp_path: Path) -> None:
    out = tmp_path / "nifti"
    done = door("slicekit", "convert", patients, "-o", out)
    assert done.code == 2
    assert "mixed: holds 2 series" in done.err
    assert f"{out}/berta_ct.nii.gz\n  6 x 48 x 48 voxels of 2.5 x 0.75 x 0.5 mm" in done.out
    assert np.array_equal(
        read_volume(out / "carla.nii.gz").array, read_volume(patients / "carla.zip").array
    )
    before = (out / "anna.nii.gz").stat().st_mtime_ns
    again = door("slicekit", "convert", patients, "-o", out, "--series", "A0", "--json")
    assert json.loads(again.out)["failed"] == 4  # made with another wish
    done = door("slicekit", "convert", patients, "-o", out)
    assert "3 of 4 scans were done already" in done.err
    assert (out / "anna.nii.gz").stat().st_mtime_ns == before
    shutil.rmtree(patients / "mixed")
    assert door("slicekit", "convert", patients, "-o", out).code == 0
    (out / "anna.nii.gz").write_bytes(b"broken")
    done = door("slicekit", "convert", patients, "-o", out)
    assert (done.code, "anna.nii.gz: is damaged (" in done.err) == (2, True)
    assert door("slicekit", "convert", patients, "-o", out, "--overwrite").code == 0
    assert read_volume(out / "anna.nii.gz").shape[0] == 8


def test_a_folder_of_real_patients(door: Door, shared_data: Path, tmp_path: Path) -> None:
    """Two real series and every odd one, as one folder of patients."""
    root = tmp_path / "patients"
    root.mkdir()
    for folder in (*(shared_data / "edge" / "dicom").iterdir(),
                   *(shared_data / "dicom_series").iterdir()):  # fmt: skip
        if folder.is_dir():
            (root / folder.name).symlink_to(folder)
    done = door("slicekit", "convert", root, "-o", tmp_path / "out")
    assert done.code == 2
    assert "passed over what is no scan: empty (no DICOM)" in done.err
    written = {path.name.removesuffix(".nii.gz") for path in (tmp_path / "out").glob("*.nii.gz")}
    assert written == {
        "compressed", "compressed_j2k", "compressed_jpeg", "compressed_jpegls", "compressed_rle",
        "stray_files", "two_slices", "crlm_1004", "totalseg_j2k",
    }  # fmt: skip
    assert "8 of 17 scans failed" in done.err
    assert done.err.count("error: ") == 8
