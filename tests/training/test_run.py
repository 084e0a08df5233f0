"""From a recipe and a dataset folder to weights that can be used."""

from __future__ import annotations

import json
import shutil

import pytest

from slicekit.checkpoint import load_weights
from slicekit.data.phantom import make_phantom
from slicekit.errors import DatasetError, DataWarning, RecipeError
from slicekit.inference.model import load_model
from slicekit.networks import STCN, Pair
from slicekit.training import run as module
from slicekit.training.run import train


@pytest.fixture
def copied(dataset, tmp_path):
    """The dataset, to be spoilt."""
    return shutil.copytree(dataset, tmp_path / "data")


def change(path, **entries):
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_a_reference_is_trained_scored_and_can_be_loaded(dataset, tmp_path, make_recipe, runtime):
    recipe, told = make_recipe(batch_unlabelled=1, steps=3), []
    path = train(
        recipe,
        data=dataset,
        out=tmp_path / "run",
        runtime=runtime,
        progress=lambda *step: told.append(step),
    )
    assert path == tmp_path / "run" / "tiny_reference.safetensors"
    assert told == [(1, 3), (2, 3), (3, 3)]
    weights = load_weights(path)
    assert weights.recipe == recipe
    card = weights.card
    assert card["trained_on"] == ["one", "two"]
    assert card["unlabelled"] == ["bare"]
    assert card["held_out"] == ["held"]
    assert (card["phantoms"], card["steps"]) == (0, 3)
    assert 0 <= card["scores"]["dsc"] <= 1
    assert isinstance(load_model(path, runtime).reference, Pair)
    files = {file.name for file in path.parent.iterdir()}
    assert files == {"tiny_reference.safetensors", "state.safetensors", "log.jsonl"}


def test_a_propagator_is_trained_scored_and_can_be_loaded(dataset, tmp_path, make_recipe, runtime):
    propagator = make_recipe("propagator", steps=2, batch_unlabelled=1)
    path = train(propagator, data=dataset, out=tmp_path, runtime=runtime)
    card = load_weights(path).card
    assert card["unlabelled"] == []  # it looks at labelled scans only
    assert {"dsc", "copy"} <= set(card["scores"])
    reference = make_recipe(steps=1).model_copy(
        update={
            "inference": make_recipe().inference.model_copy(update={"propagator": propagator.name})
        }
    )
    beside = train(reference, data=dataset, out=tmp_path / "other", runtime=runtime)
    shutil.copy(path, beside.parent)
    model = load_model(beside, runtime)
    assert isinstance(model.propagator, STCN)
    assert set(model.sha256) == {"tiny_reference", "tiny_propagator"}


def test_phantoms_are_mixed_in_with_the_ids_of_the_recipe(
    dataset, tmp_path, make_recipe, runtime, monkeypatch
):
    def small(rng):
        return make_phantom(rng, shape=(16, 64, 64), spacing_mm=(10.0, 6.0, 6.0))

    monkeypatch.setattr(module, "make_phantom", small)
    path = train(make_recipe(steps=1, phantoms=2), data=dataset, out=tmp_path, runtime=runtime)
    assert load_weights(path).card["phantoms"] == 2
    one = module._phantom(0, make_recipe())
    few = make_recipe().model_copy(update={"organs": {"liver": 1}})
    assert sorted(module._phantom(0, few).slices_of) == [1]
    liver = make_recipe().labels.id_of("liver")
    assert ((one.labels == liver) == (module._phantom(0, few).labels == 1)).all()
    strange = make_recipe().model_copy(update={"organs": {"femur": 1}})
    with pytest.raises(RecipeError, match=r"training\.phantoms = 0"):
        module._phantom(0, strange)


def test_scans_from_elsewhere_join_the_unlabelled_ones_unless_held_out(
    dataset, tmp_path, make_recipe, runtime
):
    images, recipe = dataset / "imagesTr", make_recipe(batch_unlabelled=1, steps=1)
    more = [images / "two_0000.nii.gz"]
    path = train(recipe, data=dataset, out=tmp_path, runtime=runtime, unlabelled=more)
    assert load_weights(path).card["unlabelled"] == ["bare", "two_0000.nii.gz"]
    link = tmp_path / "link.nii.gz"
    link.symlink_to(images / "held_0000.nii.gz")
    for leak in (images / "held_0000.nii.gz", link):
        with pytest.raises(DatasetError, match=f"held out and trained on at once: {leak}"):
            train(recipe, data=dataset, out=tmp_path, runtime=runtime, unlabelled=[leak])


def test_other_organs_than_the_recipe_s_are_refused_with_both(
    copied, tmp_path, make_recipe, runtime
):
    change(copied / "dataset.json", labels={"background": 0, "liver": 1})
    with pytest.raises(
        DatasetError, match=r"dataset\.json names other organs .*\{'liver': 1\} aga"
    ):
        train(make_recipe(), data=copied, out=tmp_path / "run", runtime=runtime)
    assert not (tmp_path / "run").exists()


def test_every_scan_at_fault_is_listed_before_training(copied, tmp_path, make_recipe, runtime):
    for name in ("imagesTr/one_0000", "labelsTr/held"):
        path = copied / f"{name}.nii.gz"
        path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DatasetError) as caught:
        train(make_recipe(), data=copied, out=tmp_path / "run", runtime=runtime)
    assert "2 scans cannot be used" in str(caught.value)
    assert "one_0000.nii.gz" in str(caught.value)
    assert "held.nii.gz" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_run_that_cannot_be_judged_or_teach_itself_says_so(
    copied, tmp_path, make_recipe, runtime
):
    (copied / "splits.json").unlink()
    (copied / "imagesTr" / "bare_0000.nii.gz").unlink()
    with pytest.warns(DataWarning) as told:
        path = train(
            make_recipe(steps=1, batch_unlabelled=1),
            data=copied,
            out=tmp_path / "run",
            runtime=runtime,
        )
    said = " | ".join(str(warning.message) for warning in told)
    assert "no scan is used without its labels" in said
    assert "no scan is held out" in said
    assert load_weights(path).card["trained_on"] == ["held", "one", "two"]


def test_what_the_cache_may_take_is_shared_by_all_scans(
    dataset, tmp_path, make_recipe, runtime, monkeypatch
):
    budgets = []

    def remember(loaders, *, budget_bytes):
        budgets.append((len(loaders), budget_bytes))
        return original(loaders, budget_bytes=budget_bytes)

    original = module.cache_scans
    monkeypatch.setattr(module, "cache_scans", remember)
    recipe = make_recipe(steps=1, batch_unlabelled=1, cache_gib=0.5)
    train(recipe, data=dataset, out=tmp_path, runtime=runtime)
    assert budgets == [(4, 2**29)]
