"""The scans of a run are found, told apart by what they are for, and shared out to one cache."""

from __future__ import annotations

import logging
import warnings

import pytest

from slicekit.checkpoint import load_weights
from slicekit.data.phantom import make_phantom
from slicekit.errors import DatasetError, DataWarning, RecipeError
from slicekit.training import material as module
from slicekit.training.material import gather
from slicekit.training.run import train


def names(scans):
    return [scan.name for scan in scans]


def test_scans_are_told_apart_by_what_they_are_for(dataset, make_recipe):
    found = gather(make_recipe(batch_unlabelled=1), [dataset], ())
    assert names(found.labelled) == ["one", "two"]
    assert names(found.free) == ["bare"]
    assert names(found.held_out) == ["held"]
    assert found.card() == {
        "trained_on": ["one", "two"], "unlabelled": ["bare"], "held_out": ["held"], "phantoms": 0,
    }  # fmt: skip


def test_a_card_tells_whose_labels_a_few_shot_model_learnt_from(dataset, make_recipe):
    def card(share):
        recipe = make_recipe("fewshot", fewshot={"drawn_share": share, "least_px": 4})
        recipe = recipe.model_copy(update={"organs": {}})
        training = recipe.training.model_copy(update={"held_out_group": None})
        free = recipe.model_copy(update={"training": training})
        return gather(free, [dataset], (), judged_otherwise=True).card()

    blind, seeing = card(0.0), card(0.5)
    assert not blind["trained_on"]
    assert {"one", "two"} <= set(seeing["trained_on"])
    assert "bare" not in seeing["trained_on"]


TEACHER = {"teacher": {"weights": "teacher.safetensors"}}


@pytest.mark.parametrize(
    ("role", "training", "looked_at"),
    [
        ("reference", {"method": "cps", "batch_unlabelled": 1}, True),
        ("reference", {"method": "mean-teacher", "batch_unlabelled": 1}, True),
        ("reference", {"method": "teacher-student", "batch_unlabelled": 1, **TEACHER}, True),
        ("reference", {"method": "teacher-student", **TEACHER}, True),
        ("reference", {"method": "cps"}, False),
        ("reference", {"method": "side-by-side", "batch_unlabelled": 1}, False),
        ("reference", {"method": "supervised", "batch_unlabelled": 1}, False),
        ("propagator", {"batch_unlabelled": 1}, False),
        ("volumetric", {"batch_unlabelled": 1}, False),
    ],
)
def test_unlabelled_scans_are_read_where_a_method_looks_at_them(
    dataset, make_recipe, role, training, looked_at
):
    found = gather(make_recipe(role, **training), [dataset], ())
    assert names(found.free) == (["bare"] if looked_at else [])


@pytest.fixture
def bare(dataset, tmp_path):
    """The dataset without its unlabelled case."""
    for part in dataset.iterdir():
        (tmp_path / part.name).symlink_to(part)
    (tmp_path / "imagesTr").unlink()
    (tmp_path / "imagesTr").mkdir()
    for image in (dataset / "imagesTr").iterdir():
        if not image.name.startswith("bare"):
            (tmp_path / "imagesTr" / image.name).symlink_to(image)
    return tmp_path


def test_a_method_that_finds_no_unlabelled_scan_says_what_is_left_of_it(bare, make_recipe):
    for method in ("cps", "mean-teacher"):
        with pytest.warns(DataWarning, match="nothing is learnt but the labels.*'side-by-side'"):
            gather(make_recipe(method=method, batch_unlabelled=1), [bare], ())
    with pytest.raises(DatasetError, match="a teacher labels scans without labels, and there is n"):
        gather(make_recipe(method="teacher-student", **TEACHER), [bare], ())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gather(make_recipe(method="side-by-side", batch_unlabelled=1), [bare], ())


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


def test_what_the_cache_may_take_is_shared_by_all_scans(dataset, make_recipe, monkeypatch):
    budgets = []

    def remember(loaders, *, budget_bytes):
        budgets.append((len(loaders), budget_bytes))
        return original(loaders, budget_bytes=budget_bytes)

    original = module.cache_scans
    monkeypatch.setattr(module, "cache_scans", remember)
    gather(make_recipe(batch_unlabelled=1, cache_gib=0.5), [dataset], ())
    assert budgets == [(4, 2**29)]


def test_nothing_held_out_is_told_unless_it_is_judged_otherwise(dataset, make_recipe):
    recipe = make_recipe(held_out_group=None, method="side-by-side")
    with pytest.warns(DataWarning, match="no scan is held out"):
        assert gather(recipe, [dataset]).held_out == ()
    assert gather(recipe, [dataset], judged_otherwise=True).held_out == ()  # and no warning


def test_the_log_tells_scans_from_phantoms(dataset, make_recipe, caplog):
    with caplog.at_level(logging.INFO):
        gather(make_recipe(phantoms=1), [dataset], ())
    assert "labelled: 2 (32 slices), held out: 1 (16 slices), phantoms: 1 (" in caplog.text
    assert "of 4 scans" not in caplog.text
