"""A few-shot model by its name, and scans as it sees them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from shades import Shades, patient, recipe

from slicekit.checkpoint import save_weights
from slicekit.errors import RecipeError
from slicekit.inference.shots import Sheets, load_fewshot, usual_box
from slicekit.runtime import Runtime


def test_a_model_comes_with_a_propagator_of_its_modality(
    trial_models: Path, tmp_path: Path, runtime: Runtime
) -> None:
    carrier = trial_models / "trial_propagator.toml"
    model = load_fewshot(trial_models / "trial_fewshot.toml", runtime, propagator=carrier)
    assert model.carrier is not None and model.carrier.recipe.name == "trial_propagator"
    alone = load_fewshot(trial_models / "trial_fewshot.toml", runtime, propagator=False)
    assert alone.carrier is None
    of_mr = tmp_path / "shades.safetensors"
    save_weights(of_mr, Shades().state_dict(), recipe(), card={})
    with pytest.raises(RecipeError, match="'trial_propagator' is of CT, 'shades' of MR"):
        load_fewshot(of_mr, runtime, propagator=carrier)


def test_the_body_is_where_it_is_on_most_slices() -> None:
    array = np.zeros((9, 80, 80), np.float32)
    array[:, 20:60, 10:70] = 1.0
    array[2, 5:60] = 1.0  # an arm on one slice
    array[4] = 0.0
    assert usual_box(array) == (20, 60, 10, 70)
    assert usual_box(np.zeros_like(array)) == (0, 80, 0, 80)


def test_a_place_in_one_body_is_the_same_place_in_another() -> None:
    scan, drawn = patient()
    one = Sheets.of(scan, recipe().input)
    wide = np.zeros((18, 100, 140), np.float32)
    wide[:, 10:90, 20:116] = scan.array
    other = Sheets.of(type(scan)(wide, scan.affine), recipe().input)
    plane = drawn.array[9] == 7
    there = other.from_frame(one.to_frame(plane), outside=0.0) > 0.5
    here = one.mask(plane) > 0.5
    assert one.windows([9, 3]).shape == (2, 3, *one.grid.model_size)
    size = int(here.sum())
    rows, columns = (float(part.float().mean()) for part in torch.where(there))
    assert int(there.sum()) == pytest.approx(size, rel=0.1)
    assert rows == pytest.approx(float(torch.where(here)[0].float().mean()) + 2 * 10, abs=4)
    assert columns == pytest.approx(float(torch.where(here)[1].float().mean()) + 2 * 20, abs=4)
