"""Versions, saving whole or not at all, and going on from what was saved."""

from __future__ import annotations

import json
import resource
from typing import Any

import numpy as np
import pytest
from review_sheets import NAMES, sheet_of

from slicekit.errors import GeometryError, LabelError, ReadError, WriteError
from slicekit.inference.session import Session
from slicekit.labels import LabelSet
from slicekit.review.cases import ReviewCase
from slicekit.review.sheet import Sheet
from slicekit.review.store import (
    load_drawings,
    save_drawings,
    snapshot,
    write_note,
)
from slicekit.review.versions import save_labels, versions
from slicekit.volume import Volume


def test_case_34_a_full_disk_leaves_what_was_saved(case: ReviewCase, image: Volume) -> None:
    save_labels(case, image, snapshot(sheet_of(image, 3)))
    before = case.labels.read_bytes()
    noise = Sheet(image.shape, NAMES)
    rng = np.random.default_rng(0)
    for z in range(image.shape[0]):
        noise.put(z, rng.integers(0, 2, image.shape[1:]).astype(np.uint8), {1})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))
    try:
        with pytest.raises(WriteError, match="could not be written whole"):
            save_labels(case, image, snapshot(noise))
        with pytest.raises(WriteError):
            save_drawings(case, image, snapshot(noise))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert case.labels.read_bytes() == before
    assert len(versions(case)) == 1
    assert [file.name for file in case.folder.iterdir()] == ["patient.nii.gz", "versions"] or {
        file.name for file in case.folder.iterdir()
    } == {"patient.nii.gz", "versions"}


def test_drawings_come_back_and_a_session_reads_them(case: ReviewCase, image: Volume) -> None:
    made = sheet_of(image, 3, 7)
    save_drawings(case, image, snapshot(made))
    again = Sheet(image.shape, LabelSet({"organ": 2}))
    assert load_drawings(case, image, again)
    assert again.drawn_on(3) == (1,) and again.drawn_on(7) == (1,)
    assert (again.labels == made.labels).all()
    session = Session.load(case.session, image)
    assert sorted(session.guides["liver"]) == [3, 7]


def test_a_session_of_another_scan_or_other_ids_is_refused(case: ReviewCase, image: Volume) -> None:
    save_drawings(case, image, snapshot(sheet_of(image, 3)))
    with pytest.raises(LabelError, match="have ids that the labels use for others"):
        load_drawings(case, image, Sheet(image.shape, LabelSet({"spleen": 1})))
    moved = Volume(image.array, np.diag([9.0, 9.0, 9.0, 1.0]))
    with pytest.raises(GeometryError, match="placed elsewhere"):
        load_drawings(case, moved, Sheet(image.shape, NAMES))
    case.session.write_bytes(case.session.read_bytes()[:200])
    with pytest.raises(ReadError, match="damaged"):
        load_drawings(case, image, Sheet(image.shape, NAMES))


def test_a_note_names_ids_and_a_damaged_one_is_told(case: ReviewCase, image: Volume) -> None:
    write_note(case, snapshot(sheet_of(image, 3)), {"verdict": "accepted"})
    note: dict[str, Any] = json.loads(case.sidecar.read_text())
    assert note["labels"] == {"background": 0, "liver": 1}
    assert note["drawn"] == {"liver": [3]}
    case.sidecar.write_text("{")
    with pytest.raises(ReadError, match="mend or remove it"):
        case.read_sidecar()
