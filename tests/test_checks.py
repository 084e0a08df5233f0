"""Checks at public doors: the message says what was wanted and what came."""

from __future__ import annotations

import numpy as np
import pytest

from slicekit.checks import expect_shape, require, suggest
from slicekit.errors import MissingDependencyError, ShapeError


def test_shapes_that_fit_give_the_sizes_of_named_axes():
    assert expect_shape("slices", np.zeros((2, 3, 8, 9)), "b 3 y x") == {"b": 2, "y": 8, "x": 9}
    assert expect_shape("square", np.zeros((5, 5)), "n n") == {"n": 5}
    assert expect_shape("scalar", np.zeros(()), "") == {}


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((2, 4, 8, 9), "b 3 y x"), ((3, 8, 9), "b 3 y x"), ((5, 6), "n n"), ((), "n"), ((1,), "")],
)
def test_shapes_that_do_not_fit_are_refused_with_both(shape, axes):
    with pytest.raises(ShapeError) as caught:
        expect_shape("slices", np.zeros(shape), axes)
    assert str(caught.value) == f"slices must be ({', '.join(axes.split())}), got {shape}"


def test_suggestions_name_the_likely_one_and_all():
    said = suggest("kindey", ["liver", "kidney"])
    assert said == "did you mean 'kidney'? There are: kidney, liver"
    assert suggest("xyz", ["liver", "kidney"]) == "There are: kidney, liver"


def test_an_absent_package_is_named_with_the_extra_that_brings_it():
    assert require("math", feature="counting", extra="all").pi > 3
    with pytest.raises(MissingDependencyError, match=r"runs on X needs .*no_such.*slicekit\[x\]"):
        require("no_such_package", feature="runs on X", extra="x")
