"""The table of the few-shot benchmark: means over organs and folds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np


class Scored(Protocol):
    """A run, as far as the table asks."""

    @property
    def source(self) -> str:
        """Where its pseudo organs come from."""

    @property
    def setting(self) -> int:
        """What was left out of its training."""

    @property
    def fold(self) -> int:
        """Which patients it was scored on."""


def table_of(scores: Mapping[Scored, Mapping[str, float]]) -> list[dict[str, Any]]:
    """Return a row a source, setting and organ: mean and deviation over folds."""
    rows = []
    for source, setting in dict.fromkeys((run.source, run.setting) for run in scores):
        by_fold: dict[str, dict[int, float]] = {}
        for run, found in scores.items():
            if (run.source, run.setting) == (source, setting):
                for organ, dsc in found.items():
                    by_fold.setdefault(organ, {})[run.fold] = dsc
        folds = sorted({fold for marks in by_fold.values() for fold in marks})
        means = [
            float(np.mean([marks[fold] for marks in by_fold.values() if fold in marks]))
            for fold in folds
        ]
        listed = [(organ, list(marks.values())) for organ, marks in by_fold.items()]
        for organ, marks in [*listed, ("mean", means)]:
            rows.append(
                {
                    "source": source, "setting": setting, "organ": organ,
                    "dsc": float(np.mean(marks)), "deviation": float(np.std(marks)),
                    "folds": len(marks),
                }
            )  # fmt: skip
    return rows
