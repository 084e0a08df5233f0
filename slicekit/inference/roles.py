"""What each kind of model is for, told where one of another kind is wanted."""

from __future__ import annotations

from slicekit.errors import RecipeError
from slicekit.recipes import Recipe

_USES = {
    "reference": "it names organs: slicekit segment SCAN --model MODEL",
    "volumetric": "it names organs: slicekit segment SCAN --model MODEL",
    "propagator": (
        "it knows no organs and carries masks: slicekit propagate SCAN DRAWN --model MODEL for "
        "what you drew, --propagator MODEL beside a reference as --model"
    ),
    "fewshot": "it finds what was drawn in another scan: slicekit fewshot ... --model MODEL",
}


def expect_role(recipe: Recipe, *roles: str) -> None:
    """Refuse a model of another kind.

    Args:
        recipe: Of the model.
        roles: The kinds that are wanted.

    Raises:
        RecipeError: It is of none of them; the message says what it is for.
    """
    if recipe.role not in roles:
        raise RecipeError(
            f"{recipe.name!r} is a {recipe.role}, wanted a {' or a '.join(roles)}; "
            f"{_USES[recipe.role]}"
        )
