"""Two recipes are compared key by key, and the differences can be read."""

from __future__ import annotations

import pytest

from slicekit.errors import RecipeError
from slicekit.recipes import differences, expect_same_view


@pytest.fixture
def changed(make_recipe):
    """Make the usual recipe with another spacing, steps and organs."""

    def make(**organs):
        recipe = make_recipe(steps=9)
        finer = recipe.input.model_copy(update={"spacing_mm": 1.5})
        return recipe.model_copy(update={"input": finer, "organs": organs})

    return make


def test_alike_is_nothing(make_recipe):
    assert differences(make_recipe(), make_recipe(), "role", "input", "organs", "training") == ""


def test_only_the_parts_asked_for_are_compared(make_recipe, changed):
    ours, theirs = make_recipe(), changed(**make_recipe().organs)
    assert differences(ours, theirs, "role", "organs") == ""
    assert differences(ours, theirs, "input") == "input.spacing_mm is 1.5 there, 6.0 here"
    assert differences(theirs, ours, "training", "input") == (
        "training.steps is 6 there, 9 here; input.spacing_mm is 6.0 there, 1.5 here"
    )


def test_what_one_lacks_is_absent_and_only_the_first_are_shown(make_recipe, changed):
    ours, theirs = make_recipe(), changed(femur=1)
    said = differences(ours, theirs, "organs").split("; ")
    assert said[0] == "organs.spleen is absent there, 1 here"
    assert len(said) == 5
    assert differences(theirs, ours, "organs").startswith("organs.femur is absent there, 1 here")


@pytest.mark.parametrize(
    ("ours", "tracks", "agree"),
    [
        ({"modality": "any"}, True, True),
        ({"modality": "CT", "body_above_hu": -100.0, "spacing_mm": 3.0}, True, True),
        ({"modality": "any", "windows": [[-125, 275], [0, 160], [90, 260]]}, True, False),
        ({"modality": "any", "spacing_mm": 3.0}, False, False),
    ],
)
def test_a_propagator_of_anything_bears_what_is_stretched_over_its_own_range(
    make_recipe, ours, tracks, agree
):
    reference, propagator = make_recipe(), make_recipe("propagator", tracks={} if tracks else None)
    any_input = {"modality": "any", "body_above_hu": None}
    shown = type(reference.input).model_validate(reference.input.model_dump() | any_input | ours)
    theirs = propagator.input.model_copy(update=any_input)
    reference = reference.model_copy(update={"input": shown})
    propagator = propagator.model_copy(update={"input": theirs})
    if agree:
        expect_same_view(reference, propagator, source="test")
        return
    with pytest.raises(RecipeError, match="see slices differently"):
        expect_same_view(reference, propagator, source="test")
