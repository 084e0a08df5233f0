"""The page of an evaluation: scores by organ and by case, best and worst with pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from slicekit.errors import ReadError, SlicekitError
from slicekit.inference.segmentation import Progress
from slicekit.labels import IGNORE_ID, LabelSet
from slicekit.metrics import mean_of
from slicekit.report.evaluation import translate
from slicekit.report.naming import name_all, names_of
from slicekit.report.page.parts import (
    Cell,
    Facts,
    Gallery,
    Notes,
    Page,
    Part,
    Picture,
    Plot,
    Table,
    fixed,
    number,
)
from slicekit.report.page.pictures import compared_picture, read_scan, window_of
from slicekit.report.page.plots import Panel, strips
from slicekit.report.page.sources import how_made, nearest, read_case
from slicekit.report.pairs import Pair, read_pair

_SHOWN = 3
_METRICS = {"dsc": ("DSC", 3), "nsd": ("NSD", 3), "hd95_mm": ("HD95, mm", 1)}
_LOW = 0.5
"""DSC below which a cell is marked."""


class Scored(NamedTuple):
    """One case of an evaluation."""

    name: str
    prediction: Path
    truth: Path
    organs: Mapping[str, Mapping[str, Any]]

    def mean(self, metric: str) -> float:
        """Mean over the organs that have the metric; NaN where none has."""
        return mean_of(_or_nan(one.get(metric)) for one in self.organs.values())


def is_evaluation(content: Mapping[str, Any]) -> bool:
    """Tell what ``slicekit evaluate --json`` prints from other JSON."""
    return isinstance(content.get("cases"), list) and isinstance(content.get("organs"), Mapping)


def evaluation_page(
    path: Path, content: Mapping[str, Any], *, progress: Progress | None = None
) -> Page:
    """Make the page of what ``slicekit evaluate --json`` printed.

    Args:
        path: The file, for messages; label maps are looked for beside it too.
        content: What it holds.
        progress: Told about every picture.

    Raises:
        ReadError: It is no evaluation.
    """
    try:
        cases = [_scored(one, path.absolute().parent) for one in content["cases"]]
        means = {str(name): dict(one) for name, one in content["organs"].items()}
        failures = {str(name): str(why) for name, why in dict(content.get("failures", {})).items()}
        missing = [str(name) for name in content.get("not_predicted", ())]
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise ReadError(
            path, f"is no evaluation ({fault!r}); make one by slicekit evaluate --json > FILE"
        ) from fault
    parts: list[Part] = []
    if failures:
        lines = [f"{name}: {why}" for name, why in failures.items()]
        parts.append(Notes("Could not be evaluated", lines))
    if missing:
        parts.append(Notes("Not predicted, and so in no mean", [", ".join(missing)]))
    parts += [_organs(means), _plot(cases, list(means)), _cases(cases), _each(cases, list(means))]
    parts += _galleries(cases, progress)
    parts.append(_how(cases))
    told = content.get("mean")
    dsc = told.get("dsc") if isinstance(told, Mapping) else None
    mean = f"; mean DSC {fixed(dsc, 3).text} over organs" if dsc is not None else ""
    return Page("Evaluation", f"{len(cases)} cases, {len(means)} organs{mean}.", parts)


def _scored(one: Mapping[str, Any], folder: Path) -> Scored:
    return Scored(
        str(one["case"]),
        nearest(Path(one["prediction"]), folder),
        nearest(Path(one["truth"]), folder),
        {str(name): dict(score) for name, score in one["organs"].items()},
    )


def _organs(means: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = [
        [
            Cell(organ),
            *(_metric(one.get(key), key) for key in _METRICS),
            number(one.get("tolerance_mm")), number(one.get("cases")),
        ]
        for organ, one in means.items()
    ]  # fmt: skip
    head = ["organ", *(title for title, _ in _METRICS.values()), "NSD tolerance, mm", "cases"]
    about = "Means over the cases. Larger DSC and NSD are better, smaller HD95 is."
    return Table("Organ by organ", head, rows, about)


def _plot(cases: list[Scored], organs: list[str]) -> Plot:
    panels = []
    for key, (title, _) in _METRICS.items():
        values = {
            organ: [_or_nan(case.organs.get(organ, {}).get(key)) for case in cases]
            for organ in organs
        }
        share = key != "hd95_mm"
        panels.append(Panel(title, values, low=0.0, high=1.02 if share else None))
    about = "A dot is a case, the stroke the median."
    return Plot("Organ by organ, drawn", strips(organs, panels), about)


def _cases(cases: list[Scored]) -> Table:
    rows = []
    for case in cases:
        wrong = [
            ", ".join(name for name, one in case.organs.items() if one.get("status") == status)
            for status in ("missed", "invented")
        ]
        rows.append(
            [
                Cell(case.name), *(_metric(case.mean(key), key) for key in _METRICS),
                *(Cell(words, tone="bad" if words else "") for words in wrong),
            ]
        )  # fmt: skip
    head = ["case", *(title for title, _ in _METRICS.values()), "missed", "invented"]
    return Table("Case by case", head, rows, "Means over the organs of a case.")


def _each(cases: list[Scored], organs: list[str]) -> Table:
    rows = [
        [
            Cell(case.name),
            *(_metric(case.organs.get(name, {}).get("dsc"), "dsc") for name in organs),
        ]
        for case in cases
    ]
    return Table("DSC of every organ and case", ["case", *organs], rows)


def _galleries(cases: list[Scored], progress: Progress | None) -> list[Part]:
    known = sorted(
        (case for case in cases if not np.isnan(case.mean("dsc"))), key=lambda one: one.mean("dsc")
    )
    chosen = {"The worst": known[:_SHOWN], "The best": known[: -_SHOWN - 1 : -1]}
    if len(known) < 2 * _SHOWN:
        chosen = {"Cases, the worst first": known}
    total, done, found = sum(map(len, chosen.values())), 0, list[Part]()
    for title, some in chosen.items():
        pictures, lines = [], []
        for case in some:
            low = min(case.organs.items(), key=lambda item: _or_one(item[1].get("dsc")))
            note = (
                f"mean DSC {case.mean('dsc'):.3f}, least {low[0]} {_or_one(low[1].get('dsc')):.3f}"
            )
            try:
                pictures.append(Picture(_compare(case), case.name, note))
            except SlicekitError as fault:
                lines.append(f"{case.name}: there is no picture: {fault}")
            done += 1
            if progress is not None:
                progress("pictures", done, total)
        about = "In colours what was predicted, in dashed white what is true."
        found += [Gallery(title, pictures, about)] if pictures else []
        found += [Notes(f"{title}, without a picture", lines)] if lines else []
    return found


def _compare(case: Scored) -> bytes:
    """Draw one case; on black where the prediction's sidecar does not lead to the scan."""
    pred, truth = read_pair(Pair(case.name, case.prediction, case.truth))
    ours, _ = names_of(case.prediction)
    theirs, _ = names_of(case.truth)
    if ours is not None and theirs is not None and dict(ours.ids) != dict(theirs.ids):
        pred = translate(pred, ours, theirs)
    ids = {*np.unique(truth.array).tolist(), *np.unique(pred.array).tolist()} - {0, IGNORE_ID}
    near = case.truth if theirs is not None else case.prediction
    names = LabelSet({name: n for name, n in name_all(near, sorted(ids)).ids.items() if n in ids})
    source = read_case(case.prediction)
    try:
        image = read_scan(source)
        window = window_of(image, source.side)
        return compared_picture(image, truth, pred, names, window=window)
    except SlicekitError:
        return compared_picture(None, truth, pred, names)


def _how(cases: list[Scored]) -> Part:
    sides = []
    for case in cases:
        try:
            sides.append(read_case(case.prediction).side)
        except ReadError:
            continue
    facts = how_made([side for side in sides if side])
    if not facts:
        return Notes("How the labels were made", ["No sidecar lies beside them, so nobody knows."])
    return Facts("How the labels were made", facts)


def _metric(value: object, key: str) -> Cell:
    low = key == "dsc" and isinstance(value, int | float) and value < _LOW
    return fixed(value, _METRICS[key][1], tone="bad" if low else "")


def _or_nan(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _or_one(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 1.0
