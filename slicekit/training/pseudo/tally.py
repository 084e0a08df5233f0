"""How many organs were found, and how many of them were accepted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from slicekit.labels import LabelSet
from slicekit.training.pseudo.judge import Judgement


class Tally(NamedTuple):
    """Scans by what became of one organ; those in which it was not found count nowhere."""

    accepted: int
    found: int

    def __str__(self) -> str:
        """Say it in a few words."""
        if not self.found:
            return "not found in any scan"
        return f"{self.accepted} of {self.found} accepted"


def tally(judgements: Mapping[str, Mapping[str, Judgement]], organs: LabelSet) -> dict[str, Tally]:
    """Count the scans in which an organ was found, and was accepted.

    Args:
        judgements: Case to organ to judgement.
        organs: The organs to count, in this order.
    """
    counts = {}
    for organ in organs.names:
        found = [case[organ] for case in judgements.values() if not case[organ].absent]
        counts[organ] = Tally(sum(one.accepted for one in found), len(found))
    return counts
