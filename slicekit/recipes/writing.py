"""Recipes as TOML, for people to read and change."""

from __future__ import annotations

from typing import Any

import tomli_w

from slicekit.recipes.tables import Recipe


def recipe_to_toml(recipe: Recipe) -> str:
    """Write a recipe as a TOML file holds it: what differs from the defaults.

    ``read_recipe`` makes the same recipe of it.
    """
    return tomli_w.dumps(_without_none(recipe.model_dump(mode="json", exclude_defaults=True)))


def _without_none(value: Any) -> Any:
    """TOML has no null: an empty string stands for it."""
    if isinstance(value, dict):
        return {key: _without_none(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_without_none(entry) for entry in value]
    return "" if value is None else value
