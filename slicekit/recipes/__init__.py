"""Recipes: one TOML file says what a model is.

A recipe names the organs, the windows, the grid, the networks, how they are trained and how
they are used. It is copied whole into the header of the weights it describes, so a weights
file alone is enough to predict. Unknown and misspelt keys are refused with a suggestion.
"""

from __future__ import annotations

from slicekit.recipes.differences import differences, expect_same_view
from slicekit.recipes.reading import change_recipe, parse_recipe, read_recipe, recipe_from_json
from slicekit.recipes.tables import (
    NAME,
    InferenceRecipe,
    InputRecipe,
    NetworkRecipe,
    Recipe,
    WeightsRecipe,
)
from slicekit.recipes.training_tables import (
    ClipRecipe,
    CpsRecipe,
    FewShotRecipe,
    RampRecipe,
    RoundsRecipe,
    TeacherRecipe,
    TrackRecipe,
    TrainingRecipe,
)
from slicekit.recipes.writing import recipe_to_toml

__all__ = [
    "NAME",
    "ClipRecipe",
    "CpsRecipe",
    "FewShotRecipe",
    "InferenceRecipe",
    "InputRecipe",
    "NetworkRecipe",
    "RampRecipe",
    "Recipe",
    "RoundsRecipe",
    "TeacherRecipe",
    "TrackRecipe",
    "TrainingRecipe",
    "WeightsRecipe",
    "change_recipe",
    "differences",
    "expect_same_view",
    "parse_recipe",
    "read_recipe",
    "recipe_from_json",
    "recipe_to_toml",
]
