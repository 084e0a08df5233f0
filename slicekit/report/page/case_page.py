"""The page of one case: picture, figures, guides, how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slicekit.errors import SlicekitError
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
from slicekit.report.page.remeasured import remeasured
from slicekit.report.page.sources import CaseSource, how_made, read_case

_SURE = ("agreement", "certainty", "agreement_with_reference")
_CENTRE = ("right", "front", "head")


def case_page(labels: Path) -> Page:
    """Make the page of a label file, or folder of masks, from what lies beside it.

    Raises:
        ReadError: A file beside it is damaged.
    """
    case = remeasured(read_case(labels))
    found = case.present()
    absent = [name for name in case.organs if name not in found]
    told = f"{len(found)} organs found" + (f", {len(absent)} absent" if absent else "")
    parts: list[Part] = [_picture(case)]
    if case.warnings:
        parts.append(Notes("Warnings when it was made", case.warnings))
    if case.changed and not case.organs:
        parts.append(Notes("Organ by organ", [f"{case.changed}."]))
    if case.organs:
        parts.append(_organs(case))
    if found:
        unit, key = ("ml", "volume_ml") if case.volumes_ml() else ("voxels", "voxels")
        measured = {name: case.organs[name].get(key) for name in found}
        amounts = {
            name: [float(one)]
            for name, one in measured.items()
            if isinstance(one, int | float) and not isinstance(one, bool)
        }
        panels = [Panel(f"{unit}, on a scale of powers of ten", amounts, log=True)]
        sure = {
            name: [one["certainty"]]
            for name, one in case.organs.items()
            if _is_number(one.get("certainty"))
        }
        if sure:
            panels.append(Panel("certainty", sure, low=0, high=1.02))
        parts.append(Plot("Organ by organ, drawn", strips(found, panels)))
    guides = case.side.get("guides")
    if isinstance(guides, list) and guides:
        parts.append(_guides(guides))
    parts.append(_how(case))
    return Page(
        case.name, f"{told if case.organs else 'No statistics lie beside the labels'}.", parts
    )


def _picture(case: CaseSource) -> Part:
    try:
        return Gallery("What it looks like", [Picture(case_picture(case), case.name)])
    except SlicekitError as fault:
        return Notes("What it looks like", [f"There is no picture: {fault}"])


def _organs(case: CaseSource) -> Table:
    with_tones = any("mean" in one for one in case.organs.values())
    sure = [key for key in _SURE if any(key in one for one in case.organs.values())]
    head = ["organ", "ml", "voxels", "parts", "at border"]
    head += ["mean", "deviation", "minimum", "maximum"] if with_tones else []
    head += [key.replace("_", " ") for key in sure]
    head += [f"centre, mm {side}" for side in _CENTRE]
    rows = []
    for name, one in case.organs.items():
        border = bool(one.get("touches_border"))
        row = [
            Cell(name), number(one.get("volume_ml"), 4), number(one.get("voxels"), 9),
            number(one.get("components"), tone=_many(one.get("components"))),
            Cell("yes" if border else "", tone="bad" if border else ""),
        ]  # fmt: skip
        if with_tones:
            row += [number(one.get(key), 4) for key in ("mean", "deviation", "minimum", "maximum")]
        row += [fixed(one.get(key), 2) for key in sure]
        centre = one.get("centroid_mm") or [None] * 3
        row += [fixed(value, 1) for value in centre[:3]]
        rows.append(row)
    about = f"{case.changed}. " if case.changed else ""
    about += "" if case.spacing_known else "The spacing is not known, so there are no volumes. "
    about += "An organ at the border of the scan may go on beyond it."
    return Table("Organ by organ", head, rows, about)


def _many(parts: object) -> str:
    return "bad" if isinstance(parts, int) and parts > 1 else ""


def _guides(guides: list[Any]) -> Table:
    rows = [
        [
            number(one.get("z")), number(one.get("slice_in_file")),
            Cell(", ".join(map(str, one.get("organs") or ()))), Cell(str(one.get("reason", ""))),
        ]
        for one in guides
        if isinstance(one, Mapping)
    ]  # fmt: skip
    about = (
        "Slices that the reference networks named and whose masks were carried through the scan."
    )
    return Table("Guides", ["slice", "slice in the file", "organs", "why"], rows, about)


def _how(case: CaseSource) -> Part:
    if not case.side:
        return Notes("How it was made", ["No sidecar lies beside the labels, so nobody knows."])
    stages = case.side.get("seconds")
    facts = [("scan", str(case.side.get("scan", ""))), ("labels", str(case.labels))]
    facts += [("made", str(case.side["made_at"]))] if "made_at" in case.side else []
    facts += how_made([case.side])
    if isinstance(stages, Mapping):
        facts.append(("seconds", ", ".join(f"{name} {value}" for name, value in stages.items())))
    return Facts("How it was made", facts)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
