"""Which planes belong together, and which of several series is meant."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from slicekit.errors import ReadError
from slicekit.io.dicom.planes import Plane, Vector

_LISTED = 12
_ALIKE = 1e-3  # of a unit vector, and of a pixel spacing relative to it


class Stack(NamedTuple):
    """Planes of one series that share one direction, size and spacing."""

    planes: tuple[Plane, ...]
    name: str
    """What chooses it: its series number, with the part where a series has several."""

    def in_words(self) -> str:
        """Describe it in a list."""
        one = self.planes[0]
        about = f" {one.description!r}" if one.description else ""
        slices = "1 slice" if len(self.planes) == 1 else f"{len(self.planes)} slices"
        size = f"{slices} of {one.pixels.columns} x {one.pixels.rows}"
        return f"{self.name}{about} {one.modality} {_direction(one)}{size} (UID {one.series_uid})"


def stacks_of(planes: list[Plane]) -> tuple[Stack, ...]:
    """Return every stack, each of which ``choose`` finds by its name."""
    return tuple(_stacks(planes))


def choose(path: Path, planes: list[Plane], series: str | None) -> Stack:
    """Find the one stack that is meant.

    Args:
        path: What was named, for messages.
        planes: All that lie there.
        series: A series instance UID, a series number, a description or a part of it, or a name
            of the list that this function's error gives.

    Raises:
        ReadError: There are several and nobody said which, or the wish fits none or several.
    """
    stacks = _stacks(planes)
    if series is None:
        if len(stacks) == 1:
            return stacks[0]
        what = "series" if len({plane.series_uid for plane in planes}) > 1 else "stacks of slices"
        raise ReadError(
            path,
            f"holds {len(stacks)} {what} that make no one volume; choose one with --series "
            f"(series=...): {_list(stacks)}",
        )
    found = _matching(stacks, series)
    if len(found) == 1:
        return found[0]
    how = "has no series" if not found else f"has {len(found)} series"
    raise ReadError(path, f"{how} {series!r}; there are: {_list(found or stacks)}")


def _matching(stacks: list[Stack], series: str) -> list[Stack]:
    """Try the ways to name a series, the exact ones first."""
    word = series.strip().casefold()
    ways = (
        [stack for stack in stacks if stack.name.casefold() == word],
        [stack for stack in stacks if stack.planes[0].series_uid == word],
        [stack for stack in stacks if stack.planes[0].series_number == word],
        [stack for stack in stacks if stack.planes[0].description.casefold() == word],
        [stack for stack in stacks if word and word in stack.planes[0].description.casefold()],
    )
    return next((found for found in ways if found), [])


def _stacks(planes: list[Plane]) -> list[Stack]:
    """Sort planes by series, and those of a series by their direction, size and spacing."""
    groups: list[list[Plane]] = []
    for plane in planes:
        for group in groups:
            if _alike(plane, group[0]):
                group.append(plane)
                break
        else:
            groups.append([plane])
    groups.sort(key=lambda group: (_as_number(group[0].series_number), group[0].series_uid))
    names = [group[0].series_number or "unnumbered" for group in groups]
    count, seen = Counter(names), Counter[str]()
    stacks = []
    for group, name in zip(groups, names, strict=True):
        seen[name] += 1
        stacks.append(Stack(tuple(group), f"{name}/{seen[name]}" if count[name] > 1 else name))
    return stacks


def _alike(one: Plane, other: Plane) -> bool:
    """Tell whether two planes can lie in one stack."""
    return (
        (one.series_uid, one.series_number) == (other.series_uid, other.series_number)
        and (one.pixels.rows, one.pixels.columns) == (other.pixels.rows, other.pixels.columns)
        and _close(one.orientation, other.orientation, 1.0)
        and _close(one.spacing, other.spacing, max(one.spacing or (1.0,)))
    )


def _close(one: Vector | None, other: Vector | None, scale: float) -> bool:
    if one is None or other is None:
        return one is other
    return bool(np.allclose(one, other, rtol=0, atol=_ALIKE * scale))


def _direction(plane: Plane) -> str:
    """Name the direction of a plane."""
    if plane.orientation is None:
        return "without a place, "
    normal = np.abs(np.cross(plane.orientation[:3], plane.orientation[3:]))
    return ("sagittal, ", "coronal, ", "axial, ")[int(normal.argmax())]


def _as_number(text: str) -> tuple[int, str]:
    return (int(text), "") if text.isdecimal() else (1 << 31, text)


def _list(stacks: list[Stack]) -> str:
    more = f"; and {len(stacks) - _LISTED} more" if len(stacks) > _LISTED else ""
    return "; ".join(stack.in_words() for stack in stacks[:_LISTED]) + more
