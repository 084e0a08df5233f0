"""The weights in the repository are what their recipes and cards say, and do their work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from slicekit.checkpoint import load_weights
from slicekit.data.phantom import make_phantom
from slicekit.inference.model import Model, bundled, find_weights, load_model
from slicekit.inference.pipeline import segment
from slicekit.io import read_labels, read_volume
from slicekit.metrics import dice, evaluate
from slicekit.runtime import pick_runtime

NAMES = ("any_propagator", "ct_abdomen_propagator", "ct_abdomen_reference")


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("ct_abdomen_reference", pick_runtime("cpu"))


@pytest.mark.parametrize("name", NAMES)
def test_file_is_small_half_precision_and_described(name: str) -> None:
    path, recipe = find_weights(name)
    assert path.stat().st_size < 45_000_000
    with safe_open(path, framework="np") as opened:
        kinds = {str(opened.get_slice(key).get_dtype()) for key in opened.keys()}  # noqa: SIM118
    assert kinds <= {"F16", "I64"}
    weights = load_weights(path)
    assert recipe is not None
    assert recipe.weights is not None
    assert recipe.weights.sha256 == weights.sha256
    assert {"trained_on", "held_out", "steps", "hardware", "scores"} <= set(weights.card)
    assert weights.sha256 in (bundled("weights") / "README.md").read_text(encoding="utf-8")
    assert not set(weights.card["trained_on"]) & set(weights.card["held_out"])


def test_no_held_out_case_was_trained_on(shared_data: Path) -> None:
    import json

    splits = json.loads((shared_data / "abdomen_ct" / "splits.json").read_text(encoding="utf-8"))
    for name in NAMES:
        card = load_weights(find_weights(name)[0]).card
        assert not set(splits["val"]) & {*card["trained_on"], *card["unlabelled"]}


@pytest.mark.slow
def test_phantom_of_the_demo_is_segmented(model: Model) -> None:
    made = make_phantom(np.random.default_rng(7))
    scores = evaluate(segment(made.image, model), made.labels, model.recipe.labels)
    dsc = {score.organ: score.dsc for score in scores}
    assert dsc["liver"] > 0.9
    assert np.mean(list(dsc.values())) > 0.6


@pytest.mark.slow
def test_clipped_and_full_hu_give_the_same_labels(model: Model, shared_data: Path) -> None:
    scan = read_volume(shared_data / "true_hu_ct" / "totalseg_ct.nii.gz")
    middle = replace(scan, array=np.ascontiguousarray(scan.array[60:100]))
    assert middle.array.min() < -125 < 275 < middle.array.max()
    clipped = middle.with_array(np.clip(middle.array, -125, 275))
    full, cut = segment(middle, model), segment(clipped, model)
    assert full.array.any()
    np.testing.assert_array_equal(full.array, cut.array)


@pytest.mark.slow
def test_liver_of_a_held_out_scan_is_found(model: Model, shared_data: Path) -> None:
    data = shared_data / "abdomen_ct"
    scan = read_volume(data / "imagesTr" / "btcv_0006_0000.nii.gz")
    truth = read_labels(data / "labelsTr" / "btcv_0006.nii.gz", like=scan)
    number = model.recipe.labels.id_of("liver")
    assert dice(truth.array == number, segment(scan, model).array == number) > 0.85


@pytest.mark.slow
def test_organs_are_chosen_where_each_is_carried_in_a_region_of_its_own() -> None:
    model = load_model("ct_abdomen_reference", pick_runtime("cpu"), propagator="any_propagator")
    made = make_phantom(np.random.default_rng(7), shape=(24, 96, 96), spacing_mm=(10.0, 4.0, 4.0))
    everything = segment(made.image, model).array
    liver = model.recipe.labels.id_of("liver")
    chosen = segment(made.image, model, organs=["liver"]).array
    assert (everything == liver).any() and len(np.unique(everything)) > 2
    np.testing.assert_array_equal(chosen, np.where(everything == liver, liver, 0))
