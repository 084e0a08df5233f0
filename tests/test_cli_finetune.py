"""The command that teaches a model new organs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slicekit.data.phantom import PHANTOM_LABELS
from slicekit.io import read_labels, read_volume, write_labels, write_volume

SMALL = ("--set", "training.crop=[48, 64]", "--steps", "1", "--device", "cpu")


@pytest.fixture
def data(phantoms: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two drawn phantoms, in the folder where the program runs."""
    monkeypatch.chdir(tmp_path)
    for name, made in zip(("one", "two"), phantoms, strict=False):
        write_volume(tmp_path / "data" / "imagesTr" / f"{name}_0000.nii.gz", made.image)
        write_labels(
            tmp_path / "data" / "labelsTr" / f"{name}.nii.gz", made.labels, like=made.image
        )
    labels = {"labels": {"background": 0, **PHANTOM_LABELS.ids}}
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(labels))
    return Path("data")


@pytest.fixture
def tune(door: Callable[..., Any], data: Path, trial_models: Path) -> Callable[..., Any]:
    """Run ``slicekit finetune`` from the trial reference; words are more options."""
    start = trial_models / "trial_reference.toml"
    return lambda *words: door("slicekit", "finetune", data, "--from", start, *SMALL, *words)


def test_a_new_organ_is_named_by_the_model_that_comes_out(
    tune: Callable[..., Any], door: Callable[..., Any], data: Path
) -> None:
    done = tune("--organs", "pancreas", "stomach")
    assert done.code == 0, done.err
    name = "stomach_pancreas_reference"
    assert done.out.splitlines() == [
        name,
        f"  models/{name}.toml",
        f"  models/{name}.safetensors",
        f"  slicekit segment SCAN -o LABELS --model {name}",
    ]
    assert "what to expect: after 1 of 1 steps: DSC" in done.err
    assert Path("runs", name, "run", "log.jsonl").is_file()

    scan = data / "imagesTr" / "one_0000.nii.gz"
    words = ("--no-propagation", "--device", "cpu", "--backend", "torch")
    used = door("infer.py", scan, "--model", name, "-o", "out.nii.gz", *words)
    assert used.code == 0, used.err
    assert read_labels("out.nii.gz", like=read_volume(scan)).array.max() <= 2
    again = tune("--organ", "pancreas", "--organ", "stomach")
    assert again.code == 0 and again.out == done.out


def test_a_shelf_elsewhere_is_named_by_its_recipe(tune: Callable[..., Any]) -> None:
    done = tune("--organs", "liver", "--name", "mine", "--models", "shelf", "--no-pilot")
    assert done.code == 0, done.err
    assert "slicekit segment SCAN -o LABELS --model shelf/mine.toml" in done.out
    assert "what to expect" not in done.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--what", "refrence"), 2, "did you mean 'reference'"),
        (("--what", "fewshot"), 2, "cannot go on from"),
        (("--organs", "lever"), 1, "did you mean 'liver'"),
        (("--organs", "liver=6"), 1, "names no liver=6"),
        (("--organs", "liver", "--name", "a/b"), 1, "give another --name"),
        (("--steps", "0"), 2, "steps"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    words: tuple[str, ...], code: int, said: str, tune: Callable[..., Any], tmp_path: Path
) -> None:
    done = tune(*words)
    assert done.code == code
    assert said in " ".join(done.err.replace("│", " ").split())
    assert not (tmp_path / "models").exists()


def test_masks_without_names_and_folders_of_nothing_are_refused(
    door: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    done = door("slicekit", "finetune", tmp_path)
    assert done.code == 1 and "such as lesion=255" in done.err
    done = door("slicekit", "finetune", tmp_path / "gone")
    assert done.code == 1 and "is no folder" in done.err
