"""A model of another kind is refused with what it is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from slicekit.errors import RecipeError
from slicekit.inference.roles import expect_role


@pytest.mark.parametrize(
    ("role", "use"),
    [
        ("propagator", "slicekit propagate SCAN DRAWN --model MODEL .*--propagator MODEL"),
        ("fewshot", "slicekit fewshot"),
    ],
)
def test_the_message_says_what_to_do_with_it(
    role: str, use: str, make_recipe: Callable[..., Any]
) -> None:
    wanted = f"'tiny_{role}' is a {role}, wanted a reference or a volumetric; .*{use}"
    with pytest.raises(RecipeError, match=wanted):
        expect_role(make_recipe(role), "reference", "volumetric")


def test_reference_and_volumetric_name_organs(make_recipe: Callable[..., Any]) -> None:
    for role in ("reference", "volumetric"):
        expect_role(make_recipe(role), "reference", "volumetric")
        with pytest.raises(RecipeError, match="slicekit segment SCAN --model MODEL"):
            expect_role(make_recipe(role), "propagator")
