"""Segmenting from the command line as a user meets it: what is printed where, and exit codes."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from slicekit import terminal
from slicekit.inference import model
from slicekit.io import read_volume, write_volume
from slicekit.report import case


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def test_a_scan_becomes_labels_and_the_terminal_says_so(
    door: Callable[..., Any], scans: Path, using: tuple[str, ...], tmp_path: Path
) -> None:
    out = tmp_path / "out" / "a.nii.gz"
    done = door("infer.py", scans / "a.nii.gz", "-o", out, *using, "--preview")
    assert done.code == 0
    assert "trial_reference and trial_propagator on cpu" in done.err
    assert str(out) in done.out
    assert "seconds: read" in done.out
    assert "beside it: a.json, a_stats.json, a_preview.png" in done.out
    command = json.loads((out.parent / "a.json").read_text())["command"]
    assert command == sys.argv
    assert command[:2] == ["infer.py", str(scans / "a.nii.gz")]


def test_a_volumetric_model_goes_through_the_same_door(
    door: Callable[..., Any], scans: Path, trial_models: Path, tmp_path: Path
) -> None:
    out, solid = tmp_path / "x.nii.gz", trial_models / "trial_volumetric.toml"
    words = ("--model", solid, "--device", "cpu", "--selector", "uniform", "--no-propagation")
    done = door("infer.py", scans / "a.nii.gz", "-o", out, *words)
    assert done.code == 0, done.err
    assert "trial_volumetric on cpu, torch" in done.err  # whatever runs the other models
    assert json.loads((tmp_path / "x.json").read_text())["guides"] == []
    words = ("--model", solid, "--propagator", trial_models / "trial_propagator.toml")
    refused = door("infer.py", scans / "a.nii.gz", "-o", tmp_path / "y.nii.gz", *words)
    assert refused.code == 1
    assert "'trial_volumetric' is volumetric and names every voxel by itself" in refused.err
    words = ("-o", tmp_path / "z.nii.gz", "--model", "ct_abdomen_volumetric")
    absent = door("infer.py", scans / "a.nii.gz", *words)
    assert absent.code == 1
    assert "train them first, with python train.py models/ct_abdomen_volumetric.toml" in absent.err


@pytest.mark.parametrize("words", [("--organs", "liver", "aorta"), ("--organs", "aorta"), ()])
def test_several_organs_may_follow_one_option(
    words: tuple[str, ...],
    door: Callable[..., Any],
    scans: Path,
    using: tuple[str, ...],
    tmp_path: Path,
) -> None:
    out = tmp_path / "x.nii.gz"
    done = door("infer.py", scans / "a.nii.gz", *words, "-o", out, "--no-propagation", *using)
    assert done.code == 0, done.err
    side = json.loads((tmp_path / "x.json").read_text())
    wanted = words[1:] or ("liver", "spleen", "aorta")
    assert list(side["labels"]) == ["background", *wanted]
    assert side["propagator"] is None


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["--organs", "a", "b", "-o", "x"], ["--organs", "a", "--organs", "b", "-o", "x"]),
        (["s", "--gray-range", "-125", "275"], ["s", "--gray-range", "-125", "275"]),
        (["s", "--organs"], ["s", "--organs"]),
        (["--organs", "--preview"], ["--organs", "--preview"]),
        (["--organ", "a", "b"], ["--organ", "a", "--organ", "b"]),
        (["--classes", "a", "b"], ["--classes", "a", "--classes", "b"]),
        (["--unlabelled", "p", "q"], ["--unlabelled", "p", "--unlabelled", "q"]),
        (["--organs=a", "s"], ["--organs=a", "s"]),
        ([], []),
    ],
)
def test_options_with_several_values_are_spread(typed: list[str], meant: list[str]) -> None:
    assert terminal.spread(typed) == meant


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("segment", "--organs", "liver", "pat 1.nii.gz", "-o", "x.nii.gz"),
            "'scan'. --organs takes all words up to the next option; put the scan before it",
        ),
        (
            ("fewshot", "a.nii.gz", "b.nii.gz", "--organs", "liver", "c.nii.gz", "-o", "x.nii.gz"),
            "--organs takes all words up to the next option; put the query scan before it",
        ),
        (("segment", "-o", "x.nii.gz"), "Missing argument 'scan'."),
        (("segment", "s.nii.gz", "--organs", "liver", "--wat"), "No such option: --wat"),
    ],
)
def test_an_option_that_may_have_taken_an_argument_is_named(
    words: tuple[str, ...], said: str, door: Callable[..., Any]
) -> None:
    done = door("slicekit", *words)
    assert done.code == 2
    told = " ".join(done.err.replace("│", " ").split())
    assert said in told
    assert ("takes all words" in told) == ("takes all words" in said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--organs", "livr"], "unknown organ 'livr'; did you mean 'liver'? There are: aorta,"),
        (["--selector", "unifrm"], "did you mean 'uniform'?"),
        (["--device", "tpu"], "use auto, cpu, cuda or cuda:N"),
        (["--precision", "fp16"], "unknown precision 'fp16'; use auto, float32 or bf16"),
        (["--gray-range", "-125", "275"], "values from -1024 to"),
        (["--gray-range", "275", "-125"], "the lower first"),
        (["--volume", "3"], "a.nii.gz"),
        (["--spacing", "1", "1", "1"], "leave out spacing_mm"),
        (["--model", "nowhere.safetensors"], "nowhere.safetensors: there is no such weights"),
        (["--model", "ct_abdomen_referenc"], "did you mean 'ct_abdomen_reference'?"),
        (["-o", "labels"], "labels: is no name for labels; end it in .nii.gz"),
        (["-o", "a.mha"], "a.mha: is no name for labels"),
    ],
)
def test_faults_are_one_readable_block(
    words: list[str],
    said: str,
    door: Callable[..., Any],
    scans: Path,
    using: tuple[str, ...],
    tmp_path: Path,
) -> None:
    out = () if "-o" in words else ("-o", tmp_path / "x.nii.gz")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        patch.setattr(case, "segment_volume", lambda *_, **__: pytest.fail("it was computed"))
        done = door("infer.py", scans / "a.nii.gz", *out, *using, *words)
    assert done.code == 1
    assert done.out == ""
    lines = [line for line in done.err.splitlines() if not line.startswith("trial_reference")]
    assert [line.startswith("error: ") for line in lines] == [True]
    assert said in lines[0]
    assert "Traceback" not in done.err
    assert names_in(tmp_path) == {"scans"}


@pytest.mark.parametrize(
    "words",
    [["--volume", "-1"], ["--gray-range", "1"], ["--unknown"], ["--spacing", "1", "b", "2"]],
)
def test_a_wrong_command_line_is_exit_2(
    words: list[str], door: Callable[..., Any], scans: Path
) -> None:
    done = door("infer.py", scans, *words)
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err


def test_a_batch_goes_on_after_a_broken_scan(
    door: Callable[..., Any], scans: Path, using: tuple[str, ...], tmp_path: Path
) -> None:
    (scans / "aa [bold].nii.gz").write_bytes((scans / "a.nii.gz").read_bytes()[:3000])
    out = tmp_path / "out"
    done = door("infer.py", scans, "-o", out, *using)
    assert done.code == 2
    whole = {f"{c}{e}" for c in "ab" for e in (".nii.gz", ".json", "_stats.json")}
    assert names_in(out) == whole | {"run.jsonl"}
    assert f"error: {scans}/aa [bold].nii.gz: " in done.err
    assert done.err.strip().endswith(f"1 of 3 scans failed: {scans}/aa [bold].nii.gz")
    again = door("infer.py", scans, "-o", out, *using)
    assert again.code == 2
    assert "2 of 3 scans were done already" in again.err
    assert "1 of 3 scans failed" in again.err


def test_outputs_in_the_way_are_told_before_a_model_is_loaded(
    door: Callable[..., Any],
    scans: Path,
    using: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in "ab":
        (tmp_path / f"{name}_stats.json").touch()
    monkeypatch.setattr(model, "load_model", lambda *_, **__: pytest.fail("it was loaded"))
    alone = door("infer.py", scans / "a.nii.gz", "-o", tmp_path / "a.nii.gz", *using)
    assert (alone.code, "a_stats.json: exists already" in alone.err) == (1, True)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (MemoryError(), "there is not enough memory"),
        (RuntimeError("[...] can't allocate memory: 9 bytes"), "there is not enough memory"),
        (ZeroDivisionError("of ours"), "ZeroDivisionError('of ours')"),
    ],
)
def test_no_fault_of_one_scan_stops_the_batch(
    fault: Exception,
    said: str,
    door: Callable[..., Any],
    scans: Path,
    using: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = case.segment_volume

    def sometimes(scan: object, *rest: object, name: str, **words: Any) -> object:
        if name.endswith("a.nii.gz"):
            raise fault
        return right(scan, *rest, name=name, **words)

    monkeypatch.setattr(case, "segment_volume", sometimes)
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.NullHandler()])
    done = door("infer.py", scans, "-o", tmp_path / "out", *using)
    assert done.code == 2
    assert f"error: {scans}/a.nii.gz: {said}" in done.err
    assert "b.nii.gz" in names_in(tmp_path / "out")
    if isinstance(fault, MemoryError):
        alone = door("infer.py", scans / "a.nii.gz", "-o", tmp_path / "y.nii", *using)
        assert alone.code == 1
        assert said in alone.err


def test_gray_pictures_with_everything_said(
    door: Callable[..., Any], using: tuple[str, ...], tmp_path: Path
) -> None:
    folder = tmp_path / "slices"
    folder.mkdir()
    for z in range(3):
        Image.fromarray(np.full((40, 48), 80 * z, np.uint8)).save(folder / f"{z}.png")
    words = ["--gray-range", "-125", "275", "--spacing", "5", "2", "2"]
    done = door("infer.py", folder, "-o", tmp_path / "x.nii.gz", *using, *words)
    assert done.code == 0, done.err
    assert "warning:" not in done.err
    assert nibabel.load(tmp_path / "x.nii.gz").header.get_zooms() == (2, 2, 5)


def test_doubts_are_warnings_on_stderr(
    door: Callable[..., Any], scans: Path, using: tuple[str, ...], tmp_path: Path
) -> None:
    volume = read_volume(scans / "a.nii.gz")
    gray = write_volume(tmp_path / "g.nii", volume.with_array((volume.array > 0) * np.uint8(255)))
    done = door("infer.py", gray, "-o", tmp_path / "x.nii", *using)
    assert done.code == 0
    assert f"warning: {gray}: values from 0 to 255 cannot be HU" in done.err
    assert "warning:" not in done.out
    spoken = door("infer.py", gray, "-o", tmp_path / "y.nii", *using, "--gray-range", "-125", "275")
    assert (spoken.code, "warning:" in spoken.err) == (0, False)


@pytest.mark.parametrize("ending", [".nii.gz", ""])
def test_real_pictures_become_labels(
    ending: str, door: Callable[..., Any], shared_data: Path, using: tuple[str, ...], tmp_path: Path
) -> None:
    images = shared_data / "slice_folders" / "lits_00" / "images"
    out = tmp_path / f"masks{ending}"
    done = door("infer.py", images, "-o", out, *using, "--spacing", "5", "0.8", "0.8")
    assert done.code == 0, done.err
    assert "--gray-range" in done.err
    pictures = sorted(images.iterdir())
    with Image.open(pictures[0]) as first:
        size = first.size
    if ending:
        assert nibabel.load(out).shape == (*size, len(pictures))
        return
    assert sorted(names_in(out)) == [picture.name for picture in pictures]
    for mask in out.iterdir():
        with Image.open(mask) as opened:
            assert (opened.mode, opened.size) == ("L", size)
            assert set(np.unique(opened)) <= {0, 1, 2, 3}


def test_ctrl_c_is_exit_130(
    door: Callable[..., Any],
    scans: Path,
    using: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(case, "segment_volume", stop)
    done = door("infer.py", scans, "-o", tmp_path / "out", *using)
    assert done.code == 130
    assert "Traceback" not in done.err
    assert "stopped: 0 of 2 scans are done; the same command goes on from there" in done.err
    assert names_in(tmp_path / "out") == {"run.jsonl"}
