"""How unsure networks are, from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def test_every_scan_of_a_folder_gets_a_map(
    door: Callable[..., Any], scans: Path, using: tuple[str, ...], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = door("infer.py", scans, "-o", out, *using, "--uncertainty", "--no-propagation")
    assert done.code == 0, done.err
    files = (".nii.gz", ".json", "_stats.json", "_uncertainty.nii.gz")
    assert names_in(out) == {"run.jsonl"} | {case + file for case in "ab" for file in files}
    assert "beside it: a.json, a_stats.json, a_uncertainty.nii.gz" in done.out
    assert nibabel.load(out / "b_uncertainty.nii.gz").get_fdata().any()
    again = door("infer.py", scans / "a.nii.gz", "-o", out / "a.nii.gz", *using, "--uncertainty")
    assert again.code == 1
    assert "a.nii.gz: exists already" in again.err


def test_what_cannot_be_is_refused_at_the_door(
    door: Callable[..., Any],
    scans: Path,
    using: tuple[str, ...],
    trial_models: Path,
    tmp_path: Path,
) -> None:
    solid = ("--model", trial_models / "trial_volumetric.toml", "--device", "cpu")
    done = door("infer.py", scans, "-o", tmp_path / "out", *solid, "--uncertainty")
    assert done.code == 1
    assert "choose a reference, or leave --uncertainty out" in done.err
    masks = door("infer.py", scans / "a.nii.gz", "-o", tmp_path / "m", *using, "--uncertainty")
    assert masks.code == 1
    assert "is no name for labels; end it in .nii.gz" in masks.err
    assert names_in(tmp_path) == {"scans"}
