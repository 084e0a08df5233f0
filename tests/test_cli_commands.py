"""Phantoms, scores and trainings from the command line."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import pytest

from slicekit.io import write_volume


def test_phantom_writes_a_scan_and_its_truth_once(
    door: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slicekit.data import phantom as module

    small = module.make_phantom
    monkeypatch.setattr(module, "make_phantom", lambda rng: small(rng, shape=(16, 48, 48)))
    out = tmp_path / "new" / "p.nii.gz"
    done = door("slicekit", "phantom", out, "--seed", 3)
    truth = out.with_name("p_labels.nii.gz")
    assert (done.code, done.out) == (0, f"{out}\n{truth}\n")
    assert nibabel.load(truth).shape == nibabel.load(out).shape == (48, 48, 16)
    before = out.read_bytes()
    out.unlink()
    again = door("slicekit", "phantom", out)
    assert again.code == 1
    assert "p_labels.nii.gz: exists already" in again.err
    assert not out.exists()
    assert door("slicekit", "phantom", out, "--seed", 3, "--overwrite").code == 0
    assert out.read_bytes() == before
    monkeypatch.setattr(module, "make_phantom", lambda rng: pytest.fail("it was drawn"))
    assert "end it in .nii.gz or .nii" in door("slicekit", "phantom", tmp_path / "p").err
    assert door("slicekit", "phantom", tmp_path / "q.nii", "--seed", "-1").code == 2


def test_evaluate_prints_a_table_or_json(
    door: Callable[..., Any], phantoms: Any, scans: Path, using: tuple[str, ...], tmp_path: Path
) -> None:
    truth = write_volume(tmp_path / "truth.nii.gz", phantoms[0].labels)
    door("infer.py", scans / "a.nii.gz", "-o", tmp_path / "x.nii.gz", *using)
    done = door("slicekit", "evaluate", tmp_path / "x.nii.gz", truth, "--json")
    report = json.loads(done.out, parse_constant=lambda word: pytest.fail(word))
    assert done.code == 0
    assert report["organs"].keys() == {"liver", "spleen", "aorta"}
    table = door("slicekit", "evaluate", truth, truth)
    assert (table.code, "DSC" in table.out) == (0, True)
    missing = door("slicekit", "evaluate", truth, tmp_path / "none.nii.gz")
    assert (missing.code, missing.out) == (1, "")
    assert "none.nii.gz does not exist" in missing.err


def test_evaluate_writes_files_and_fails_where_truths_are_left_out(
    door: Callable[..., Any], phantoms: Any, tmp_path: Path
) -> None:
    pred, truth, out = tmp_path / "pred", tmp_path / "truth", tmp_path / "s.json"
    for folder, names in ((pred, "a"), (truth, "ab")):
        for name in names:
            write_volume(folder / f"{name}.nii.gz", phantoms[0].labels)
    write_volume(pred / "a_uncertainty.nii.gz", phantoms[0].image)
    words = ("slicekit", "evaluate", pred, truth, "-o", out, "--csv", tmp_path / "s.csv")
    done = door(*words)
    assert done.code == 2
    assert "mean, 1 of 2 truths" in done.out
    assert "--partial accepts that" in done.err
    assert json.loads(out.read_text())["not_predicted"] == ["b"]
    assert (tmp_path / "s.csv").read_text().startswith("case,organ,dsc,")
    again = door(*words, "--partial")
    assert (again.code, "s.json: exists already" in again.err) == (1, True)
    assert door(*words, "--partial", "--overwrite").code == 0
    inside = door("slicekit", "evaluate", pred, truth, "-o", pred / "a.json", "--overwrite")
    assert (inside.code, "is the input itself" in inside.err) == (1, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "training.stepz=5"], "'training.stepz'; did you mean 'steps'?"),
        (["--set", "training.steps=many"], "training.steps"),
        (["--set", "steps"], "--set wants KEY=VALUE"),
        (["--device", "cuda:99"], "cuda:99"),
    ],
)
def test_train_explains_what_cannot_be_meant(
    words: list[str], said: str, door: Callable[..., Any], trial_models: Path, tmp_path: Path
) -> None:
    recipe = trial_models / "trial_reference.toml"
    done = door("train.py", recipe, "--data", tmp_path, "--out", tmp_path / "run", *words)
    assert done.code == 1
    assert said in done.err.splitlines()[-1]
    assert "Traceback" not in done.err
    assert not (tmp_path / "run").exists()


def test_train_hands_over_what_was_typed(
    door: Callable[..., Any], trial_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slicekit.training import run as module

    seen: dict[str, Any] = {}

    def train(recipe: Any, *, progress: Callable[[int, int], None], **words: Any) -> Path:
        seen.update(words, steps=recipe.training.steps)
        progress(1, 2)
        return Path("made.safetensors")

    monkeypatch.setattr(module, "train", train)
    done = door(
        "train.py", trial_models / "trial_reference.toml", "--data", "d", "-o", "o",
        "--unlabelled", "p", "q", "--set", "training.steps=9", "--threads", 1,
    )  # fmt: skip
    assert (done.code, done.out) == (0, "made.safetensors\n")
    assert (seen["data"], seen["out"], seen["steps"]) == ([Path("d")], Path("o"), 9)
    assert list(seen["unlabelled"]) == [Path("p"), Path("q")]
    assert seen["runtime"].threads == 1
    named = door("train.py", "ct_abdomen_reference", "--data", "d", "-o", "o", "--device", "cpu")
    assert named.code == 0, named.err
    wrong = door("train.py", "models/ct_abdomen_referense.toml", "--data", "d", "-o", "o")
    assert wrong.code == 1
    assert "did you mean 'ct_abdomen_reference.toml'" in wrong.err


def test_an_interrupted_training_exits_as_the_signal_says(
    door: Callable[..., Any], trial_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slicekit.training import run as module
    from slicekit.training.interrupt import Interrupted

    def train(*_: object, **__: object) -> Path:
        raise Interrupted(step=3, steps=9, signal=signal.SIGTERM, out=tmp_path)

    monkeypatch.setattr(module, "train", train)
    recipe = trial_models / "trial_reference.toml"
    done = door("train.py", recipe, "--data", tmp_path, "--out", tmp_path / "run")
    assert done.code == 143
    assert "stopped at step 3 of 9" in done.err
