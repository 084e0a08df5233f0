"""A recipe can only be one that can be meant."""

from __future__ import annotations

import re

import pytest

from slicekit.errors import RecipeError
from slicekit.recipes import InputRecipe, parse_recipe
from slicekit.windows import PRESETS

TWO = [{"kind": "transunet", "preset": "tiny"}, {"kind": "deeplabv3plus", "preset": "tiny"}]
RANGES = [[-100, 200], [0, 100], [50, 300]]


def recipe(*, organs=("liver", "spleen"), networks=TWO, role="reference", **tables):
    """A recipe of two organs; ``input`` and ``training`` change what these tables hold."""
    given = {
        "name": "small",
        "role": role,
        "organs": organs if isinstance(organs, dict) else {n: i for i, n in enumerate(organs, 1)},
        "networks": networks,
        "input": {"windows": RANGES, "spacing_mm": 2} | tables.pop("input", {}),
        "training": {"steps": 10} | tables.pop("training", {}),
    }
    return parse_recipe(given | tables, source="small.toml")


def test_a_recipe_says_what_it_was_given_and_the_usual_for_the_rest():
    chosen = recipe()
    assert chosen.labels.names == ("liver", "spleen")
    assert chosen.input.range_hu == (-100, 300)
    assert [window.range_hu for window in chosen.input.three_windows] == [
        (-100, 200),
        (0, 100),
        (50, 300),
    ]
    assert chosen.training.batch == 8
    assert chosen.input.body_above_hu == -100
    assert chosen.training.cps.weight == 0.1


def test_a_preset_stands_for_its_windows():
    assert recipe(input={"windows": "ct-body"}).input.three_windows == PRESETS["ct-body"]


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"training": {"steps": 0}}, "training.steps: Input should be greater"),
        ({"training": {"steps": "many"}}, "training.steps: .*integer"),
        ({"training": {"steps": 2.5}}, "training.steps: .*integer"),
        ({"training": {"learning_rate": float("inf")}}, "learning_rate: .*finite"),
        ({"training": {"learning_rate": float("nan")}}, "training.learning_rate"),
        ({"training": {"seed": -1}}, "training.seed"),
        ({"training": {"ema": 1}}, "training.ema"),
        ({"training": {"clips": {"gap_mm": [9, 3]}}}, "begin with a smaller and a larger"),
        ({"training": {"clips": {"hardest": [0.9, 0.3, 1]}}}, "begin with a smaller and a larger"),
        ({"input": {"windows": "ct-bodi"}}, "unknown windows 'ct-bodi'; did you mean 'ct-body'"),
        ({"input": {"windows": RANGES[:2]}}, r"three \[low, high\] ranges"),
        ({"input": {"windows": [[2, 1], *RANGES[1:]]}}, r"three \[low, high\] ranges"),
        ({"input": {"windows": [[float("-inf"), 1], *RANGES[1:]]}}, "finite"),
        ({"input": {"spacing_mm": 0}}, "input.spacing_mm"),
        ({"input": {"modality": "PET"}}, "input.modality"),
        ({"organs": {"liver": 1, "kidney": 3}}, r"without gaps, got \[1, 3\]"),
        ({"organs": {"liver": 1, "kidney": 1}}, "'kidney' and 'liver' share the id 1"),
        ({"organs": {"liver": 0}}, "0 is the background"),
        ({"role": "teacher"}, "role: "),
        ({"role": "propagator"}, "a propagator has 1 entries"),
        ({"networks": TWO[:1]}, "a reference has 2 entries"),
        ({"networks": [{"kind": "stcn"}, TWO[1]]}, "a reference cannot be .* 'stcn'"),
        ({"role": "propagator", "networks": TWO[:1]}, "a propagator cannot be .* 'transunet'"),
        ({"name": "../elsewhere"}, "name: "),
        ({"name": ""}, "name: "),
        ({"scores": {"dsc": float("nan")}}, "scores.dsc"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(changes, cause):
    with pytest.raises(RecipeError) as caught:
        recipe(**changes)
    assert str(caught.value).startswith("small.toml: ")
    assert re.search(cause, str(caught.value)), str(caught.value)


def test_ids_leave_room_for_the_label_of_what_nobody_annotated():
    stcn = {"role": "propagator", "networks": [{"kind": "stcn"}]}
    assert recipe(organs={"rib": 254}, **stcn).labels.names == ("rib",)
    with pytest.raises(RecipeError, match="below 255"):
        recipe(organs={"rib": 255}, **stcn)


def test_an_empty_string_is_none_where_that_is_allowed_and_itself_elsewhere():
    chosen = recipe(input={"body_above_hu": ""}, training={"held_out_group": ""}, about="")
    assert chosen.input.body_above_hu is None
    assert chosen.training.held_out_group is None
    assert chosen.about == ""


def test_a_recipe_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        recipe().name = "other"


def test_recipes_are_equal_when_all_their_values_are():
    assert recipe() == recipe()
    assert recipe() != recipe(training={"batch": 9})
    assert isinstance(recipe().input, InputRecipe)
