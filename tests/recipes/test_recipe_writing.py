"""A recipe that is written as TOML is read as the same recipe."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from slicekit.errors import RecipeError
from slicekit.recipes import Recipe, change_recipe, read_recipe, recipe_from_json, recipe_to_toml

MODELS = sorted((Path(__file__).resolve().parents[2] / "models").glob("*.toml"))


def again(recipe: Recipe, folder: Path) -> Recipe:
    file = folder / "again.toml"
    file.write_text(recipe_to_toml(recipe), encoding="utf-8")
    return read_recipe(file)


@pytest.mark.parametrize("file", MODELS, ids=lambda file: file.stem)
def test_every_model_comes_back_from_its_file_and_from_a_header(file: Path, tmp_path: Path) -> None:
    recipe = read_recipe(file)
    assert again(recipe, tmp_path) == recipe
    assert again(recipe_from_json(recipe.to_json(), source="header"), tmp_path) == recipe


def test_only_what_differs_from_the_defaults_is_written(make_recipe) -> None:
    written = tomllib.loads(recipe_to_toml(make_recipe(steps=9)))
    assert written["training"]["steps"] == 9
    assert "seed" not in written["training"]
    assert "weights" not in written


def test_nothing_is_an_empty_string(make_recipe, tmp_path: Path) -> None:
    recipe = make_recipe(held_out_group=None)
    whole = recipe.input.model_copy(update={"body_above_hu": None})
    recipe = recipe.model_copy(update={"input": whole})
    text = recipe_to_toml(recipe)
    assert 'held_out_group = ""' in text and 'body_above_hu = ""' in text
    assert again(recipe, tmp_path) == recipe


def test_odd_texts_come_back(make_recipe, tmp_path: Path) -> None:
    recipe = make_recipe().model_copy(
        update={"about": 'Ärzte "and"\nquotes \\', "organs": {"left kidney, upper": 1, "Σ.x": 2}}
    )
    assert again(recipe, tmp_path) == recipe


@pytest.mark.parametrize("role", ["reference", "propagator", "fewshot"])
def test_some_values_of_a_recipe_are_changed(role: str, make_recipe) -> None:
    recipe = make_recipe(role)
    changed = change_recipe(recipe, ["training.steps=11", "training.held_out_group="])
    assert changed.training.steps == 11 and changed.training.held_out_group is None
    undone = recipe.training.model_dump() | {"steps": 11, "held_out_group": None}
    assert changed.training.model_dump() == undone
    assert change_recipe(recipe, []) is recipe


def test_changes_that_cannot_be_meant_are_refused(make_recipe) -> None:
    with pytest.raises(RecipeError, match=r"did you mean 'training.steps'|'steps'"):
        change_recipe(make_recipe(), ["training.stepps=3"])
    with pytest.raises(RecipeError, match="KEY=VALUE"):
        change_recipe(make_recipe(), ["training.steps"])
