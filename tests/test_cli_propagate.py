"""Carrying drawn slices, from the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from slicekit.io import read_labels, read_volume, write_labels

LIVER = 6


@pytest.fixture
def guides(scans: Path, phantoms: tuple[Any, ...], tmp_path: Path) -> Path:
    """Two slices of the liver of a.nii.gz."""
    truth = phantoms[0].labels.array
    zs = np.flatnonzero((truth == LIVER).any(axis=(1, 2)))
    labels = np.zeros_like(truth)
    for z in (zs[1], zs[-2]):
        labels[z] = np.where(truth[z] == LIVER, LIVER, 0)
    return write_labels(tmp_path / "g.nii.gz", labels, like=read_volume(scans / "a.nii.gz"))


def test_pictures_are_given_their_hu(door: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "scan").mkdir()
    (tmp_path / "drawn").mkdir()
    for z in range(5):
        gray = np.full((32, 32), 51, np.uint8)
        gray[8:20, 8:20] = 153
        Image.fromarray(gray).save(tmp_path / "scan" / f"{z:03}.png")
        if z in (0, 4):
            Image.fromarray((gray > 100).astype(np.uint8)).save(tmp_path / "drawn" / f"{z:03}.png")
    words = ("slicekit", "propagate", tmp_path / "scan", tmp_path / "drawn", "-o", tmp_path / "out")
    more = ("--method", "interpolate", "--suggest", 0, "--gray-range")
    done = door(*words, *more, -1000, 1550)
    assert done.code == 0, done.err
    told = json.loads((tmp_path / "out_stats.json").read_text())
    assert told["organs"]["label_1"]["mean_hu"] == pytest.approx(530)  # 153 of 255
    refused = door(*words, *more, 275, -125, "--overwrite")
    assert refused.code == 1 and "the lower first" in refused.err


def test_two_drawn_slices_become_an_organ_and_the_next_slice_is_named(
    door: Callable[..., Any], scans: Path, guides: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.nii.gz"
    words = ("slicekit", "propagate", scans / "a.nii.gz", guides, "-o", out)
    done = door(*words, "--method", "interpolate", "--suggest", 1)
    assert done.code == 0
    assert re.search(r"label_6: \d+ ml, drawn on 2 slices, carried to", done.out)
    assert done.out.count("draw next: slice") == 1
    labels = read_labels(out, like=read_volume(scans / "a.nii.gz")).array
    assert (labels == LIVER).any(axis=(1, 2)).sum() > 2
    again = door(*words, "--method", "interpolate")
    assert again.code == 1
    assert "exists already" in again.err
    anew = door(*words, "--method", "interpolate", "--overwrite", "--preview", "--json")
    told = json.loads(anew.out)
    beside = {"out.nii.gz", "out.json", "out_stats.json", "out_preview.png"}
    assert beside <= {path.name for path in tmp_path.iterdir()}
    assert told["volumes_ml"]["label_6"] > 0
    assert told["labels"] == str(out)
    assert len(told["drawn"]["label_6"]) == 2
    assert told["complete"]


def test_a_network_carries_too_and_the_sidecar_names_it(
    door: Callable[..., Any], scans: Path, guides: Path, trial_models: Path, tmp_path: Path
) -> None:
    out, model = tmp_path / "out.nii.gz", trial_models / "trial_propagator.toml"
    done = door(
        "slicekit", "propagate", scans / "a.nii.gz", guides, "-o", out, "--model", model,
        "--device", "cpu",
    )  # fmt: skip
    assert done.code == 0
    assert "trial_propagator on cpu" in done.err
    told = json.loads((tmp_path / "out.json").read_text())
    assert (told["method"], told["model"]) == ("stcn", "trial_propagator")
    assert len(told["weights_sha256"]) == 64
    assert told["command"][1] == "propagate"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--method", "stnc"), "did you mean 'stcn'"),
        (("--axis", "w"), "There are: x, y, z"),
        (("--drawn-slices", "1,two"), "as 10,40,70, got"),
        (("--method", "interpolate", "--model", "any_propagator"), "leave --model out"),
    ],
)
def test_words_that_mean_nothing_are_refused(
    door: Callable[..., Any], scans: Path, guides: Path, tmp_path: Path,
    words: tuple[str, ...], said: str,
) -> None:  # fmt: skip
    done = door(
        "slicekit", "propagate", scans / "a.nii.gz", guides, "-o", tmp_path / "x.nii", *words
    )
    assert done.code == 2
    assert said in " ".join(done.err.replace("│", " ").split())
    assert not (tmp_path / "x.nii").exists()


def test_a_reference_is_no_propagator(
    door: Callable[..., Any], scans: Path, guides: Path, trial_models: Path, tmp_path: Path
) -> None:
    done = door(
        "slicekit", "propagate", scans / "a.nii.gz", guides, "-o", tmp_path / "x.nii",
        "--model", trial_models / "trial_reference.toml",
    )  # fmt: skip
    assert done.code == 1
    assert "is a reference, wanted a propagator" in done.err


def test_an_interruption_is_told_and_what_was_carried_is_kept(
    door: Callable[..., Any], scans: Path, guides: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from slicekit.inference import session as module

    plain = module.interpolate

    def interrupted(task: Any, **options: Any) -> Any:
        if task.gap.right is None:
            raise KeyboardInterrupt
        return plain(task, **options)

    monkeypatch.setattr(module, "interpolate", interrupted)
    out = tmp_path / "out.nii.gz"
    done = door(
        "slicekit", "propagate", scans / "a.nii.gz", guides, "-o", out, "--method", "interpolate"
    )
    assert done.code == 130
    assert "holds what was carried until then" in done.err
    assert json.loads((tmp_path / "out.json").read_text())["complete"] is False
    assert read_labels(out, like=read_volume(scans / "a.nii.gz")).array.any()
