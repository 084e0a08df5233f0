"""The order of the slices in a folder, from the numbers in their names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from slicekit.errors import ReadError
from slicekit.io.values import warn_about_data

_LISTED = 10


class Ordered(NamedTuple):
    """Slices from first to last."""

    names: tuple[str, ...]
    numbers: tuple[int, ...] | None
    """The number in each name, ``None`` where names do not count."""


def order_slices(folder: Path, names: Sequence[str]) -> Ordered:
    """Put slices in the order of their numbers and make sure that none is missing.

    Args:
        folder: Where they lie, for messages.
        names: File names with their endings, at least one.

    Raises:
        ReadError: A number is missing or used twice, or the names belong to several stacks.

    Warns:
        DataWarning: The names say nothing certain about the order, or count in larger steps.
    """
    split = {name: re.split(r"(\d+)", Path(name).stem) for name in sorted(names)}
    patterns = Counter(_pattern(name, parts) for name, parts in split.items())
    if not any(len(parts) > 1 for parts in split.values()):
        if len(names) > 1:
            warn_about_data(folder, "its file names hold no numbers; they are taken by alphabet")
        return Ordered(tuple(split), None)
    if len(patterns) > 1:
        kinds = ", ".join(f"{text} ({count})" for text, count in sorted(patterns.items())[:_LISTED])
        raise ReadError(
            folder, f"holds more than one stack of slices: {kinds}; give each a folder of its own"
        )
    columns = list(zip(*([int(n) for n in parts[1::2]] for parts in split.values()), strict=True))
    varying = [column for column in columns if len(set(column)) > 1] or columns[-1:]
    counting = [column for column in varying if _steps(column) == {1}]
    if len(varying) > 1 and not counting:
        warn_about_data(
            folder, "several numbers in its file names change, so a missing slice would go unseen"
        )
        rows = sorted(zip(*columns, split, strict=True))
        return Ordered(tuple(str(row[-1]) for row in rows), None)
    column = counting[0] if counting else varying[0]
    ordered = sorted(zip(column, split, strict=True))
    numbers = tuple(number for number, _ in ordered)
    slices = tuple(name for _, name in ordered)
    _expect_no_gap(folder, slices, numbers)
    return Ordered(slices, numbers)


def _pattern(name: str, parts: Sequence[str]) -> str:
    """Write a name with # for each number, such as ``ct_#.png``."""
    return "#".join(parts[::2]) + Path(name).suffix.lower()


def _steps(numbers: Sequence[int]) -> set[int]:
    """Return the distances between neighbouring numbers."""
    return {high - low for low, high in pairwise(sorted(numbers))}


def _expect_no_gap(folder: Path, names: Sequence[str], numbers: Sequence[int]) -> None:
    """Refuse numbers that are missing or used twice."""
    twice = [
        f"{one} and {other}"
        for (one, low), (other, high) in pairwise(zip(names, numbers, strict=True))
        if low == high
    ]
    if twice:
        raise ReadError(folder, f"holds one slice twice: {', '.join(twice[:_LISTED])}; remove one")
    steps = _steps(numbers)
    if steps <= {1}:
        return
    if len(steps) == 1 and len(numbers) > 2:
        warn_about_data(
            folder, f"its slices are numbered in steps of {steps.pop()}; none is taken as missing"
        )
        return
    width = min(
        (len(n) for name in names for n in re.findall(r"\d+", name) if int(n) in set(numbers)),
        default=1,
    )
    missing: list[str] = []
    for low, high in pairwise(numbers):
        room = _LISTED + 1 - len(missing)
        missing += [f"{n:0{width}}" for n in range(low + 1, min(high, low + 1 + room))]
    count = numbers[-1] - numbers[0] + 1 - len(numbers)
    more = f" and {count - _LISTED} more" if count > _LISTED else ""
    raise ReadError(
        folder,
        f"lacks {count} slices between {names[0]} and {names[-1]}: {', '.join(missing[:_LISTED])}"
        f"{more}; add them, or renumber the files if they never were there",
    )
