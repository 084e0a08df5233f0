"""Which of the sampled slices become guides, of which organs they speak, and why.

Reference: Pham et al. (FLARE22) take for every class the slice with its largest area, with all
that is on it. Here a guide carries only organs that the networks are sure of, guides are spread
over each organ's extent, and slices just beyond an organ tell where it stops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slicekit.checks import suggest
from slicekit.errors import RecipeError
from slicekit.inference.evidence import SliceEvidence

MINOR_SHARE = 0.2
"""A part of an organ far from the rest counts if its score is so much of the largest part's."""


@dataclass(frozen=True)
class GuideChoice:
    """A slice that becomes a guide."""

    z: int
    """Number of the slice."""
    organs: frozenset[int]
    """Ids of the organs that its mask is to hold."""
    absent: frozenset[int]
    """Ids of organs that are known not to be there; of all others it says nothing."""
    reason: str
    """Why it was chosen, for people."""


@dataclass(frozen=True)
class SelectionSettings:
    """How guides are chosen."""

    max_gap_mm: float = 30.0
    """Distance between neighbouring guides of one organ at most, where sampling allows it."""
    budget: int = 64
    """Guides at most."""
    least_certainty: float = 0.2
    """An organ of less certainty (confidence x agreement x largest share) is never carried."""
    relative_certainty: float = 0.6
    """Nor is one of less than this share of its own best certainty."""
    end_slack_mm: float = 10.0
    """An end slice may lie so far behind the first empty one, if that saves a guide."""

    def __post_init__(self) -> None:
        if not self.max_gap_mm > 0 or self.budget < 1 or self.end_slack_mm < 0:
            raise ValueError(f"max_gap_mm and budget must be above 0, got {self}")
        if not (0 <= self.least_certainty <= 1 and 0 <= self.relative_certainty <= 1):
            raise ValueError(f"certainties must be in [0, 1], got {self}")


Selector = Callable[
    [SliceEvidence, SelectionSettings, np.random.Generator | None], tuple[GuideChoice, ...]
]
"""From evidence to guides in rising order; none where no organ was found."""


def select(
    name: str,
    evidence: SliceEvidence,
    *,
    settings: SelectionSettings = SelectionSettings(),
    rng: np.random.Generator | None = None,
) -> tuple[GuideChoice, ...]:
    """Choose guides with the selector of this name.

    Returns:
        Guides in rising order; none where no organ was found, and the answer is then empty.

    Raises:
        RecipeError: No such selector, or ``"random"`` without ``rng``.
    """
    return selector_named(name)(evidence, settings, rng)


def selector_named(name: str) -> Selector:
    """Return the selector of this name; ask early, before networks run.

    Raises:
        RecipeError: There is none; the message suggests the likely one.
    """
    if name not in SELECTORS:
        raise RecipeError(f"unknown selector {name!r}; {suggest(name, SELECTORS)}")
    return SELECTORS[name]


def agreement(
    evidence: SliceEvidence,
    settings: SelectionSettings = SelectionSettings(),
    rng: np.random.Generator | None = None,
) -> tuple[GuideChoice, ...]:
    """Choose the surest slices, spread over every organ, and the slices where organs stop.

    Greedy cover: the slice comes next that brings the surest organs closest to having a guide
    within half of ``max_gap_mm`` of each of their slices. Then for either end of every organ the
    nearest slice beyond that is surely empty of it. A guide carries each organ it is sure of.
    """
    if not len(evidence.zs):
        return ()
    usable = _usable(evidence, settings)
    first, last = _extents(usable)
    z_mm = evidence.z_mm
    reasons: dict[int, list[str]] = {}
    for j, organs in _cover(evidence, usable, settings):
        sure = ", ".join(
            f"{evidence.labels.names[k]} ({evidence.certainty[j, k]:.2f})" for k in organs
        )
        reasons[j] = [f"sure of {sure}"]
    rows = np.arange(len(z_mm))[:, None]
    outside = usable.any(axis=0) & evidence.surely_empty & ((rows < first) | (rows > last))
    for j, organs in _ends(outside, first, last, z_mm, settings, chosen=set(reasons)):
        if j in reasons or len(reasons) < settings.budget:
            names = ", ".join(evidence.labels.names[k] for k in organs)
            reasons.setdefault(j, []).append(f"just beyond {names}")
    return tuple(
        GuideChoice(
            z=int(evidence.zs[j]),
            organs=_named(evidence, usable[j]),
            absent=_named(evidence, outside[j]),
            reason="; ".join(reasons[j]),
        )
        for j in sorted(reasons)
    )


def largest_area(
    evidence: SliceEvidence,
    settings: SelectionSettings = SelectionSettings(),
    rng: np.random.Generator | None = None,
) -> tuple[GuideChoice, ...]:
    """Choose for every organ the slice with its largest area (Pham et al.); whole masks."""
    wanted: dict[int, list[str]] = {}
    for k, name in enumerate(evidence.labels.names):
        if evidence.area_px[:, k].any():
            wanted.setdefault(int(evidence.area_px[:, k].argmax()), []).append(name)
    return _whole(evidence, {j: f"largest area of {', '.join(n)}" for j, n in wanted.items()})


def uniform(
    evidence: SliceEvidence,
    settings: SelectionSettings = SelectionSettings(),
    rng: np.random.Generator | None = None,
) -> tuple[GuideChoice, ...]:
    """Choose slices ``max_gap_mm`` apart over all that was found; whole masks."""
    seen = np.flatnonzero(evidence.area_px.any(axis=1))
    if not len(seen):
        return ()
    z_mm = evidence.z_mm[seen]
    places = np.linspace(z_mm[0], z_mm[-1], _even_count(z_mm, settings))
    near = {int(seen[np.abs(z_mm - place).argmin()]) for place in places}
    return _whole(evidence, dict.fromkeys(near, f"every {settings.max_gap_mm:g} mm"))


def random(
    evidence: SliceEvidence,
    settings: SelectionSettings = SelectionSettings(),
    rng: np.random.Generator | None = None,
) -> tuple[GuideChoice, ...]:
    """Choose as many slices as ``uniform`` among those that show an organ; whole masks.

    Raises:
        RecipeError: ``rng`` is missing.
    """
    if rng is None:
        raise RecipeError("the selector 'random' needs rng, a numpy.random.Generator with a seed")
    seen = np.flatnonzero(evidence.area_px.any(axis=1))
    if not len(seen):
        return ()
    count = min(len(seen), _even_count(evidence.z_mm[seen], settings))
    drawn = sorted(rng.choice(seen, size=count, replace=False).tolist())
    return _whole(evidence, dict.fromkeys(drawn, "drawn at random"))


SELECTORS: dict[str, Selector] = {
    "agreement": agreement,
    "largest-area": largest_area,
    "random": random,
    "uniform": uniform,
}
"""The selectors by name."""


def _even_count(z_mm: NDArray[np.float64], settings: SelectionSettings) -> int:
    """Return how many slices cover an extent at ``max_gap_mm``, within the budget."""
    return min(settings.budget, int(np.ceil((z_mm[-1] - z_mm[0]) / settings.max_gap_mm)) + 1)


def _named(evidence: SliceEvidence, columns: NDArray[np.bool_]) -> frozenset[int]:
    return frozenset(evidence.ids[k] for k in np.flatnonzero(columns))


def _whole(evidence: SliceEvidence, reasons: dict[int, str]) -> tuple[GuideChoice, ...]:
    """Return guides that carry all that was predicted, and call all else absent."""
    return tuple(
        GuideChoice(
            z=int(evidence.zs[j]),
            organs=_named(evidence, evidence.area_px[j] > 0),
            absent=_named(evidence, evidence.area_px[j] == 0),
            reason=reasons[j],
        )
        for j in sorted(reasons)
    )


def _usable(evidence: SliceEvidence, settings: SelectionSettings) -> NDArray[np.bool_]:
    """Return ``(n, k)``: where a guide could carry an organ; far specks are left out."""
    best = evidence.certainty.max(axis=0)
    floor = np.maximum(settings.least_certainty, settings.relative_certainty * best)
    usable: NDArray[np.bool_] = (evidence.area_px > 0) & (evidence.certainty >= floor)
    for k in range(usable.shape[1]):
        where = np.flatnonzero(usable[:, k])
        far = np.diff(evidence.z_mm[where]) > 2 * settings.max_gap_mm
        parts = np.split(where, np.flatnonzero(far) + 1)
        scores = [evidence.score[part, k].sum() for part in parts]
        for part, score in zip(parts, scores, strict=True):
            usable[part, k] = score >= MINOR_SHARE * max(scores)
    return usable


def _extents(usable: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return first and last usable row of every organ; of one without any, of no use."""
    return usable.argmax(axis=0), len(usable) - 1 - usable[::-1].argmax(axis=0)


def _cover(
    evidence: SliceEvidence, usable: NDArray[np.bool_], settings: SelectionSettings
) -> Iterable[tuple[int, list[int]]]:
    """Yield rows and the organs they were chosen for, the most useful row first."""
    z_mm = evidence.z_mm
    step_mm = float(np.median(np.diff(z_mm))) if len(z_mm) > 1 else 0.0
    near = np.abs(z_mm[:, None] - z_mm[None]) <= max(settings.max_gap_mm - step_mm, 0.0) / 2
    relative = evidence.score / np.maximum(evidence.score.max(axis=0), 1e-12)
    worth = np.where(usable, evidence.certainty * (1 + relative) / 2, 0.0)
    covered = ~usable
    fresh = np.ones(usable.shape[1], dtype=np.bool_)
    count = np.maximum(usable.sum(axis=0), 1)
    for _ in range(settings.budget):
        gain = worth * ((near.astype(np.int64) @ ~covered) / count + fresh)
        if not gain.any():
            return
        j = int(gain.sum(axis=1).argmax())
        yield j, [int(k) for k in np.flatnonzero(gain[j])]
        covered |= near[j][:, None] & usable[j]
        worth[j] = 0.0
        fresh &= ~usable[j]


def _ends(
    outside: NDArray[np.bool_],
    first: NDArray[np.intp],
    last: NDArray[np.intp],
    z_mm: NDArray[np.float64],
    settings: SelectionSettings,
    *,
    chosen: set[int],
) -> Iterable[tuple[int, list[int]]]:
    """Yield rows just beyond organs and the organs that stop there, chosen rows first."""
    fits = []  # one set of possible rows an end
    for k in range(outside.shape[1]):
        rows = np.flatnonzero(outside[:, k])
        for beyond in (rows[rows < first[k]][::-1], rows[rows > last[k]]):
            if len(beyond):
                close = np.abs(z_mm[beyond] - z_mm[beyond[0]]) <= settings.end_slack_mm
                fits.append((k, set(beyond[close].tolist())))
    while fits:
        counts = {j: sum(j in rows for _, rows in fits) for _, rows in fits for j in rows}
        j = max(counts, key=lambda row: (row in chosen, counts[row], -row))
        yield j, sorted({k for k, rows in fits if j in rows})
        fits = [(k, rows) for k, rows in fits if j not in rows]
