"""The page of a batch: what became of every scan, organs over all of them, what stands out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from slicekit.errors import ReadError, SlicekitError
from slicekit.inference.segmentation import Progress
from slicekit.metrics import mean_of
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
from slicekit.report.page.pictures import case_picture
from slicekit.report.page.plots import Panel, strips
from slicekit.report.page.remeasured import CHANGED, remeasured
from slicekit.report.page.sources import CaseSource, how_made, read_folder

_SHOWN = 3
_LEAST_CASES = 4
_MISSING = 3.0
"""How odd an organ is that nearly all others have, in deviations."""
_FLOOR = 0.1
"""Least deviation of the logarithm of a volume that is counted: a tenth."""


class Ranking(NamedTuple):
    """How cases are told apart where there is no truth."""

    words: str
    """What the figure is."""
    best: str
    worst: str
    figures: Mapping[str, float]
    """Case to a figure, larger is better."""


def batch_page(folder: Path, *, progress: Progress | None = None) -> Page:
    """Make the page of a folder of labels.

    Raises:
        ReadError: It holds neither a journal nor labels with a sidecar.
    """
    read, troubles = read_folder(folder)
    cases = [remeasured(case) for case in read]
    troubles += [
        f"{case.name}: {case.changed}" for case in cases if case.changed and not case.organs
    ]
    if not cases:
        raise ReadError(
            folder,
            "holds neither run.jsonl nor labels with a sidecar; name a folder that slicekit "
            "segment wrote, a label file, or what slicekit evaluate --json printed",
        )
    done = [case for case in cases if case.status == "done"]
    bad = [case for case in cases if case.status in ("failed", "refused")]
    ranking = rank(done)
    parts: list[Part] = []
    if bad:
        lines = [_fault(case) for case in bad]
        parts.append(Notes("What went wrong", lines))
    if troubles:
        parts.append(Notes("What could not be read", troubles))
    organs = list(dict.fromkeys(name for case in done for name in case.organs))
    if organs:
        parts += [_organs(done, organs), _plot(done, organs)]
    parts.append(_cases(cases, ranking))
    parts += galleries(done, ranking, progress=progress)
    parts.append(_how(done))
    seconds = [value for case in done if (value := case.seconds()) is not None]
    headline = f"{len(done)} of {len(cases)} scans are done"
    headline += f", {len(bad)} failed" if bad else ""
    headline += f"; {mean_of(seconds):.1f} s a scan" if seconds else ""
    return Page(f"Batch {folder.absolute().name}", f"{headline}.", parts)


def rank(cases: Sequence[CaseSource]) -> Ranking:
    """Rank cases by how sure the networks were where they told it, else by how usual organs are.

    Unusual is how far the logarithms of the volumes are from their medians over the cases, in
    robust deviations, on average over the organs; of fewer than four cases nothing is said.
    """
    sure = {case.name: value for case in cases if (value := _certainty(case)) is not None}
    if sure and len(sure) == sum(not case.changed for case in cases):
        return Ranking("certainty", "The surest", "The least sure", sure)
    words = ("how usual the volumes are", "The most usual", "The most unusual")
    cases = [case for case in cases if case.spacing_known]
    if len(cases) < _LEAST_CASES:
        return Ranking(*words, {})
    odd: dict[str, list[float]] = {case.name: [] for case in cases}
    for organ in dict.fromkeys(name for case in cases for name in case.organs):
        logs = {
            case.name: float(np.log(ml))
            for case in cases
            if (ml := case.volumes_ml().get(organ)) is not None
        }
        if len(logs) * 2 <= len(cases):
            continue
        values = np.array(list(logs.values()))
        middle = float(np.median(values))
        spread = max(1.4826 * float(np.median(np.abs(values - middle))), _FLOOR)
        for name, apart in odd.items():
            away = abs(logs[name] - middle) / spread if name in logs else _MISSING
            apart.append(min(away, 2 * _MISSING))
    return Ranking(*words, {name: -mean_of(apart) for name, apart in odd.items() if apart})


def galleries(
    cases: Sequence[CaseSource], ranking: Ranking, *, progress: Progress | None = None
) -> list[Part]:
    """Draw the first and the last cases of a ranking; all where there are few or no ranking."""
    known = sorted(
        (case for case in cases if case.name in ranking.figures),
        key=lambda case: ranking.figures[case.name],
    )
    if len(known) < 2 * _SHOWN:
        chosen = {"Cases": known[::-1] or list(cases)[: 2 * _SHOWN]}
    else:
        chosen = {ranking.worst: known[:_SHOWN], ranking.best: known[: -_SHOWN - 1 : -1]}
    total, done, found = sum(map(len, chosen.values())), 0, list[Part]()
    for title, some in chosen.items():
        pictures, lines = [], []
        for case in some:
            figure = ranking.figures.get(case.name)
            note = "" if figure is None else f"{ranking.words}: {figure:.2f}"
            try:
                pictures.append(Picture(case_picture(case, n_slices=4), case.name, note))
            except SlicekitError as fault:
                lines.append(f"{case.name}: there is no picture: {fault}")
            done += 1
            if progress is not None:
                progress("pictures", done, total)
        found += [Gallery(title, pictures)] if pictures else []
        found += [Notes(f"{title}, without a picture", lines)] if lines else []
    return found


def _fault(case: CaseSource) -> str:
    scan, error = str(case.line.get("scan", case.name)), str(case.line.get("error", ""))
    return error if scan in error else f"{scan}: {error}"


def _certainty(case: CaseSource) -> float | None:
    told = [one.get("certainty") for one in case.organs.values()]
    known = [float(value) for value in told if isinstance(value, int | float)]
    return mean_of(known) if known else None


def _cases(cases: Sequence[CaseSource], ranking: Ranking) -> Table:
    tones = {"done": "good", "failed": "bad", "refused": "bad", "stopped": "bad"}
    rows = []
    for case in cases:
        rows.append(
            [
                Cell(case.name),
                Cell(
                    f"{case.status}, changed since" if case.changed else case.status,
                    tone=tones.get(case.status, ""),
                ),
                fixed(case.seconds(), 1), number(case.line.get("peak_memory_mib"), 5),
                number(case.line.get("peak_gpu_memory_mib"), 5), number(len(case.present())),
                fixed(ranking.figures.get(case.name), 2), Cell("; ".join(case.warnings)),
                Cell(str(case.line.get("error", ""))),
            ]
        )  # fmt: skip
    head = [
        "case", "status", "seconds", "peak memory, MiB", "on the GPU, MiB", "organs found",
        ranking.words, "warnings", "error",
    ]  # fmt: skip
    about = ""
    if any(case.changed for case in cases):
        about = f"Changed since: {CHANGED}. "
    if ranking.figures and ranking.best == "The most usual":
        about += (
            "How usual: 0 less the mean distance of the volumes from the medians of all cases, in "
            "robust deviations. Unusual is not wrong, but worth a look."
        )
    return Table("Case by case", head, rows, about)


def _organs(cases: Sequence[CaseSource], organs: Sequence[str]) -> Table:
    rows = []
    for organ in organs:
        values = [ml for case in cases if (ml := case.volumes_ml().get(organ)) is not None]
        there = sum(organ in case.present() for case in cases)
        cut = sum(bool(case.organs.get(organ, {}).get("touches_border")) for case in cases)
        ends = (min(values), float(np.median(values)), max(values)) if values else (None,) * 3
        rows.append(
            [Cell(organ), number(there), *(number(value, 4) for value in ends), number(cut)]
        )
    head = ["organ", "cases with it", "least ml", "median ml", "most ml", "at the border in"]
    return Table("Organ by organ", head, rows)


def _plot(cases: Sequence[CaseSource], organs: Sequence[str]) -> Plot:
    volumes = {
        organ: [ml for case in cases if (ml := case.volumes_ml().get(organ)) is not None]
        for organ in organs
    }
    panels = [Panel("ml, on a scale of powers of ten", volumes, log=True)]
    sure = {
        organ: [
            float(value)
            for case in cases
            if isinstance(value := case.organs.get(organ, {}).get("certainty"), int | float)
        ]
        for organ in organs
    }
    if any(sure.values()):
        panels.append(Panel("certainty", sure, low=0, high=1.02))
    about = "A dot is a case, the stroke the median."
    return Plot("Organ by organ, drawn", strips(organs, panels), about)


def _how(cases: Sequence[CaseSource]) -> Part:
    facts = how_made([case.side for case in cases if case.side])
    if not facts:
        return Notes("How it was made", ["No sidecar tells."])
    return Facts("How it was made", facts)
