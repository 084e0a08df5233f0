"""Which organs pseudo labels hold, against the labels: one that nobody teaches is unlearnt."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from slicekit.errors import DataWarning
from slicekit.labels import LabelSet

LABELLED = "labelled"
PSEUDO = "pseudo"
_COLLAPSED = 0.1


def in_words(shares: Mapping[str, float]) -> str:
    """Say shares, as ``Census.close`` gives them, so that a person can compare the organs.

    Example:
        >>> in_words({"labelled liver": 0.0312, "pseudo liver": 0.02, "labelled aorta": 0.0})
        'share of the pixels (labelled, pseudo): liver 3.12 %, 2 %; aorta 0 %'
    """
    by_organ: dict[str, list[float]] = {}
    for name, share in shares.items():
        by_organ.setdefault(name.partition(" ")[2], []).append(share)
    sources = ", ".join(dict.fromkeys(name.partition(" ")[0] for name in shares))
    told = "; ".join(
        f"{organ} {', '.join(f'{100 * share:.3g} %' for share in each)}"
        for organ, each in by_organ.items()
    )
    return f"share of the pixels ({sources}): {told}"


class Census:
    """Counts the pixels of every class between two evaluations."""

    def __init__(self) -> None:
        self._counts: dict[str, NDArray[np.int64]] = {}

    @property
    def counts(self) -> dict[str, list[int]]:
        """What was counted so far, ready for JSON."""
        return {source: count.tolist() for source, count in self._counts.items()}

    def restore(self, counts: Mapping[str, Sequence[int]]) -> None:
        """Go on from what another one had counted."""
        self._counts = {source: np.array(count, np.int64) for source, count in counts.items()}

    def add(self, counts: Mapping[str, Tensor]) -> None:
        """Count one step: where labels came from to pixels ``(classes,)``."""
        for source, count in counts.items():
            self._counts[source] = self._counts.get(source, 0) + count.cpu().numpy()

    def close(self, labels: LabelSet) -> dict[str, float]:
        """Return each organ's share of the pixels by source, and begin anew.

        Warns:
            DataWarning: An organ is in the labels, and next to never in the pseudo labels.
        """
        shares = {
            source: count / max(1, int(count.sum())) for source, count in self._counts.items()
        }
        self._counts = {}
        if PSEUDO in shares and LABELLED in shares and shares[PSEUDO].any():
            ratio = shares[PSEUDO] / np.maximum(shares[LABELLED], 1e-12)
            lost = [
                name
                for name, number in labels.ids.items()
                if shares[LABELLED][number] > 0 and ratio[number] < _COLLAPSED
            ]
            if lost:
                warnings.warn(
                    f"the pseudo labels hold next to nothing of {', '.join(lost)}; the networks "
                    "have not learnt them yet, or are unlearning them - if it stays so, lower the "
                    "weight of what is not labelled, or let it climb later",
                    DataWarning, stacklevel=2,
                )  # fmt: skip
        return {
            f"{source} {name}": float(share[number])
            for source, share in shares.items()
            for name, number in labels.ids.items()
        }
