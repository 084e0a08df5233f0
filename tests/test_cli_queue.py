"""What to annotate next, from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slicekit.inference import model
from slicekit.report import queue as module


def test_proposals_are_printed_and_files_named(
    door: Callable[..., Any], scans: Path, using: tuple[str, ...], tmp_path: Path
) -> None:
    out = tmp_path / "queue"
    words = ("-n", 3, "--every-mm", 40, "--weights", "liver=2", "aorta=0", "-o", out, *using)
    done = door("slicekit", "queue", scans, *words)
    assert done.code == 0, done.err
    assert "trial_reference on cpu" in done.err
    lines = done.out.splitlines()
    assert lines[3:] == [str(out / "queue.csv"), str(out / "queue.png")]
    assert lines[0].startswith("  1  ")
    assert ", slice " in lines[0]
    assert "entropy of" in lines[0]
    again = door("slicekit", "queue", scans, *words)
    assert again.code == 1
    assert "queue.csv: exists already" in again.err
    assert door("slicekit", "queue", scans, *words, "--overwrite").code == 0


def test_scans_that_fail_are_named_and_fewer_proposals_explained(
    door: Callable[..., Any], scans: Path, using: tuple[str, ...], tmp_path: Path
) -> None:
    (scans / "broken.nii.gz").write_bytes(b"no scan")
    words = ("--per", "case", "--strategy", "uniform", "--every-mm", 80, *using)
    done = door("slicekit", "queue", scans, "-o", tmp_path / "queue", *words)
    assert done.code == 2
    assert "broken.nii.gz" in done.err
    assert "2 of 20: there is no more" in done.err
    assert done.out.splitlines()[0].startswith("  1  a: all organs (evenly spread")
    assert (tmp_path / "queue" / "queue.csv").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["-n", "0"], 2, "than or equal to 1"),
        (["--strategy", "entropi"], 2, "did you mean 'entropy'"),
        (["--per", "slices"], 2, "did you mean 'slice'"),
        (["--every-mm", "0"], 2, "wants a number above 0"),
        (["--weights", "liver"], 2, "wants NAME=NUMBER, numbers from 0, got 'liver'"),
        (["--weights", "liver=-1"], 2, "got 'liver=-1'"),
        (["--weights", "liver=nan"], 2, "got 'liver=nan'"),
        (["--weights", "livr=1"], 1, "did you mean 'liver'"),
        (["--group", "train"], 1, "leave --group out"),
        (["--seed", "-1"], 2, "than or equal to 0"),
    ],
)
def test_faults_are_told_before_a_scan_is_read(
    words: list[str],
    code: int,
    said: str,
    door: Callable[..., Any],
    scans: Path,
    using: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "survey", lambda *_, **__: pytest.fail("a scan was read"))
    done = door("slicekit", "queue", scans, "-o", tmp_path / "queue", *using, *words)
    assert done.code == code
    assert said in " ".join(done.err.replace("│", " ").split())
    assert "Traceback" not in done.err
    assert not (tmp_path / "queue").exists()


def test_an_empty_folder_is_told(
    door: Callable[..., Any], using: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    done = door("slicekit", "queue", tmp_path / "empty", "-o", tmp_path / "queue", *using)
    assert done.code == 1
    assert "holds neither a dataset.json nor a .nii or .nii.gz file" in done.err


def test_outputs_in_the_way_are_told_before_a_model_is_loaded(
    door: Callable[..., Any],
    scans: Path,
    using: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "queue.png").touch()
    monkeypatch.setattr(model, "load_model", lambda *_, **__: pytest.fail("it was loaded"))
    done = door("slicekit", "queue", scans, "-o", tmp_path, *using)
    assert (done.code, "queue.png: exists already" in done.err) == (1, True)
