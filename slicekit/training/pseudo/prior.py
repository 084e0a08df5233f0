"""What the labelled cases teach about organs: how large they are, and where they lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import isfinite
from typing import ClassVar

from pydantic import ConfigDict

from slicekit.errors import DatasetError
from slicekit.training.pseudo.facts import FACES, Face, OrganFacts

ENDS: frozenset[Face] = frozenset({"inferior", "superior"})
"""Sides at which a scan may stop anywhere."""
_STRICT = ConfigDict(extra="forbid")  # a misspelt key in a file is refused
_WORDS: Mapping[Face, str] = {
    "left": "left of",
    "right": "right of",
    "posterior": "behind",
    "anterior": "in front of",
    "inferior": "below",
    "superior": "above",
}


@dataclass(frozen=True)
class PriorSettings:
    """How a prior is learned."""

    volume_slack: float = 4.0
    """The range of volumes is widened on both sides by the factor 1 + this / cases."""
    margin_mm: float = 15.0
    """Two centroids must be so far apart in every labelled case to make an order."""
    least_cases: int = 2
    """An order must have been seen in so many cases."""

    def __post_init__(self) -> None:
        if not (self.volume_slack >= 0 and self.margin_mm >= 0 and self.least_cases >= 1):
            raise ValueError(f"slack and margin must not be negative, cases above 0, got {self}")


@dataclass(frozen=True)
class OrganPrior:
    """What the labelled cases show of one organ."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    organ: str
    annotated: int
    """Cases in which somebody looked for it."""
    absent: int
    """Cases among them that do not have it."""
    seen_ml: tuple[float, float] | None
    """Smallest and largest volume; ``None`` where no case has it."""
    volume_ml: tuple[float, float] | None
    """The same, widened: what is believed."""
    least_share: float | None
    """Smallest share of the largest piece."""
    least_continuity: float | None
    """Smallest share of slices between the first and the last that hold it."""
    borders: tuple[Face, ...]
    """Sides of the scan that it touches in some case."""

    def __post_init__(self) -> None:
        if not 0 <= self.absent <= self.annotated:
            raise ValueError(f"{self.organ}: {self.absent} of {self.annotated} cases cannot be")
        if (self.seen_ml is None) != (self.volume_ml is None):
            raise ValueError(f"{self.organ}: seen_ml and volume_ml go together")
        if self.seen_ml is not None and self.volume_ml is not None:
            (low, high), (least, most) = self.seen_ml, self.volume_ml
            if not (0 < least <= low <= high <= most and isfinite(most)):
                raise ValueError(
                    f"{self.organ}: seen_ml {low:g} to {high:g} must be above 0, rise, and lie "
                    f"within volume_ml {least:g} to {most:g}"
                )

    @property
    def may_be_absent(self) -> bool:
        """Whether some labelled case lacks the organ."""
        return self.absent > 0

    @property
    def absent_share(self) -> float:
        """Share of the cases that lack it; 0 where nobody ever looked."""
        return self.absent / self.annotated if self.annotated else 0.0


@dataclass(frozen=True)
class Order:
    """That an organ lies on one side of another in every labelled case."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    organ: str
    other: str | None
    """``None`` for the middle of the body."""
    side: Face
    """Where ``organ`` lies as seen from ``other``; the patient's own sides."""
    least_mm: float
    """Smallest distance of their centroids to that side."""
    cases: int
    """Cases that show it."""

    def __str__(self) -> str:
        return f"{self.organ} {_WORDS[self.side]} {self.other or 'the middle of the body'}"

    def gap_mm(self, facts: Mapping[str, OrganFacts]) -> float | None:
        """Return how far a case follows it, below 0 if not; ``None`` where an organ is absent."""
        if self.organ not in facts:
            return None
        other = None if self.other is None else facts.get(self.other)
        if self.other is not None and other is None:
            return None
        return gap_mm(facts[self.organ], other, self.side)


@dataclass(frozen=True)
class Prior:
    """What is known of the organs before a case is looked at."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    cases: int
    """Labelled cases it was learned from."""
    organs: Mapping[str, OrganPrior]
    orders: tuple[Order, ...]

    def __post_init__(self) -> None:
        named = {name for order in self.orders for name in (order.organ, order.other)}
        strange = sorted(name for name in named if name is not None and name not in self.organs)
        wrong = sorted(name for name, organ in self.organs.items() if name != organ.organ)
        if strange or wrong:
            raise ValueError(f"organs and orders name different organs: {strange or wrong}")


def learn_prior(
    cases: Iterable[Mapping[str, OrganFacts]], *, settings: PriorSettings = PriorSettings()
) -> Prior:
    """Learn from labelled cases how large organs are, where they lie and whether they may lack.

    Between ``n`` cases and one more, the chance that the further one is the largest or smallest
    is ``2 / (n + 1)``, 40 % for four; so the fewer there are, the wider the range of volumes
    becomes. An organ that the scan cuts off says nothing of how small a whole one can be.

    Args:
        cases: Facts of each labelled case, as ``measure_facts`` gives them of its drawn labels.
            An organ that is missing from a case was not annotated there; one without voxels was
            looked for and is absent. A case of which only some slices were drawn has no place
            here: its volumes are none.
        settings: How much is widened, and how sure an order must be.

    Raises:
        DatasetError: There is no case.
    """
    known = list(cases)
    if not known:
        raise DatasetError(
            "a prior needs at least one labelled case, got none; give the facts of the labelled "
            "cases, or choose rules that need no prior"
        )
    names = list(dict.fromkeys(name for facts in known for name in facts))
    organs = {
        name: _learn_organ(name, [facts[name] for facts in known if name in facts], settings)
        for name in names
    }
    pairs = [*combinations(names, 2), *((name, None) for name in names)]
    orders = [_learn_order(one, other, known, settings) for one, other in pairs]
    return Prior(len(known), organs, tuple(order for some in orders for order in some))


def gap_mm(one: OrganFacts, other: OrganFacts | None, side: Face) -> float | None:
    """Return how far one centroid lies to a side of another, or of the body's middle.

    Args:
        one: Where to measure to.
        other: Where to measure from; ``None`` for the middle of the body.
        side: Which way counts as positive.

    Returns:
        Millimetres; ``None`` where one of them is absent. The body's middle is known in the slice
        only, not along the body, and only where a body was given to ``measure_facts``.
    """
    axis = next(number for number, pair in enumerate(FACES) if side in pair)
    sign = 1.0 if side == FACES[axis][1] else -1.0
    if other is None:
        place = one.from_body_mm
        return None if place is None or axis >= len(place) else sign * place[axis]
    if one.centroid_mm is None or other.centroid_mm is None:
        return None
    return sign * (one.centroid_mm[axis] - other.centroid_mm[axis])


def _learn_organ(name: str, seen: Sequence[OrganFacts], settings: PriorSettings) -> OrganPrior:
    present = [facts for facts in seen if facts.voxels]
    whole = [facts.volume_ml for facts in present if not facts.touches_border & ENDS]
    volumes = [facts.volume_ml for facts in present]
    span = (min(whole or volumes), max(volumes)) if volumes else None
    factor = 1 + settings.volume_slack / max(1, len(whole or volumes))
    shares = [facts.largest_share for facts in present if facts.largest_share is not None]
    runs = [facts.continuity for facts in present if facts.continuity is not None]
    return OrganPrior(
        organ=name,
        annotated=len(seen),
        absent=len(seen) - len(present),
        seen_ml=span,
        volume_ml=None if span is None else (span[0] / factor, span[1] * factor),
        least_share=min(shares, default=None),
        least_continuity=min(runs, default=None),
        borders=tuple(sorted({face for facts in present for face in facts.touches_border})),
    )


def _learn_order(
    one: str,
    other: str | None,
    cases: Sequence[Mapping[str, OrganFacts]],
    settings: PriorSettings,
) -> list[Order]:
    """Return the sides of the other on which an organ always lies."""
    found = []
    for side in (side for pair in FACES for side in pair):
        gaps = [Order(one, other, side, 0.0, 0).gap_mm(facts) for facts in cases]
        known = [gap for gap in gaps if gap is not None]
        if len(known) >= settings.least_cases and min(known) >= settings.margin_mm:
            found.append(Order(one, other, side, min(known), len(known)))
    return found
