"""Compare folders of predicted label maps with the true ones, and tell the result.

Cases are paired by name: ``case.nii.gz``, ``case_0000.nii`` and ``case.dcm`` are one case.
Organs are compared by name as well, so a prediction may number them differently.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slicekit.errors import DatasetError, DataWarning, SlicekitError
from slicekit.labels import IGNORE_ID, LabelSet
from slicekit.metrics import OrganMean, OrganScore, evaluate, mean_of, summarise
from slicekit.report.naming import names_of
from slicekit.report.pairs import Pair, first_of, pair_paths, read_pair
from slicekit.report.text_table import csv_table, text_table
from slicekit.volume import Volume

log = logging.getLogger(__name__)

_METRICS = ("dsc", "nsd", "hd95_mm")


@dataclass(frozen=True)
class CaseEvaluation:
    """The scores of one case."""

    case: str
    prediction: Path
    truth: Path
    scores: tuple[OrganScore, ...]
    labels_from: str
    """Where the organs' names come from."""


@dataclass(frozen=True)
class EvaluationReport:
    """The scores of all cases and their means."""

    cases: tuple[CaseEvaluation, ...]
    failures: Mapping[str, str]
    """Cases that could not be evaluated, with the reason; a caller should report failure."""
    not_predicted: tuple[str, ...]
    """True label maps for which there is no prediction."""

    @property
    def organs(self) -> list[OrganMean]:
        """Means over the cases, organ by organ."""
        return summarise(case.scores for case in self.cases)

    def to_json(self) -> dict[str, Any]:
        """Return everything as a JSON object; NaN becomes ``null``."""
        organs = self.organs
        return {
            "cases": [
                {
                    "case": case.case,
                    "prediction": str(case.prediction),
                    "truth": str(case.truth),
                    "labels_from": case.labels_from,
                    "organs": {score.organ: _plain(score) for score in case.scores},
                }
                for case in self.cases
            ],
            "organs": {mean.organ: _plain(mean) for mean in organs},
            "mean": _nan_free(
                {key: mean_of(getattr(mean, key) for mean in organs) for key in _METRICS}
            ),
            "failures": dict(self.failures),
            "not_predicted": list(self.not_predicted),
        }

    def to_csv(self) -> str:
        """Write one line a case and organ; a cell is empty where there is no figure."""
        columns = ("case", "organ", *_METRICS, "status")
        rows = [
            {"case": case.case, "organ": score.organ, **_plain(score)}
            for case in self.cases
            for score in case.scores
        ]
        return csv_table(columns, rows)

    def _mean_of_what(self) -> str:
        """Say of how many truths the means are, where it is not all."""
        total = len(self.cases) + len(self.failures) + len(self.not_predicted)
        return "mean" if len(self.cases) == total else f"mean, {len(self.cases)} of {total} truths"

    def to_text(self) -> str:
        """Return two plain tables, by organ and by case, and what went wrong."""
        organs = self.organs
        rows = [["organ", "DSC", "NSD", "HD95 mm", "NSD tolerance mm", "cases"]]
        judged = [one for one in organs if one.cases]
        rows += [[o.organ, *_figures(o), f"{o.tolerance_mm:g}", str(o.cases)] for o in judged]
        rows.append([self._mean_of_what(), *_mean_figures(organs), "", ""])
        blocks = [text_table(rows, ruled_last=True)]
        if left := [one.organ for one in organs if not one.cases]:
            blocks.append(f"in no case evaluated: {first_of(left)}")
        if len(self.cases) > 1:
            rows = [["case", "DSC", "NSD", "HD95 mm", "missed", "invented"]]
            for case in self.cases:
                missed, invented = (
                    ", ".join(s.organ for s in case.scores if s.status == status) or "-"
                    for status in ("missed", "invented")
                )
                rows.append([case.case, *_mean_figures(case.scores), missed, invented])
            blocks.append(text_table(rows, left=(0, 4, 5)))
        if self.failures:
            lines = [f"  {case}: {reason}" for case, reason in self.failures.items()]
            blocks.append("\n".join(["could not be evaluated:", *lines]))
        if self.not_predicted:
            blocks.append(f"no prediction for: {first_of(self.not_predicted)}")
        names = sorted({case.labels_from for case in self.cases})
        if len(names) < 3:
            blocks.append(
                f"organ names from: {'; '.join(names)}\n"
                "an id is taken to mean the same in both files unless each has names of its own"
            )
        return "\n\n".join(block for block in blocks if block)


def evaluate_paths(
    pred: str | Path, truth: str | Path, *, labels: LabelSet | None = None
) -> EvaluationReport:
    """Evaluate one predicted label map, or a folder of them.

    Args:
        pred: A label file (NIfTI, DICOM-SEG or RTSTRUCT) or a folder of them.
        truth: A label file, or a folder with at least the cases of ``pred``.
        labels: Names of the ids on both sides. Without it those of each file are read from the
            file itself where it is DICOM, else from the JSON file of its own name beside it (key
            ``labels``), else from a dataset.json in its folder or the one above; where both
            sides have names, the prediction's ids are translated. Where neither has, the ids are
            the names.

    Returns:
        The scores. A case whose files are at fault is listed under ``failures``.

    Raises:
        DatasetError: Predictions and truths cannot be paired, or share no organ's name.
        SlicekitError: Every case failed; the error of the first.

    Warns:
        DataWarning: Some true label maps have no prediction.
    """
    pairs, not_predicted = pair_paths(Path(pred), Path(truth))
    if not_predicted:
        warnings.warn(
            f"{len(not_predicted)} of {len(not_predicted) + len(pairs)} true label maps have no "
            f"prediction and are left out: {first_of(not_predicted)}",
            DataWarning,
            stacklevel=2,
        )
    cases: list[CaseEvaluation] = []
    failures: dict[str, str] = {}
    first: SlicekitError | None = None
    for pair in pairs:
        try:
            cases.append(evaluate_pair(pair, labels=labels))
        except SlicekitError as fault:
            log.warning("could not evaluate %s: %s", pair.case, fault)
            failures[pair.case] = str(fault)
            first = first or fault
    if first is not None and not cases:
        raise first
    return EvaluationReport(tuple(cases), failures, not_predicted)


def evaluate_pair(pair: Pair, *, labels: LabelSet | None = None) -> CaseEvaluation:
    """Read and compare the two label maps of one case.

    Raises:
        DatasetError: The two share no organ's name.
        GeometryError: They lie on different grids.
        ReadError: A file is damaged or is not a label map.
    """
    pred, truth = read_pair(pair)
    theirs, their_source = names_of(pair.truth)
    ours, our_source = names_of(pair.prediction)
    annotated: Iterable[str] | None = None
    if labels is not None:
        names, source = labels, "the given labels"
    elif ours is not None and theirs is not None and dict(ours.ids) != dict(theirs.ids):
        names, source = theirs, f"{our_source} and {their_source}"
        annotated = [name for name in theirs.names if name in ours]
        if not annotated:
            raise DatasetError(
                f"{our_source} names {first_of(ours.names)}, {their_source} names "
                f"{first_of(theirs.names)}: no organ in common; give the labels of both"
            )
        pred = translate(pred, ours, theirs)
    elif ours is not None or theirs is not None:
        names = ours or theirs or LabelSet({})
        source = our_source if ours is not None else their_source
        _tell_unnamed(pair, pred, truth, names, source)
    else:
        names, source = _ids_as_names(pred, truth), "the ids themselves"
    scores = evaluate(pred, truth, names, annotated=annotated)
    return CaseEvaluation(pair.case, pair.prediction, pair.truth, tuple(scores), source)


def _tell_unnamed(pair: Pair, pred: Volume, truth: Volume, names: LabelSet, source: str) -> None:
    """Warn where files without different names of their own hold ids that nobody names."""
    strange = sorted(
        {int(n) for one in (pred, truth) for n in np.unique(one.array)}
        - {0, IGNORE_ID, *names.ids.values()}
    )
    if strange:
        shown = ", ".join(map(str, strange[:5])) + (" ..." if len(strange) > 5 else "")
        warnings.warn(
            f"{pair.case}: holds ids that {source} has no name for ({shown}), so the two files may "
            "number their organs differently and the scores mean nothing; put a dataset.json with "
            "the truth's names beside it",
            DataWarning,
            stacklevel=2,
        )


def translate(pred: Volume, ours: LabelSet, theirs: LabelSet) -> Volume:
    """Number a prediction's organs as the truth does; organs the truth lacks are dropped."""
    present = int(pred.array.max())
    table = np.zeros(max([present, *ours.ids.values()]) + 1, dtype=np.uint16)
    for name, number in ours.ids.items():
        table[number] = theirs.ids.get(name, 0)
    return pred.with_array(table[pred.array])


def _ids_as_names(*volumes: Volume) -> LabelSet:
    ids = {int(number) for volume in volumes for number in np.unique(volume.array)}
    return LabelSet({str(number): number for number in ids - {0, IGNORE_ID}})


def _plain(score: OrganScore | OrganMean) -> dict[str, Any]:
    """Turn a score into JSON, without the organ's name."""
    return _nan_free({key: value for key, value in vars(score).items() if key != "organ"})


def _nan_free(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in values.items()
    }


def _figures(score: OrganScore | OrganMean) -> list[str]:
    """Write the three metrics; a dash where there is none."""
    digits = (3, 3, 1)
    return [
        "-" if math.isnan(value := getattr(score, key)) else f"{value:.{places}f}"
        for key, places in zip(_METRICS, digits, strict=True)
    ]


def _mean_figures(scores: Iterable[OrganScore] | Iterable[OrganMean]) -> list[str]:
    listed = list(scores)
    dsc, nsd, hd95_mm = (mean_of(getattr(score, key) for score in listed) for key in _METRICS)
    return _figures(OrganMean("", dsc, nsd, hd95_mm, tolerance_mm=0.0, cases=0))
