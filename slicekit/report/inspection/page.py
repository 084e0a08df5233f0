"""What was found in a dataset, as a page for people and as JSON for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader

from slicekit.io.atomic import write_text
from slicekit.report.inspection.case import CaseFacts
from slicekit.report.inspection.findings import KINDS, SEVERITIES
from slicekit.report.inspection.inspect import Inspection
from slicekit.report.inspection.mend import Mended, described

_LISTED = 6


class CheckFiles(NamedTuple):
    """Where the findings lie."""

    page: Path
    facts: Path


def files_in(folder: Path) -> CheckFiles:
    """Return what ``write_inspection`` writes into a folder."""
    return CheckFiles(folder / "check.html", folder / "check.json")


def write_inspection(found: Inspection, folder: Path, mended: Mended | None = None) -> CheckFiles:
    """Write ``check.html``, which needs no other file, and ``check.json`` into a folder.

    Raises:
        WriteError: One of them cannot be written.
    """
    files = files_in(folder)
    content = found.to_json() | ({} if mended is None else {"mended": described(mended)})
    page = _page(found, mended)
    # the name of a file may hold bytes that are no text
    write_text(files.page, page.encode("utf-8", "backslashreplace").decode("utf-8"))
    write_text(files.facts, json.dumps(content, indent=2) + "\n")
    return files


def _page(found: Inspection, mended: Mended | None) -> str:
    page = Environment(
        loader=PackageLoader("slicekit.report", "templates"), autoescape=True
    ).get_template("check.html.j2")
    by_case = {case.name: Counter[str]() for case in found.cases}
    for one in found.findings:
        by_case.get(one.where, Counter())[one.severity] += 1
    return page.render(
        name=found.layout.folder.absolute().name,
        headline=found.headline(),
        kinds=[
            {**KINDS[kind]._asdict(), "found": entries} for kind, entries in found.by_kind().items()
        ],
        mended=() if mended is None else mended.changes,
        mended_in="" if mended is None else mended.folder,
        cases=[_row(case, found, by_case[case.name]) for case in found.cases],
    )


def _row(case: CaseFacts, found: Inspection, counts: Counter[str]) -> dict[str, Any]:
    """Write one case's cells; a dash where nothing is known."""
    return {
        "name": case.name,
        "size": _times(map(str, case.shape or ())),
        "spacing": _times(f"{mm:.3g}" for mm in case.spacing_mm or ()),
        "axes": case.axes or "-",
        "kind": case.kind or "-",
        "tones": ", ".join(
            f"{value:.4g}" for value in (case.low, case.middle, case.high) if value is not None
        )
        or "-",
        "organs": _organs(case, found),
        "drawn": "-" if case.drawn is None or case.shape is None
        else f"{case.drawn} of {case.shape[0]}",
        "counts": {severity: counts[severity] for severity in SEVERITIES},
    }  # fmt: skip


def _organs(case: CaseFacts, found: Inspection) -> str:
    """Name a few organs, or say how many there are."""
    if case.voxels is None:
        return "-"
    names = {} if found.layout.organs is None else found.layout.organs.names_by_id
    held: Sequence[str] = [names.get(number, str(number)) for number in case.voxels]
    return ", ".join(held) if len(held) <= _LISTED else f"{len(held)} of {len(names)}"


def _times(words: Iterable[str]) -> str:
    return " x ".join(words) or "-"
