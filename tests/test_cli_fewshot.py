"""The command that finds in one scan what was drawn in another."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shades import patient

from slicekit.io import read_labels, read_volume, write_labels, write_volume
from slicekit.report import reading, support


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A support, what was drawn on it, a query; in HU, as the trial models expect."""
    (scan, drawn), (other, _) = patient(), patient(2)
    shift = scan.array.max() / 4
    paths = tuple(tmp_path / f"{name}.nii.gz" for name in ("support", "drawn", "query"))
    write_volume(paths[0], scan.with_array(scan.array - shift))
    write_labels(paths[1], drawn, like=scan)
    write_volume(paths[2], other.with_array(other.array - shift))
    return paths


@pytest.fixture
def using(trial_models: Path) -> tuple[str, ...]:
    return ("--model", str(trial_models / "trial_fewshot.toml"), "--device", "cpu")


def test_labels_and_what_lies_beside_them_are_written(
    door: Callable[..., Any], files: tuple[Path, ...], using: tuple[str, ...], trial_models: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    out = tmp_path / "out.nii.gz"
    carrier = ("--propagator", trial_models / "trial_propagator.toml")
    done = door("slicekit", "fewshot", *files, "-o", out, *using, *carrier, "--preview")
    assert done.code == 0, done.err
    assert "trial_fewshot and trial_propagator on cpu" in done.err
    assert "beside it: out.json, out_stats.json, out_preview.png" in done.out
    read_labels(out, like=read_volume(files[2]))
    said = json.loads((tmp_path / "out.json").read_text())
    assert said["propagator"] == "trial_propagator"
    again = door("slicekit", "fewshot", *files, "-o", out, *using)
    assert again.code == 1
    assert "--overwrite" in again.err


def test_slices_may_be_named_one_by_one(
    door: Callable[..., Any], files: tuple[Path, ...], using: tuple[str, ...], tmp_path: Path
) -> None:
    out, words = tmp_path / "out.nii.gz", ("--no-propagation", "--organs", "label_7")
    done = door("slicekit", "fewshot", *files, "-o", out, *using, *words, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["labels"] == str(out)
    assert json.loads((tmp_path / "out.json").read_text())["propagator"] is None


def test_the_query_is_described_and_the_support_is_read_once_as_it_is(
    door: Callable[..., Any], files: tuple[Path, ...], using: tuple[str, ...], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    slices, query = tmp_path / "slices", read_volume(files[2])
    slices.mkdir()
    for z, plane in enumerate(query.array):
        np.save(slices / f"{z:03}.npy", plane.astype(np.float32))
    read: list[Path] = []
    for module in (support, reading):
        was = module.read_volume

        def counted(path: Path, was: Any = was, **words: Any) -> Any:
            read.append(path)
            return was(path, **words)

        monkeypatch.setattr(module, "read_volume", counted)
    spacing = ("--spacing", *query.spacing_mm)
    words = ("slicekit", "fewshot", *files[:2], slices, "-o", tmp_path / "out", *spacing)
    done = door(*words, *using, "--no-propagation")
    assert done.code == 0, done.err
    assert read == [files[0], slices]
    told = json.loads((tmp_path / "out_stats.json").read_text())
    assert told["spacing_known"] is True
    assert told["spacing_mm"] == pytest.approx(query.spacing_mm)
    refused = door(*words, *using, "--overwrite", "--gray-range", 275, -125)
    assert refused.code == 1 and "has intensities of its own" in refused.err


def test_a_missing_organ_and_a_wrong_model_are_told(
    door: Callable[..., Any], files: tuple[Path, ...], using: tuple[str, ...], trial_models: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    words = ("slicekit", "fewshot", *files, "-o", tmp_path / "out.nii.gz", "--no-propagation")
    done = door(*words, *using, "--organs", "spleen")
    assert done.code == 1
    assert "does not show spleen; it shows label_3, label_7" in done.err
    done = door(*words, "--model", trial_models / "trial_reference.toml", "--device", "cpu")
    assert done.code == 1
    assert "is a reference, wanted a fewshot" in done.err
    bare = tmp_path / "bare.toml"  # a recipe without weights beside it
    bare.write_text((trial_models / "trial_fewshot.toml").read_text().replace("trial_", "bare_"))
    done = door(*words, "--model", bare, "--device", "cpu")
    assert done.code == 1
    assert "train them first" in done.err
