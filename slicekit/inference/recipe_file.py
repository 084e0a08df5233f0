"""Where the recipe of a model lies that somebody names."""

from __future__ import annotations

from pathlib import Path

from slicekit.checks import suggest
from slicekit.errors import RecipeError
from slicekit.recipes.finding import bundled, model_files


def recipe_file(name: str | Path) -> Path:
    """Return the file of a recipe.

    Args:
        name: A TOML file, returned as it is, or a model that is known by name.

    Raises:
        RecipeError: It is neither; the message suggests the likely model.
    """
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        return path
    known = model_files(bundled("models"))
    if str(name) not in known:
        raise RecipeError(
            f"there is no recipe {str(name)!r}; name a file NAME.toml, or a model: "
            f"{suggest(str(name), known)}"
        )
    return known[str(name)]
