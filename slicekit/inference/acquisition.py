"""What to annotate next: which slices, or which scans, of many.

Within one scan, where some slices are drawn and more are wanted, ``suggest`` knows better.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slicekit.checks import suggest
from slicekit.errors import RecipeError
from slicekit.inference.candidates import Candidates, by_case, candidates
from slicekit.inference.doubt import SliceDoubt


@dataclass(frozen=True)
class Choice:
    """A slice or a scan that is worth annotating."""

    case: str
    z: int | None
    """Number of the slice; ``None`` where whole scans are chosen."""
    organ: str | None
    """Organ that it was chosen for; ``None`` where for all of them."""
    reason: str
    """Why it was chosen, for people."""


@dataclass(frozen=True)
class AcquisitionSettings:
    """How slices are chosen."""

    min_distance_mm: float = 15.0
    """Two slices of one scan must lie so far apart, since neighbours teach nearly the same."""
    class_share: float = 2 / 3
    """Share of the budget that is dealt out to the organs; the rest goes where doubt is most."""
    noise: float = 1.0
    """Scale of the Gumbel noise on the logarithm of doubt: 0 takes the most doubtful, 1 draws in
    proportion to doubt. Networks of an early round know little of their own doubts; less noise
    suits later rounds."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Organ to its weight in shares and sums; 1 where none is given."""

    def __post_init__(self) -> None:
        if not (self.min_distance_mm >= 0 and self.noise >= 0 and 0 <= self.class_share <= 1):
            raise ValueError(f"distance and noise must be 0 or more, a share in [0, 1], got {self}")
        if not all(np.isfinite(weight) and weight >= 0 for weight in self.weights.values()):
            raise ValueError(f"weights must be numbers from 0, got {dict(self.weights)}")


def choose(
    doubts: Iterable[SliceDoubt],
    n: int,
    strategy: str = "entropy",
    *,
    per: Literal["slice", "case"] = "slice",
    settings: AcquisitionSettings = AcquisitionSettings(),
    known: Collection[tuple[str, int]] = (),
    rng: np.random.Generator | None = None,
) -> tuple[Choice, ...]:
    """Choose what to annotate next.

    Report every strategy against ``uniform`` and ``random``: most that were ever proposed do not
    beat them on scans.

    Args:
        doubts: Summaries of the slices to choose from, of any number of scans.
        n: How many slices or scans at most.
        strategy: ``"entropy"``, ``"disagreement"``, ``"uniform"`` or ``"random"``.
        per: Whether single slices or whole scans are chosen; a scan's doubt is the mean of its
            slices', so that long scans, which cost more to draw, are not preferred.
        settings: Distances, shares, noise, weights.
        known: Case and slice of what is annotated already. It is not chosen again; if it is
            among the doubts, its neighbours are not chosen either, nor is its scan.
        rng: Randomness; one seed gives one choice. ``"uniform"`` needs none.

    Returns:
        Choices, the most wanted first; fewer where distances leave no more room, or where
            nothing is doubtful.

    Raises:
        RecipeError: No such strategy or ``per``, ``rng`` is missing, or one network cannot
            disagree.
        LabelError: A weight is of no organ.
        ShapeError: A slice comes twice, or slices have different organs.

    Reference: Lüth et al. 2026 (ClaSP PE) for ``"entropy"``.
    """
    expect_strategy(strategy, per=per)
    if rng is None and strategy != "uniform":
        raise RecipeError(
            f"the strategy {strategy!r} needs rng, a numpy.random.Generator with a seed"
        )
    slices = tuple(doubts)
    if n < 1 or not slices:
        return ()
    pool = candidates(slices, settings.weights)
    pool = by_case(pool) if per == "case" else pool
    free = _unknown(pool, known, settings)
    chosen: list[Choice] = []
    for wish in STRATEGIES[strategy](pool, n, settings, rng or np.random.default_rng(0)):
        best = wish.best(free)
        if best is not None:
            free &= ~pool.near(best, settings.min_distance_mm)
            chosen.append(Choice(pool.cases[best], pool.zs[best], wish.organ, wish.reason(best)))
        if len(chosen) == n:
            break
    return tuple(chosen)


def expect_strategy(strategy: str, *, per: str = "slice") -> None:
    """Refuse an unknown strategy before anything is computed.

    Raises:
        RecipeError: No such strategy or ``per``; the message suggests the likely one.
    """
    if strategy not in STRATEGIES:
        raise RecipeError(f"unknown strategy {strategy!r}; {suggest(strategy, STRATEGIES)}")
    if per not in ("slice", "case"):
        raise RecipeError(f"cannot choose per {per!r}; {suggest(per, ('slice', 'case'))}")


def _unknown(
    pool: Candidates, known: Collection[tuple[str, int]], settings: AcquisitionSettings
) -> NDArray[np.bool_]:
    """Return which rows are neither annotated nor next to what is."""
    free = np.ones(len(pool.cases), dtype=np.bool_)
    scans = {case for case, _ in known}
    for row, (case, z) in enumerate(zip(pool.cases, pool.zs, strict=True)):
        if case in scans if z is None else (case, z) in known:
            free &= ~pool.near(row, settings.min_distance_mm)
    return free


class _Wish(NamedTuple):
    """One choice to be made: the best row that is still free."""

    worth: NDArray[np.float64]
    """``(n,)``; a row that is of no use is minus infinity."""
    organ: str | None
    reason: Callable[[int], str]

    def best(self, free: NDArray[np.bool_]) -> int | None:
        """Return the row worth most; ``None`` where nothing useful is free."""
        left = np.where(free, self.worth, -np.inf)
        row = int(left.argmax())
        return row if np.isfinite(left[row]) else None


_Strategy = Callable[[Candidates, int, AcquisitionSettings, np.random.Generator], Iterator[_Wish]]


def _by_doubt(
    pool: Candidates,
    n: int,
    settings: AcquisitionSettings,
    rng: np.random.Generator,
    *,
    measure: Literal["entropy", "disagreement"],
) -> Iterator[_Wish]:
    """Wish for doubtful rows: a share of the budget by organ in turn, the rest over all organs."""
    doubt: NDArray[np.float64] = getattr(pool, measure)
    if measure == "disagreement" and pool.members < 2:
        raise RecipeError("one network cannot disagree; choose 'entropy', or use a committee")

    def wish(values: NDArray[np.float64], organ: str | None) -> _Wish:
        noisy = settings.noise * rng.gumbel(size=len(values))
        worth = np.log(values, out=np.full(len(values), -np.inf), where=values > 0) + noisy
        ranks = (-values).argsort(kind="stable").argsort(kind="stable") + 1

        def reason(row: int) -> str:
            most = pool.organs[int((doubt[row] * pool.weights).argmax())]
            whose = organ or f"all organs, mostly {most},"
            unit, what = ("px", "slices") if pool.zs[row] is not None else ("px a slice", "scans")
            return (
                f"{measure} of {whose} is {values[row]:.1f} {unit}, "
                f"rank {ranks[row]} of {len(values)} {what}"
            )

        return _Wish(worth, organ, reason)

    open_to = pool.weights * (doubt > 0).any(axis=0)
    dealt = round(settings.class_share * n) if open_to.any() else 0
    for k in _deal(dealt, open_to, rng):
        yield wish(doubt[:, k], pool.organs[k])
    for _ in range(n):  # more than are left, for organs whose doubtful slices were all taken
        yield wish(doubt @ pool.weights, None)


def _uniform(
    pool: Candidates, n: int, settings: AcquisitionSettings, rng: np.random.Generator
) -> Iterator[_Wish]:
    """Wish for rows that are evenly spread over all that shows an organ."""
    rows = np.flatnonzero(pool.shows)
    cases, thick = np.array(pool.cases)[rows], np.ones(len(rows))
    for case in np.unique(cases):
        here = cases == case
        if np.count_nonzero(here) > 1:
            thick[here] = np.gradient(pool.z_mm[rows[here]])
    place = np.cumsum(thick) - thick / 2
    for target in (np.arange(n) + 0.5) * thick.sum() / n:
        worth = np.full(len(pool.cases), -np.inf)
        worth[rows] = -np.abs(place - target)
        yield _Wish(worth, None, lambda row: f"evenly spread over {len(rows)} that show an organ")


def _random(
    pool: Candidates, n: int, settings: AcquisitionSettings, rng: np.random.Generator
) -> Iterator[_Wish]:
    """Wish for any row that shows an organ, each as likely as the other."""
    count = int(np.count_nonzero(pool.shows))
    worth = np.where(pool.shows, rng.random(len(pool.cases)), -np.inf)
    for _ in range(n):
        yield _Wish(worth, None, lambda row: f"drawn at random from {count} that show an organ")


STRATEGIES: Mapping[str, _Strategy] = {
    "entropy": partial(_by_doubt, measure="entropy"),
    "disagreement": partial(_by_doubt, measure="disagreement"),
    "uniform": _uniform,
    "random": _random,
}
"""The strategies by name."""


def _deal(count: int, weights: NDArray[np.float64], rng: np.random.Generator) -> Iterator[int]:
    """Deal out a budget to organs by their weights; what is over by lot, where equal."""
    if not count:
        return
    exact = count * weights / weights.sum()
    quotas = np.floor(exact).astype(np.int64)
    lot = rng.permutation(len(weights))
    first = np.lexsort((lot, -(exact - quotas).round(9)))
    quotas[first[: count - int(quotas.sum())]] += 1
    hands = ([int(k)] * int(quotas[k]) for k in np.argsort(lot))
    for turn in zip_longest(*hands):  # in turn, so that no organ takes all before another
        yield from (k for k in turn if k is not None)
