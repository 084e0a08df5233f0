"""Shorthands for what an inspection found."""

from __future__ import annotations

from slicekit.report.inspection import Inspection


def kinds(found: Inspection) -> dict[str, list[str]]:
    """Return each kind that was found, and where."""
    return {kind: [one.where for one in some] for kind, some in found.by_kind().items()}


def only(found: Inspection, kind: str) -> str:
    """Return what the only finding of a kind says."""
    (one,) = found.by_kind()[kind]
    return one.what
