"""How a model is trained: methods, and what each of them needs."""

from __future__ import annotations

import re

import pytest

from slicekit.errors import RecipeError
from slicekit.recipes import (
    CpsRecipe,
    RampRecipe,
    TeacherRecipe,
    TrainingRecipe,
    parse_recipe,
    recipe_from_json,
)

KINDS = ("transunet", "deeplabv3plus", "attention-unet", "transunet")


def recipe(*, networks=2, **training):
    return parse_recipe(
        {
            "name": "small",
            "role": "reference",
            "organs": {"liver": 1},
            "input": {"windows": "ct-body", "spacing_mm": 2},
            "networks": [{"kind": kind, "preset": "tiny"} for kind in KINDS[:networks]],
            "training": {"steps": 10, **training},
        },
        source="small.toml",
    )


def test_two_networks_teach_one_another_unless_something_else_is_said():
    training = recipe().training
    assert (training.method, training.views, training.partial) == ("cps", "alike", "marginal")
    assert training.patch == (128, 128, 128)


@pytest.mark.parametrize(
    ("method", "counts"),
    [
        ("cps", {2}),
        ("supervised", {1}),
        ("side-by-side", {1, 2, 3}),
        ("mean-teacher", {1, 2, 3}),
        ("teacher-student", {1, 2, 3}),
    ],
)
def test_a_method_takes_so_many_networks(method, counts):
    needs = {"batch_unlabelled": 1, "teacher": {"weights": "teacher.safetensors"}}
    for count in (1, 2, 3):
        if count in counts:
            assert recipe(networks=count, method=method, **needs).training.method == method
            continue
        with pytest.raises(
            RecipeError, match=rf"'{method}' is of \d \[\[networks\]\], got {count}"
        ):
            recipe(networks=count, method=method, **needs)


@pytest.mark.parametrize(
    ("role", "kind", "windows"),
    [("propagator", "stcn", "ct-body"), ("volumetric", "dynunet", [[-300, 300]])],
)
@pytest.mark.parametrize("method", ["cps", "supervised"])
def test_only_a_reference_has_a_method(role, kind, windows, method):
    given = {
        "name": "other",
        "role": role,
        "organs": {"liver": 1},
        "input": {"windows": windows, "spacing_mm": 2},
        "networks": [{"kind": kind, "preset": "tiny"}],
        "training": {"steps": 10},
    }
    usual = parse_recipe(given, source="other.toml")
    with pytest.raises(RecipeError) as caught:
        parse_recipe(given | {"training": {"steps": 10, "method": method}}, source="other.toml")
    assert f"a {role} learns in one way only; leave it out, got {method!r}" in str(caught.value)
    header = usual.to_json()  # it names every key
    assert '"method":"cps"' in header
    header = header.replace('"method":"cps"', f'"method":"{method}"')
    assert recipe_from_json(header, source="header") == usual


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"method": "mean-techer"}, "training.method: .*'mean-teacher'"),
        (
            {"method": "mean-teacher"},
            "learns from unlabelled slices; set training.batch_unlabelled",
        ),
        ({"method": "teacher-student"}, "needs training.teacher.weights"),
        ({"method": "teacher-student", "teacher": {"weights": ""}}, "needs training.teacher.weig"),
        ({"views": "strong"}, "training.views: .*'alike' or 'weak-strong'"),
        ({"teacher": {"keep_share": 1.5}}, "training.teacher.keep_share"),
        ({"teacher": {"weight": -1}}, "training.teacher.weight"),
        ({"teacher": {"confidence": 0.5}}, "unknown key 'training.teacher.confidence'"),
        ({"cps": {"confidence": 1}}, "training.cps.confidence"),
        ({"cps": {"ramp_share": 2}}, "training.cps.ramp_share"),
        ({"patch": [128, 128]}, "training.patch"),
        ({"patch": [0, 128, 128]}, "training.patch"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(changes, cause):
    with pytest.raises(RecipeError) as caught:
        recipe(**changes)
    assert re.search(cause, str(caught.value)), str(caught.value)


def test_both_unsupervised_losses_climb_and_a_teachers_weighs_more():
    for table in (CpsRecipe, TeacherRecipe):
        assert issubclass(table, RampRecipe)
    training = TrainingRecipe(steps=1)
    assert training.teacher.weight > training.cps.weight > 0
    assert 0 < training.teacher.keep_share < 1


def fewshot(**changes):
    return parse_recipe(
        {
            "name": "shot",
            "role": "fewshot",
            "input": {"windows": "ct-body", "spacing_mm": 2.0},
            "organs": {},
            "networks": [{"kind": "alpnet", "preset": "tiny"}],
            "training": {"steps": 5} | changes,
        },
        source="test",
    )


def test_a_few_shot_model_needs_no_organs_and_has_a_table_of_its_own():
    made = fewshot(fewshot={"regions": [9], "segments": 60}, optimiser="sgd")
    assert len(made.labels) == 0
    assert made.training.fewshot.regions == (9,)
    assert made.training.fewshot.support_query == "same-slice"
    assert made.training.fewshot.drawn_share == 0


def test_a_few_shot_model_may_learn_drawn_organs_too():
    for share in (0, 0.5, 1):
        assert fewshot(fewshot={"drawn_share": share}).training.fewshot.drawn_share == share


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fewshot": {"regions": [500]}}, "numbers up to segments = 400"),
        ({"fewshot": {"regions": []}}, "regions are made of superpixels"),
        ({"fewshot": {"superpixels": "felzenszwalb"}}, "slic-merged"),
        ({"fewshot": {"drawn_share": 1.5}}, "training.fewshot.drawn_share"),
        ({"fewshot": {"drawn_share": -0.5}}, "training.fewshot.drawn_share"),
        ({"fewshot": {"exclude_class": ["liver"]}}, "did you mean 'exclude_classes'"),
        ({"phantoms": 2}, "training.phantoms = 0"),
        ({"optimiser": "adam"}, "adamw"),
    ],
)
def test_a_few_shot_recipe_that_cannot_be_meant_is_refused(changes, words):
    with pytest.raises(RecipeError, match=words):
        fewshot(**changes)
