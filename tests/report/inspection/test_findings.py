"""Kinds of findings."""

from __future__ import annotations

from slicekit.report.inspection import KINDS, Finding
from slicekit.report.inspection.findings import SEVERITIES


def test_kinds_go_from_the_worst_to_the_least():
    order = [SEVERITIES.index(kind.severity) for kind in KINDS.values()]
    assert order == sorted(order)
    assert {kind.severity for kind in KINDS.values()} == set(SEVERITIES)


def test_a_finding_is_as_bad_as_its_kind():
    assert Finding("grid", "a", "b").severity == "error"
    assert Finding("unlabelled", "a", "b").severity == "note"
