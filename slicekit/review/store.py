"""What a review leaves on disk beside labels: drawings and a verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slicekit.errors import LabelError
from slicekit.inference.session_file import (
    SavedSession,
    expect_same_scan,
    read_session,
    write_session,
)
from slicekit.io.atomic import write_text
from slicekit.labels import LabelSet
from slicekit.review.cases import ReviewCase
from slicekit.review.sheet import Drawn, Origin, Sheet
from slicekit.volume import Volume


class Snapshot(NamedTuple):
    """What is to be written, apart from what changes meanwhile."""

    revision: int
    labels: NDArray[Any]
    drawn: Drawn
    names: LabelSet
    about: dict[str, Any]
    """Where each slice comes from and how doubtful it is, by organ."""


def snapshot(sheet: Sheet) -> Snapshot:
    """Copy what is there now."""
    about = {
        "origin": {name: sheet.origin_of(n).tolist() for name, n in sheet.names.ids.items()},
        "doubt": {
            name: np.round(sheet.doubt_of(n), 3).tolist()
            for name, n in sheet.names.ids.items()
            if n in sheet.doubt
        },
    }
    drawn = {number: dict(masks) for number, masks in sheet.drawn.items()}
    return Snapshot(sheet.revision, sheet.labels.copy(), drawn, sheet.names, about)


def save_drawings(case: ReviewCase, scan: Volume, held: Snapshot) -> Path:
    """Write drawings and labels to ``CASE.session``, which ``Session.load`` reads too.

    Raises:
        WriteError: It cannot be written whole; what stood there still stands.
    """
    names = held.names.names_by_id
    guides = {names[number]: masks for number, masks in held.drawn.items()}
    saved = SavedSession(
        "z", (0, scan.shape[0]), held.names.ids, True, guides, held.labels, scan.affine,
        scan.shape, None,
    )  # fmt: skip
    return write_session(case.session, saved, overwrite=True)


def load_drawings(case: ReviewCase, scan: Volume, sheet: Sheet) -> bool:
    """Go on from ``CASE.session``; tells whether there was one.

    Raises:
        GeometryError: It was drawn on another scan.
        ReadError: It is damaged.
    """
    if not case.session.exists():
        return False
    saved = read_session(case.session)
    expect_same_scan(saved, path=case.session, shape=scan.shape, affine=scan.affine)
    more = {name: n for name, n in saved.names.items() if name not in sheet.names}
    if set(more.values()) & set(sheet.names.ids.values()):
        raise LabelError(
            f"{case.session}: its organs {sorted(more)} have ids that the labels use for others; "
            "move the session away, or name the ids as they were in a JSON beside the labels"
        )
    if more:
        sheet.rename(LabelSet({**sheet.names.ids, **more}))
    drawn = {sheet.names.ids[name]: dict(masks) for name, masks in saved.guides.items()}
    sheet.put_back(saved.labels, drawn)
    note = case.read_sidecar()
    if sheet.given is None:  # this time nobody named the labels that were given then
        sheet.take_as_given(_given_then(sheet, mapping(note.get("origin"))))
    take_origins(sheet, note)
    return True


def take_origins(sheet: Sheet, note: Mapping[str, Any]) -> None:
    """Tell a sheet where the slices of organs that were carried come from, as a note has it."""
    origin, doubt = mapping(note.get("origin")), mapping(note.get("doubt"))
    for name in set(origin) & set(doubt) & set(sheet.names.names):  # those that were carried
        try:
            kinds = np.array([Origin(number) for number in origin[name]], np.uint8)
            shares = np.array(doubt[name], np.float32)
        except (TypeError, ValueError):
            continue  # a hint that was tampered with; labels and drawings are elsewhere
        if kinds.shape == shares.shape == (sheet.shape[0],) and np.isfinite(shares).all():
            sheet.origin[sheet.names.ids[name]] = kinds
            sheet.doubt[sheet.names.ids[name]] = shares


def mapping(found: object) -> Mapping[str, Any]:
    """Return an object of a note, and an empty one where something else stands."""
    return found if isinstance(found, dict) else {}


def drawn_slices(held: Snapshot) -> dict[str, list[int]]:
    """Return which slices are drawn, by organ."""
    ids = held.names.ids
    return {name: sorted(held.drawn[n]) for name, n in ids.items() if n in held.drawn}


def _given_then(sheet: Sheet, origin: Mapping[str, list[int]]) -> NDArray[Any]:
    """Return the part of the labels that was neither drawn nor carried."""
    given = np.zeros_like(sheet.labels)
    for name, number in sheet.names.ids.items():
        usual = Origin.UNSEEN if number in sheet.drawn else Origin.GIVEN
        known = np.array(origin.get(name, [usual] * len(given)))
        for z in np.flatnonzero(known[: len(given)] == Origin.GIVEN):
            given[z][sheet.labels[z] == number] = number
    return given


def write_note(case: ReviewCase, held: Snapshot, more: Mapping[str, Any]) -> None:
    """Write ``CASE.json``: the names of the ids, the verdict, where each slice comes from.

    Raises:
        WriteError: It cannot be written.
    """
    content = {
        "labels": {"background": 0, **held.names.ids},
        "scan": str(case.scan),
        "given": None if case.given is None else str(case.given),
        **more,
        "drawn": drawn_slices(held),
        **held.about,
    }
    write_text(case.sidecar, json.dumps(content) + "\n")
