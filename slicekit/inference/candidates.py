"""What there is to choose from when something is to be annotated next, in tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slicekit.checks import suggest
from slicekit.errors import LabelError, ShapeError
from slicekit.inference.doubt import SliceDoubt


class Candidates(NamedTuple):
    """All there is to choose from, a row each, in the order of cases and slices."""

    cases: tuple[str, ...]
    zs: tuple[int | None, ...]
    z_mm: NDArray[np.float64]
    """``(n,)``; 0 for whole scans."""
    organs: tuple[str, ...]
    weights: NDArray[np.float64]
    """``(k,)`` of the organs."""
    entropy: NDArray[np.float64]
    """``(n, k)`` pixels."""
    disagreement: NDArray[np.float64]
    """``(n, k)`` pixels."""
    shows: NDArray[np.bool_]
    """``(n,)``: whether any organ was found there; all where none was found anywhere."""
    members: int

    def near(self, row: int, distance_mm: float) -> NDArray[np.bool_]:
        """Return which rows of the same scan are nearer than a distance, itself included."""
        close = np.abs(self.z_mm - self.z_mm[row]) < distance_mm
        near: NDArray[np.bool_] = close & (np.array(self.cases) == self.cases[row])
        near[row] = True
        return near


def candidates(doubts: Iterable[SliceDoubt], weights: Mapping[str, float]) -> Candidates:
    """Bring summaries of slices into tables.

    Args:
        doubts: At least one, in any order.
        weights: Organ to its weight; 1 where none is given.

    Raises:
        LabelError: A weight is of no organ.
        ShapeError: A slice comes twice, or slices have different organs.
    """
    slices = sorted(doubts, key=lambda one: (one.case, one.z))
    organs = tuple(slices[0].entropy_px)
    for organ in weights:
        if organ not in organs:
            raise LabelError(f"a weight of the unknown organ {organ!r}; {suggest(organ, organs)}")
    places = [(one.case, one.z) for one in slices]
    twice = next((a for a, b in pairwise(places) if a == b), None)
    if twice is not None:
        raise ShapeError(f"slice {twice[1]} of {twice[0]!r} comes twice; summarise it once")
    odd = next((one for one in slices if tuple(one.entropy_px) != organs), None)
    if odd is not None:
        raise ShapeError(
            f"slice {odd.z} of {odd.case!r} has the organs {', '.join(odd.entropy_px)}, others "
            f"have {', '.join(organs)}; summarise all with one set of names"
        )
    shows = np.array([any(one.area_px.values()) for one in slices])
    return Candidates(
        cases=tuple(one.case for one in slices),
        zs=tuple(one.z for one in slices),
        z_mm=np.array([one.z_mm for one in slices], dtype=np.float64),
        organs=organs,
        weights=np.array([weights.get(organ, 1.0) for organ in organs]),
        entropy=np.array([[one.entropy_px[organ] for organ in organs] for one in slices]),
        disagreement=np.array([[one.disagreement_px[organ] for organ in organs] for one in slices]),
        shows=shows if shows.any() else ~shows,
        members=min(one.members for one in slices),
    )


def by_case(pool: Candidates) -> Candidates:
    """Join the rows of every scan into one, the mean of its slices."""
    names = tuple(dict.fromkeys(pool.cases))
    rows = [np.array(pool.cases) == name for name in names]
    return pool._replace(
        cases=names,
        zs=(None,) * len(names),
        z_mm=np.zeros(len(names)),
        entropy=np.stack([pool.entropy[here].mean(axis=0) for here in rows]),
        disagreement=np.stack([pool.disagreement[here].mean(axis=0) for here in rows]),
        shows=np.array([pool.shows[here].any() for here in rows]),
    )
