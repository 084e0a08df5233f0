"""In which values two recipes differ, for a person to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from slicekit.errors import RecipeError
from slicekit.recipes.tables import Recipe

_SHOWN = 5


def differences(ours: Recipe, theirs: Recipe, *parts: str) -> str:
    """Say in which values two recipes differ; nothing where they agree.

    Args:
        ours: The one that is meant by ``here``.
        theirs: The one that is meant by ``there``.
        parts: Keys to look at, such as ``"input"``.
    """
    one, other = ours.model_dump(include={*parts}), theirs.model_dump(include={*parts})
    found = _compare("", {key: one[key] for key in parts}, {key: other[key] for key in parts})
    return "; ".join(islice(found, _SHOWN))


def expect_same_view(recipe: Recipe, propagator: Recipe, *, source: str | Path) -> None:
    """Refuse a propagator that sees slices otherwise than the reference whose guides it carries.

    Raises:
        RecipeError: They do; the message shows what differs and names ``source``.
    """
    if propagator.input != recipe.input and not _bears(propagator, recipe):
        raise RecipeError(
            f"{recipe.name!r} and its propagator {propagator.name!r} ({source}) see slices "
            f"differently: {differences(recipe, propagator, 'input')}; train them alike"
        )


def _bears(propagator: Recipe, recipe: Recipe) -> bool:
    """Tell whether a propagator of anything, in regions on a grid of its own, takes such scans."""
    if propagator.training.tracks is None or propagator.input.modality != "any":
        return False
    ours, theirs = recipe.input, propagator.input
    return ours.modality == "CT" or (ours.modality == "any" and ours.range_hu == theirs.range_hu)


def _compare(where: str, ours: Any, theirs: Any) -> Iterator[str]:
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        for key in dict.fromkeys([*ours, *theirs]):
            place = f"{where}.{key}" if where else str(key)
            yield from _compare(place, ours.get(key, "absent"), theirs.get(key, "absent"))
    elif ours != theirs:
        yield f"{where} is {theirs} there, {ours} here"
