"""What came of pseudo labels: a table for programs, a page with pictures for people."""

from __future__ import annotations

import base64
import csv
import io
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from slicekit.inference.model import Model
from slicekit.io import read_labels, read_volume
from slicekit.io.atomic import write_text
from slicekit.metrics import mean_of
from slicekit.report.organ_picture import organ_picture
from slicekit.training.pseudo import Judgement, Ranked, rank
from slicekit.training.pseudo.labelling import PseudoDataset
from slicekit.windows import Window

_MEASURED = (
    "voxels", "volume_ml", "largest_share", "continuity", "confidence", "confidence_top",
    "agreement", "stability", "both_ways", "loss",
)  # fmt: skip
_GALLERIES = {
    "best": ("The best", "Learnt from, with the highest scores."),
    "borderline": ("Borderline", "Nearest to the line between accepted and refused."),
    "worst": ("The worst", "With the lowest scores."),
}
_SHOWN = 9

log = logging.getLogger(__name__)


def write_pseudo_report(made: PseudoDataset, *, window: Window) -> tuple[Path, Path]:
    """Write ``pseudo.csv`` and ``report.html`` into the folder of pseudo labels.

    The page holds its pictures, so it can be sent as one file. One scan lies in memory at a time.

    Args:
        made: From ``label_dataset``.
        window: The range of intensities from black to white in the pictures.

    Returns:
        The table and the page.

    Raises:
        ReadError: A scan or a prediction has gone.
        WriteError: One of them cannot be written.
    """
    table = write_text(made.folder / "pseudo.csv", _table(made))
    page = write_text(made.folder / "report.html", _page(made, window))
    log.info("reported in %s and %s", table, page)
    return table, page


def shown_window(model: Model) -> Window:
    """Return the window in which a model's pictures are shown."""
    return model.recipe.input.three_windows[0]


def _table(made: PseudoDataset) -> str:
    """Write one line an organ and case."""
    asked = sorted({v.rule for _, _, one in _all(made) for v in one.verdicts})
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    scores = [f"score_{rule}" for rule in asked]
    lines.writerow(
        ["case", "organ", "found", "accepted", "score", *_MEASURED, "touches_border", *scores,
         "reason"]
    )  # fmt: skip
    for case, organ, one in _all(made):
        facts = made.facts[case][organ]
        said = {verdict.rule: verdict.score for verdict in one.verdicts}
        lines.writerow(
            [case, organ, int(not one.absent), int(one.accepted), _number(one.score)]
            + [_number(getattr(facts, name)) for name in _MEASURED]
            + [" ".join(sorted(facts.touches_border))]
            + [_number(said.get(rule)) for rule in asked]
            + [one.reason]
        )
    return text.getvalue()


def _all(made: PseudoDataset) -> list[tuple[str, str, Judgement]]:
    return [
        (case, organ, one)
        for case, organs in made.judgements.items()
        for organ, one in organs.items()
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _page(made: PseudoDataset, window: Window) -> str:
    found = [one for _, _, one in _all(made) if not one.absent]
    page = Environment(
        loader=PackageLoader("slicekit.report", "templates"), autoescape=True
    ).get_template("pseudo.html.j2")
    return page.render(
        source=made.folder.name,
        accepted=sum(one.accepted for one in found),
        found=len(found),
        rules=", ".join(map(str, made.rules)),
        failures=made.failures,
        organs=[_organ_row(made, organ) for organ in made.organs.names],
        cases=[
            {"name": case, "cells": [_cell(organs[organ]) for organ in made.organs.names]}
            for case, organs in made.judgements.items()
        ],
        galleries=_galleries(made, window),
    )


def _organ_row(made: PseudoDataset, organ: str) -> dict[str, Any]:
    judged = {case: organs[organ] for case, organs in made.judgements.items()}
    taken = [case for case, one in judged.items() if one.accepted and not one.absent]
    known = None if made.prior is None else made.prior.organs.get(organ)
    present = [one.score for one in judged.values() if not one.absent]
    return {
        "organ": organ,
        "found": len(present),
        "accepted": len(taken),
        "absent": sum(one.accepted and one.absent for one in judged.values()),
        "score": f"{mean_of(present):.2f}" if present else "",
        "volumes": _span([made.facts[case][organ].volume_ml for case in taken]),
        "known": _span(list(known.seen_ml)) if known is not None and known.seen_ml else "",
    }


def _span(values: list[float]) -> str:
    return f"{min(values):.3g} to {max(values):.3g}" if values else ""


def _cell(one: Judgement) -> dict[str, str]:
    kind = "gone" if one.absent else "yes" if one.accepted else "no"
    text = "absent" if one.absent and one.accepted else "-" if one.absent else f"{one.score:.2f}"
    return {"kind": kind, "text": text, "reason": one.reason}


def _galleries(made: PseudoDataset, window: Window) -> list[dict[str, Any]]:
    ranking = _pick(made)
    wanted: dict[str, set[str]] = {}
    for entries in ranking.values():
        for entry in entries:
            wanted.setdefault(entry.case, set()).add(entry.judgement.organ)
    pictures = {
        (case, organ): picture
        for case, organs in wanted.items()
        for organ, picture in _pictures(made, case, organs, window).items()
    }
    return [
        {
            "title": title,
            "about": about,
            "entries": [
                {
                    "case": entry.case,
                    "organ": entry.judgement.organ,
                    "score": f"{entry.judgement.score:.2f}",
                    "reason": entry.judgement.reason,
                    "picture": pictures[entry.case, entry.judgement.organ],
                }
                for entry in ranking[key]
            ],
        }
        for key, (title, about) in _GALLERIES.items()
        if ranking[key]
    ]


def _pick(made: PseudoDataset) -> dict[str, list[Ranked]]:
    """Choose what is shown, nothing twice: of few organs every list gets its share."""
    found = sum(not one.absent for _, _, one in _all(made))
    orders = rank(made.judgements, count=found)
    best = [one for one in orders.best if one.judgement.accepted][: min(_SHOWN, -(-found // 3))]
    share = min(_SHOWN, -(-(found - len(best)) // 2))
    taken = {_key(one) for one in best}
    borderline = [one for one in orders.borderline if _key(one) not in taken][:share]
    taken |= {_key(one) for one in borderline}
    worst = [one for one in orders.worst if _key(one) not in taken][:share]
    return {"best": best, "borderline": borderline, "worst": worst}


def _key(one: Ranked) -> tuple[str, str]:
    return one.case, one.judgement.organ


def _pictures(
    made: PseudoDataset, case: str, organs: set[str], window: Window
) -> Mapping[str, str]:
    image = read_volume(made.cases[case].image)
    labels = read_labels(made.prediction(case), like=image)
    return {
        organ: base64.b64encode(
            organ_picture(image, labels, made.organs, organ, window=window)
        ).decode("ascii")
        for organ in sorted(organs)
    }
