"""In which order slices are visited; pure, so that it is tested without a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

from slicekit.errors import ShapeError


@dataclass(frozen=True)
class Gap:
    """The slices between two neighbouring guides, or beyond the outermost one."""

    left: int | None
    """Guide before the slices; ``None`` for the head of the scan."""
    right: int | None
    """Guide behind the slices; ``None`` for the tail of the scan."""
    slices: range
    """The slices, rising; may be empty."""


class Visit(NamedTuple):
    """One look at a slice."""

    z: int
    guide: int
    """Guide that the walk set out from."""
    step: Literal[1, -1]
    """Direction of the walk."""


def gaps(length: int, guides: Sequence[int]) -> tuple[Gap, ...]:
    """Cut the slices of a scan at its guides.

    Args:
        length: Slices of the scan.
        guides: Slices that are known, in any order.

    Returns:
        One gap more than there are guides, in rising order: the head before the first guide,
        what lies between neighbours, the tail behind the last.

    Raises:
        ShapeError: A guide lies outside the scan or is named twice.

    Example:
        >>> [(gap.left, list(gap.slices), gap.right) for gap in gaps(6, [4, 1])]
        [(None, [0], 1), (1, [2, 3], 4), (4, [5], None)]
    """
    ordered = sorted(guides)
    if len(set(ordered)) != len(ordered) or any(not 0 <= z < length for z in ordered):
        raise ShapeError(
            f"guides must be different slices from 0 to {length - 1}, got {ordered}; "
            "join guides of one slice first"
        )
    edges: list[int | None] = [None, *ordered, None]
    return tuple(
        Gap(left, right, range(0 if left is None else left + 1, length if right is None else right))
        for left, right in pairwise(edges)
    )


def visits(length: int, guides: Sequence[int]) -> Iterator[Visit]:
    """Yield every look that propagation may take, in its order.

    Slices between two guides are visited twice, from the left guide and then from the right;
    head and tail once, outwards; guides never; nothing where there is no guide. Propagation
    leaves out visits for which nothing is to be followed.

    Raises:
        ShapeError: As ``gaps``.

    Example:
        >>> [tuple(visit) for visit in visits(4, [0, 3])]
        [(1, 0, 1), (2, 0, 1), (2, 3, -1), (1, 3, -1)]
    """
    for gap in gaps(length, guides):
        if gap.left is not None:
            for z in gap.slices:
                yield Visit(z, gap.left, 1)
        if gap.right is not None:
            for z in reversed(gap.slices):
                yield Visit(z, gap.right, -1)
