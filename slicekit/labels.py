"""What the numbers in a label map mean: names, ids, colours, left and right."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicekit.checks import suggest
from slicekit.errors import LabelError

IGNORE_ID = 255
"""Label of a voxel that nobody annotated; losses and metrics pass over it."""
MAX_LABEL_ID = 65_535
"""Largest id a label map can hold (uint16)."""
_GOLDEN_ANGLE = 0.618033988749895


def ignored_id(labels: Mapping[str, int | str]) -> int | None:
    """Return the id that a dataset.json gives to voxels to be passed over, its ``ignore`` label.

    Example:
        >>> ignored_id({"background": 0, "liver": 1, "ignore": 2})
        2
    """
    for key, value in labels.items():
        name, number = (value, key) if str(key).isdigit() else (key, value)
        if name == "ignore":
            return int(number)
    return None


@dataclass(frozen=True)
class LabelSet:
    """Names and ids of the organs of a label map; background is always 0.

    Raises:
        LabelError: An id is repeated, not positive or too large, or a name is empty.

    Example:
        >>> labels = LabelSet({"liver": 1, "left_kidney": 2, "right_kidney": 3})
        >>> labels.pairs
        ((2, 3),)
    """

    ids: Mapping[str, int]
    """Organ name to id, without background."""

    def __post_init__(self) -> None:
        seen: dict[int, str] = {}
        for name, number in self.ids.items():
            if not name or not name.strip():
                raise LabelError(f"organ names must not be empty, id {number} has none")
            if isinstance(number, bool) or not isinstance(number, int | np.integer):
                raise LabelError(f"the id of {name!r} must be a whole number, got {number!r}")
            if not 1 <= number <= MAX_LABEL_ID:
                raise LabelError(
                    f"the id of {name!r} must be from 1 to {MAX_LABEL_ID}, got {number}; "
                    "0 is the background"
                )
            if number in seen:
                raise LabelError(f"{name!r} and {seen[number]!r} share the id {number}")
            seen[int(number)] = name
        ordered = sorted(self.ids.items(), key=lambda item: item[1])
        object.__setattr__(self, "ids", {name: int(number) for name, number in ordered})

    @classmethod
    def from_dataset(cls, labels: Mapping[str, int | str]) -> LabelSet:
        """Read the ``labels`` of a dataset.json: name to id, or the old id to name.

        Raises:
            LabelError: Neither form fits, a name comes twice, or the background is not 0.
        """
        entries: dict[str, int] = {}
        for key, value in labels.items():
            name, number = (str(value), key) if str(key).isdigit() else (key, value)
            # a string of digits is how the old form writes its ids; 1.5 and True are no ids
            if not (type(number) is int or (isinstance(number, str) and number.isdecimal())):
                raise LabelError(
                    f"labels must map organ names to whole numbers, got {key!r}: {value!r}"
                )
            if name in entries:
                raise LabelError(f"the organ {name!r} has two ids, {entries[name]} and {number}")
            entries[name] = int(number)
        if entries.pop("background", 0) != 0:
            raise LabelError("the background must have the id 0")
        return cls({name: number for name, number in entries.items() if name != "ignore"})

    @property
    def names(self) -> tuple[str, ...]:
        """Organ names in the order of their ids."""
        return tuple(self.ids)

    @cached_property
    def names_by_id(self) -> dict[int, str]:
        """Id to organ name."""
        return {number: name for name, number in self.ids.items()}

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, name: object) -> bool:
        return name in self.ids

    def id_of(self, name: str) -> int:
        """Return the id of an organ.

        Raises:
            LabelError: There is no such organ; the message suggests the likely one.
        """
        if name not in self.ids:
            raise LabelError(f"unknown organ {name!r}; {suggest(name, self.ids)}")
        return self.ids[name]

    def subset(self, names: Iterable[str]) -> LabelSet:
        """Keep some organs, with their ids.

        Raises:
            LabelError: One of them is unknown.
        """
        return LabelSet({name: self.id_of(name) for name in names})

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Ids of (left, right) organs, found by their names."""
        found = []
        for name, number in self.ids.items():
            words = name.replace("-", "_").replace(" ", "_").split("_")
            if "left" in words:
                other = name.replace("left", "right")
                if other in self.ids:
                    found.append((number, self.ids[other]))
        return tuple(found)

    def swap_sides(self, array: NDArray[Any]) -> NDArray[Any]:
        """Exchange the ids of left and right organs, as a left-right flip demands.

        Args:
            array: Labels of any shape and integer type.

        Returns:
            A new array of the same shape and type.
        """
        swapped = array.copy()
        for left, right in self.pairs:
            swapped[array == left] = right
            swapped[array == right] = left
        return swapped

    def swap_known(self, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Exchange what is said of left and right organs, as ``swap_sides`` does their ids.

        Args:
            known: ``(classes,)`` by id: which classes somebody annotated.

        Example:
            >>> labels = LabelSet({"left_kidney": 1, "right_kidney": 2})
            >>> labels.swap_known(np.array([True, True, False])).tolist()
            [True, False, True]
        """
        swapped: NDArray[np.bool_] = known[self.swap_sides(np.arange(len(known)))]
        return swapped

    def colour(self, number: int) -> tuple[float, float, float]:
        """Return a colour for an id, red, green and blue in ``[0, 1]``; always the same."""
        hue = (number * _GOLDEN_ANGLE) % 1.0
        return colorsys.hsv_to_rgb(hue, 0.85 if number % 2 else 0.6, 1.0)
