"""What is known of a case when it is opened: given labels, names, and what was drawn before."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicekit.io import read_labels
from slicekit.labels import LabelSet
from slicekit.review.cases import ReviewCase
from slicekit.review.doubtful import read_doubt
from slicekit.review.sheet import Sheet
from slicekit.review.store import load_drawings
from slicekit.volume import Volume

VERDICTS = ("open", "accepted", "sent back")
_NAMELESS = "label_"


def read_sheet(case: ReviewCase, scan: Volume) -> Sheet:
    """Put together what was given, saved and drawn before.

    Saved labels count as given where neither labels nor drawings are there. Ids that nobody names
    are called ``label_ID``; a case without labels and names begins with one organ.

    Raises:
        GeometryError: The labels lie on another grid, or the drawings belong to another scan.
        LabelError: Drawings and labels use one id for two organs.
        ReadError: A file cannot be read.
    """
    saved = case.labels if case.labels.exists() and not case.session.exists() else None
    given = case.given or saved
    labels = None if given is None else read_labels(given, like=scan).array
    noted = case.read_sidecar().get("labels")
    names = case.organs or (LabelSet.from_dataset(noted) if noted else LabelSet({}))
    nameless = (set() if labels is None else ids_in(labels)) - set(names.ids.values())
    if nameless:
        names = LabelSet({**names.ids, **{f"{_NAMELESS}{n}": n for n in sorted(nameless)}})
    if not names.ids:
        names = LabelSet({"organ": 1})
    sheet = Sheet(scan.shape, names, labels, revision=time.time_ns() // 1_000_000)
    if labels is not None:
        sheet.given_doubt = read_doubt(given, scan, labels)
    load_drawings(case, scan, sheet)
    sheet.forget_puts()  # a page may be open that drew them, before the server was started anew
    return sheet


def verdict_of(case: ReviewCase) -> dict[str, str]:
    """Return what was decided before, as far as it makes sense."""
    note = case.read_sidecar()
    found = {key: note[key] for key in ("verdict", "remark") if isinstance(note.get(key), str)}
    return found if found.get("verdict") in VERDICTS else {}


def ids_in(labels: NDArray[Any]) -> set[int]:
    """Return the ids of a label map, slice by slice, which is quicker than to sort it."""
    found: set[int] = set()
    for plane in labels:
        found.update(np.flatnonzero(np.bincount(plane.ravel())).tolist())
    return found - {0}
