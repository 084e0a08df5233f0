"""Two recipes are compared key by key, and the differences can be read."""

from __future__ import annotations

import pytest

from slicekit.recipes import differences


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
