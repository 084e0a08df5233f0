"""What a model is, told without loading it, is what loading it would tell."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.numpy import save_file

from slicekit.checkpoint import store
from slicekit.errors import CheckpointError, RecipeError
from slicekit.inference.model import load_model
from slicekit.inference.outline import outline_model
from slicekit.report.case import SegmentOptions, wanted_of
from slicekit.runtime import Runtime

CPU = Runtime(torch.device("cpu"), bf16=False, threads=1)


@pytest.mark.parametrize("ending", [".toml", ".safetensors"])
@pytest.mark.parametrize("role", ["reference", "volumetric"])
@pytest.mark.parametrize("propagator", [True, False])
def test_an_outline_wants_what_the_loaded_model_wants(
    trial_models: Path, role: str, ending: str, propagator: bool
) -> None:
    name = trial_models / f"trial_{role}{ending}"
    outline = outline_model(name, propagator=propagator)
    loaded = load_model(name, CPU, propagator=propagator)
    assert outline.sha256 == loaded.sha256
    assert wanted_of(outline, SegmentOptions()) == wanted_of(loaded, SegmentOptions())
    again = load_model(name, CPU, propagator=outline.propagator or False)
    assert again.sha256 == loaded.sha256


def test_what_cannot_be_loaded_is_refused(trial_models: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there is no model 'nothing'"):
        outline_model("nothing")
    with pytest.raises(RecipeError, match="is a propagator, wanted a reference or a volumetric"):
        outline_model(trial_models / "trial_propagator.safetensors")
    with pytest.raises(RecipeError, match="is volumetric and names every voxel by itself"):
        outline_model(trial_models / "trial_volumetric.toml", propagator="any")
    with pytest.raises(CheckpointError, match="no such weights file"):
        outline_model(tmp_path / "gone.safetensors")
    alone = shutil.copy(trial_models / "trial_reference.safetensors", tmp_path)
    with pytest.raises(RecipeError, match="is neither beside it"):
        outline_model(alone)
    assert outline_model(alone, propagator=False).propagator is None


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    state = tmp_path / "state.safetensors"
    store(state, {"step": torch.zeros(1)}, {})
    with pytest.raises(CheckpointError, match="holds no recipe"):
        outline_model(state)
    strange = tmp_path / "strange.safetensors"
    save_file({"a": torch.zeros(1).numpy()}, strange)
    with pytest.raises(CheckpointError, match="was not written by this version of slicekit"):
        outline_model(strange)
    store(odd := tmp_path / "odd.safetensors", {"a": torch.zeros(1)}, {"recipe": "{"})
    with pytest.raises(CheckpointError, match="its header cannot be understood"):
        outline_model(odd)
