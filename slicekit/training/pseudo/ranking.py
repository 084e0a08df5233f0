"""The organs of many cases beside one another: the best, the worst, and those near the line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from slicekit.training.pseudo.judge import Judgement
from slicekit.training.pseudo.verdict import Verdict


class Ranked(NamedTuple):
    """One organ of one case in a list to look through."""

    case: str
    judgement: Judgement


class Ranking(NamedTuple):
    """Organs worth a look, each list with the most telling first."""

    best: tuple[Ranked, ...]
    worst: tuple[Ranked, ...]
    borderline: tuple[Ranked, ...]
    """Those whose weakest verdict lies nearest to its threshold, on either side."""


def rank(cases: Mapping[str, Mapping[str, Judgement]], *, count: int = 10) -> Ranking:
    """Pick the best, the worst and the borderline organs of many cases, for people to look at.

    Args:
        cases: Case to organ to judgement. Organs that were not found are passed over.
        count: How many a list at most.
    """
    found = [
        Ranked(case, judgement)
        for case, organs in cases.items()
        for judgement in organs.values()
        if not judgement.absent
    ]
    rising = sorted(found, key=lambda one: one.judgement.score)
    narrow = sorted(found, key=lambda one: abs(one.judgement.weakest - 0.5))
    return Ranking(tuple(rising[::-1][:count]), tuple(rising[:count]), tuple(narrow[:count]))


def keep_best(
    cases: Mapping[str, Mapping[str, Judgement]], *, per_organ: int
) -> dict[str, dict[str, Judgement]]:
    """Keep of every organ only the cases with the best scores; the others become unknown there.

    So many is a budget, not a threshold, and it leaves small organs as many cases as large ones.
    What was refused stays refused, and what was accepted as absent stays accepted: it teaches
    little, but nothing dubious.

    Args:
        cases: Case to organ to judgement.
        per_organ: How many cases an organ keeps; of equal scores the first ones.

    Reference: Pic and Henon-Just keep the most confident two thirds of their cases.
    """
    places: dict[str, list[str]] = {}
    for case, organs in cases.items():
        for organ, one in organs.items():
            if one.accepted and not one.absent:
                places.setdefault(organ, []).append(case)
    for organ, held in places.items():
        held.sort(key=lambda case: -cases[case][organ].score)
    return {
        case: {
            organ: _unless_beaten(one, places.get(organ, []), case, per_organ)
            for organ, one in organs.items()
        }
        for case, organs in cases.items()
    }


def _unless_beaten(one: Judgement, places: list[str], case: str, most: int) -> Judgement:
    """Refuse an organ whose case comes too late in the list of its cases."""
    if case not in places[most:]:
        return one
    place = places.index(case) + 1
    reason = f"its score {one.score:.3f} is number {place} of {len(places)}, the best {most} count"
    beaten = Verdict("rank", False, 0.5 * most / place, reason)
    return replace(one, accepted=False, verdicts=(*one.verdicts, beaten))
