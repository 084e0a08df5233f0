"""Read recipes from TOML files and from the headers of weights files."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from slicekit.checks import suggest
from slicekit.errors import RecipeError
from slicekit.recipes.section import Section
from slicekit.recipes.tables import Recipe


def parse_recipe(values: Mapping[str, Any], *, source: str) -> Recipe:
    """Check a table of values and make a recipe of it.

    Args:
        values: What a TOML or JSON file holds.
        source: Where it came from; opens every error message.

    Raises:
        RecipeError: A key is unknown (the likely one is suggested) or a value cannot be meant.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as fault:
        lines = [_explain(dict(entry)) for entry in fault.errors()]
        raise RecipeError(f"{source}: " + "; ".join(lines)) from fault
    except RecursionError as fault:
        raise RecipeError(f"{source}: its values are nested too deeply") from fault


def read_recipe(path: str | Path, *, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe from a TOML file and change some of its values.

    Args:
        path: The TOML file.
        changes: ``KEY=VALUE`` with dotted keys and TOML values, such as
            ``"training.steps=200"``.

    Raises:
        RecipeError: The file is missing or not TOML, or the recipe cannot be meant.
    """
    file = Path(path)
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as fault:
        beside = [path.name for path in file.parent.glob("*.toml")]
        hint = f"; {suggest(file.name, beside)}" if beside and not file.exists() else ""
        raise RecipeError(f"{file}: cannot be read ({fault.strerror}){hint}") from fault
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise RecipeError(f"{file}: is not TOML ({fault})") from fault
    for change in changes:
        _change(values, change)
    return parse_recipe(values, source=str(file))


def change_recipe(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """Change some values of a recipe, as ``read_recipe`` does.

    Raises:
        RecipeError: A change or the changed recipe cannot be meant.
    """
    if not changes:
        return recipe
    values = recipe.model_dump(mode="json", exclude_unset=True)
    for change in changes:
        _change(values, change)
    return parse_recipe(values, source=recipe.name)


def recipe_from_json(text: str, *, source: str) -> Recipe:
    """Read a recipe from the header of a weights file.

    Raises:
        RecipeError: It is not JSON, or the recipe cannot be meant.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise RecipeError(f"{source}: its recipe is not JSON ({fault})") from fault
    return parse_recipe(_without_idle_method(values), source=source)


def _without_idle_method(values: Any) -> Any:
    """Leave out the method of what is no reference: a header names every key, so nobody said it."""
    if not isinstance(values, dict) or values.get("role") == "reference":
        return values
    training = values.get("training")
    if not isinstance(training, dict):
        return values
    return values | {"training": {k: v for k, v in training.items() if k != "method"}}


def _change(values: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"--set wants KEY=VALUE, such as training.steps=200, got {change!r}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        value = text
    *path, last = key.strip().split(".")
    table: Any = values
    for word in path:
        table = table.setdefault(word, {}) if isinstance(table, dict) else None
    if not isinstance(table, dict):
        raise RecipeError(f"--set {change}: {'.'.join(path)} is not a table of the recipe")
    table[last] = value


def _explain(entry: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in entry["loc"]) or "recipe"
    if entry["type"] == "extra_forbidden":
        *path, word = entry["loc"]
        section = _section(path)
        return f"unknown key {where!r}; {suggest(str(word), section.model_fields)}"
    if entry["type"] == "missing":
        return f"the key {where!r} is missing"
    if entry["type"] == "value_error":
        return f"{where}: {entry['ctx']['error']}"
    if entry["type"] in ("tuple_type", "list_type"):
        came = entry["input"]
        example = f", such as '{json.dumps([came])}'" if isinstance(came, str | int | float) else ""
        return f"{where}: wanted a list{example}, got {came!r}"[:400]
    return f"{where}: {entry['msg']} (got {entry['input']!r})"[:400]


def _section(path: Sequence[str | int]) -> type[Section]:
    """Follow a path of keys to the table it names."""
    section: type[Section] = Recipe
    for word in path:
        if isinstance(word, int):
            continue
        inner = section.model_fields[str(word)].annotation
        candidates = [inner, *getattr(inner, "__args__", ())]
        section = next(
            (c for c in candidates if isinstance(c, type) and issubclass(c, Section)), section
        )
    return section
