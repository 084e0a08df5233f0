"""Whether the choice of pseudo labels was a good one, where the truth is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from numpy.typing import NDArray

from slicekit.labels import IGNORE_ID, LabelSet
from slicekit.metrics import mean_of
from slicekit.training.pseudo.judge import Judgement
from slicekit.training.pseudo.overlap import organ_dices


class JudgedCase(NamedTuple):
    """A case that was judged, and its truth."""

    labels: NDArray[Any]
    """``(z, y, x)`` ids that were predicted, before anything was refused."""
    truth: NDArray[Any]
    """``(z, y, x)`` ids on the same grid."""
    judgements: Mapping[str, Judgement]
    annotated: frozenset[str] | None = None
    """Organs that the truth tells about; all for ``None``."""


@dataclass(frozen=True)
class ChoicePrecision:
    """Mean DSC of what was accepted and of what was refused.

    NaN where there is none of a kind.
    """

    accepted_dsc: float
    refused_dsc: float
    accepted: int
    """How many organs of cases were accepted."""
    refused: int

    @property
    def gain(self) -> float:
        """How much better the accepted ones are than all of them; above 0 in a good choice."""
        count = self.accepted + self.refused
        if not self.accepted or not self.refused:
            return 0.0 if count else float("nan")
        everything = self.accepted * self.accepted_dsc + self.refused * self.refused_dsc
        return self.accepted_dsc - everything / count


def precision_of_choice(
    cases: Iterable[JudgedCase], names: LabelSet
) -> tuple[ChoicePrecision, dict[str, ChoicePrecision]]:
    """Compare the DSC of accepted organs with that of refused ones.

    Args:
        cases: Cases whose truth is known and was not used to judge them; a generator, so that
            only one lies in memory.
        names: The organs.

    Returns:
        Over all organs of all cases, and organ by organ. An organ that was accepted as absent
        counts 1 where the truth lacks it too, else 0.

    Raises:
        ShapeError: Prediction and truth differ in shape.
        LabelError: One of them does not hold whole numbers from 0.
    """
    ignored = None if IGNORE_ID in names.ids.values() else IGNORE_ID
    scored: list[tuple[str, bool, float]] = []
    for case in cases:
        dices = organ_dices(case.labels, case.truth, names, ignore_id=ignored)
        scored += [
            (organ, one.accepted, dices[organ])
            for organ, one in case.judgements.items()
            if organ in dices and (case.annotated is None or organ in case.annotated)
        ]
    by_organ = {
        organ: _precision((taken, dsc) for other, taken, dsc in scored if other == organ)
        for organ in names.names
    }
    return _precision((taken, dsc) for _, taken, dsc in scored), by_organ


def _precision(scored: Iterable[tuple[bool, float]]) -> ChoicePrecision:
    every = list(scored)
    accepted = [dsc for taken, dsc in every if taken]
    refused = [dsc for taken, dsc in every if not taken]
    return ChoicePrecision(mean_of(accepted), mean_of(refused), len(accepted), len(refused))
