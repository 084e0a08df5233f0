"""Models are found by name: bundled ones, and one's own where the program runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from slicekit.inference.model import find_weights, load_model
from slicekit.recipes import read_recipe
from slicekit.recipes.finding import bundled, model_files, weights_of
from slicekit.runtime import pick_runtime


def test_bundled_models_are_known_by_name() -> None:
    known = model_files()
    assert list(known) == sorted(known)
    assert known["ct_abdomen_reference"] == bundled("models") / "ct_abdomen_reference.toml"


def test_own_models_are_known_where_the_program_runs(
    trial_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "models"
    own.mkdir()
    for name in ("trial_volumetric.toml", "trial_volumetric.safetensors"):
        (own / name).write_bytes((trial_models / name).read_bytes())
    (own / "ct_abdomen_reference.toml").write_text("in the way of a bundled one")
    monkeypatch.chdir(tmp_path)
    known = model_files()
    assert known["trial_volumetric"] == Path("models/trial_volumetric.toml")
    assert known["ct_abdomen_reference"].parent == bundled("models")
    path, recipe = find_weights("trial_volumetric")
    assert path == Path("models/trial_volumetric.safetensors")
    assert recipe is not None
    runtime = pick_runtime("cpu", threads=1, backend="torch")
    assert load_model("trial_volumetric", runtime).recipe == recipe


def test_weights_beside_the_recipe_go_before_bundled_ones(
    trial_models: Path, tmp_path: Path
) -> None:
    file = trial_models / "trial_fewshot.toml"
    recipe = read_recipe(file)
    assert weights_of(recipe, file) == trial_models / "trial_fewshot.safetensors"
    elsewhere = tmp_path / "trial_fewshot.toml"
    assert weights_of(recipe, elsewhere) == bundled("weights") / "trial_fewshot.safetensors"
    assert weights_of(recipe, elsewhere, trial_models).is_file()
