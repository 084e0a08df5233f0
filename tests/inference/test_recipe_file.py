"""A recipe is named by its file or as a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from slicekit.errors import RecipeError
from slicekit.inference.model import bundled
from slicekit.inference.recipe_file import recipe_file


def test_a_path_is_taken_as_it_is_and_a_name_is_looked_up(tmp_path: Path) -> None:
    assert recipe_file(tmp_path / "mine.toml") == tmp_path / "mine.toml"
    found = recipe_file(Path("ct_abdomen_reference"))
    assert found == bundled("models") / "ct_abdomen_reference.toml"


def test_an_unknown_name_is_refused_with_the_likely_one() -> None:
    with pytest.raises(RecipeError, match=r"'ct_abdomen_referense'; .*'ct_abdomen_reference'\?"):
        recipe_file("ct_abdomen_referense")
