"""Look at every case of a dataset, one at a time, and gather what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slicekit.report.inspection.across import compare
from slicekit.report.inspection.case import CaseFacts, look_at
from slicekit.report.inspection.findings import KINDS, SEVERITIES, Finding, Severity
from slicekit.report.inspection.layout import Layout, read_layout

_SHOWN = 3
_WIDEST = 160


@dataclass(frozen=True)
class Inspection:
    """What was found in a dataset."""

    layout: Layout
    cases: tuple[CaseFacts, ...]
    findings: tuple[Finding, ...]
    """By kind, the worst first, then in the order of cases."""

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """Return the findings of one severity."""
        return tuple(one for one in self.findings if one.severity == severity)

    def by_kind(self) -> dict[str, tuple[Finding, ...]]:
        """Return the findings of each kind that there is, the worst kind first."""
        kinds = dict.fromkeys(one.kind for one in self.findings)
        return {kind: tuple(one for one in self.findings if one.kind == kind) for kind in kinds}

    def headline(self) -> str:
        """Write in one line what there is and how much was found."""
        labelled = sum(case.labels is not None for case in self.cases)
        organs = "?" if self.layout.organs is None else len(self.layout.organs)
        counts = ", ".join(_counted(len(self.of(one)), one) for one in SEVERITIES)
        return (
            f"{self.layout.folder}: {_counted(len(self.cases), 'scan')}, {labelled} with labels, "
            f"{organs} organs; {counts}"
        )

    def to_text(self) -> str:
        """Write all kinds of findings with their counts and first examples, for a person."""
        return "\n".join([self.headline(), *self._lines()])

    def to_json(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {
            "folder": str(self.layout.folder),
            "counts": {f"{one}s": len(self.of(one)) for one in SEVERITIES},
            "findings": [
                {
                    "kind": kind,
                    "severity": KINDS[kind].severity,
                    "title": KINDS[kind].title,
                    "cure": KINDS[kind].cure,
                    "count": len(found),
                    "all": [{"where": one.where, "what": one.what} for one in found],
                }
                for kind, found in self.by_kind().items()
            ],
            "cases": [_plain(case) for case in self.cases],
        }

    def _lines(self) -> Iterator[str]:
        for kind, found in self.by_kind().items():
            yield f"\n{KINDS[kind].severity}: {KINDS[kind].title} ({len(found)})"
            for one in found[:_SHOWN]:
                what = " ".join(one.what.split())
                cut = f"{what[: _WIDEST - 3]}..." if len(what) > _WIDEST else what
                where = one.where if one.where.isprintable() else ascii(one.where)
                yield f"  {where}: {cut}"
            if len(found) > _SHOWN:
                yield f"  and {len(found) - _SHOWN} more"
            yield f"  -> {KINDS[kind].cure}"


def inspect_dataset(
    folder: str | Path, *, progress: Callable[[str, int, int], None] | None = None
) -> Inspection:
    """Look at an nnU-Net raw folder; no file that is at fault stops it.

    One image or one label map lies in memory at a time, and none is kept.

    Args:
        folder: Holds dataset.json, imagesTr and, where there are labels, labelsTr.
        progress: Told ``("scans", done, total)``.

    Raises:
        DatasetError: It is no such folder.
    """
    layout = read_layout(Path(folder))
    cases, found = [], [*layout.findings]
    for done, entry in enumerate(layout.entries, start=1):
        facts, more = look_at(entry, layout)
        cases.append(facts)
        found += more
        if progress is not None:
            progress("scans", done, len(layout.entries))
    found += compare(cases, layout)
    order = list(KINDS)
    found.sort(key=lambda one: order.index(one.kind))
    return Inspection(layout, tuple(cases), tuple(found))


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _plain(case: CaseFacts) -> dict[str, Any]:
    """Turn facts into JSON."""
    plain = asdict(case)
    paths = {key: None if plain[key] is None else str(plain[key]) for key in ("image", "labels")}
    voxels = None if case.voxels is None else {str(n): count for n, count in case.voxels.items()}
    return plain | paths | {"voxels": voxels}
