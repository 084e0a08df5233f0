"""Which slice to draw next: where a drawing would mend most."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_LEAST_REACH_MM = 6.0


class Suggestion(NamedTuple):
    """A slice worth drawing."""

    z: int
    organs: tuple[str, ...]
    """Organs to draw there, the most doubtful first."""
    gain: float
    """Share of the organs' pixels that is doubtful around the slice, summed over organs."""
    reason: str


def suggest(
    doubt: Mapping[str, NDArray[np.float32]],
    area: Mapping[str, NDArray[np.float32]],
    drawn: Mapping[str, Collection[int]],
    *,
    slice_mm: float,
    count: int,
) -> tuple[Suggestion, ...]:
    """Choose slices one after the other, each where most of what is doubtful is left.

    A drawing mends its own slice and, less and less, its neighbours, half-way to the next drawn
    slice. What is doubtful counts as a share of its organ, so that small organs are not forgotten.

    Args:
        doubt: Organ to ``(z,)`` doubt, 0 to 1.
        area: Organ to ``(z,)`` pixels of its mask.
        drawn: Organ to the slices drawn already.
        slice_mm: Distance between slices.
        count: How many slices at most.

    Returns:
        Fewer where nothing is doubtful any more.
    """
    wrong = {
        organ: np.asarray(doubt[organ] * area[organ] / max(float(area[organ].sum()), 1.0))
        for organ in doubt
    }
    known = {organ: set(drawn.get(organ, ())) for organ in doubt}
    chosen: list[Suggestion] = []
    for _ in range(count):
        gains = {organ: _gain(wrong[organ], known[organ], slice_mm) for organ in wrong}
        total = np.sum(list(gains.values()), axis=0) if gains else np.zeros(0)
        if not total.size or float(total.max()) <= 0:
            break
        z = int(total.argmax())
        organs = sorted((o for o in gains if gains[o][z] > 0), key=lambda o: -gains[o][z])
        chosen.append(
            Suggestion(z, tuple(organs), float(total[z]), _why(z, organs, doubt, drawn, slice_mm))
        )
        for organ in organs:
            wrong[organ] = wrong[organ] * (
                1 - _kernel(z, known[organ], len(wrong[organ]), slice_mm)
            )
            known[organ].add(z)
    return tuple(chosen)


def _kernel(z: int, drawn: Collection[int], length: int, slice_mm: float) -> NDArray[np.float64]:
    """Return the share of every slice's faults that a drawing at z would mend."""
    reach = min((abs(z - other) for other in drawn), default=length) / 2
    reach = max(reach, _LEAST_REACH_MM / slice_mm, 1.0)
    return np.clip(1 - np.abs(np.arange(length) - z) / reach, 0, 1)


def _gain(
    wrong: NDArray[np.float64], drawn: Collection[int], slice_mm: float
) -> NDArray[np.float64]:
    """Return what a drawing would mend, for every slice."""
    gain = np.zeros(len(wrong))
    for z in np.flatnonzero(wrong > 0):
        if int(z) not in drawn:
            gain[z] = float(wrong @ _kernel(int(z), drawn, len(wrong), slice_mm))
    return gain


def _why(
    z: int,
    organs: list[str],
    doubt: Mapping[str, NDArray[np.float32]],
    drawn: Mapping[str, Collection[int]],
    slice_mm: float,
) -> str:
    first = organs[0]
    more = f", and {len(organs) - 1} more" if len(organs) > 1 else ""
    near = [abs(z - other) * slice_mm for other in drawn.get(first, ())]
    where = f", {min(near):.0f} mm from its nearest drawn slice" if near else ""
    return f"{first}: doubt {float(doubt[first][z]):.2f}{where}{more}"
