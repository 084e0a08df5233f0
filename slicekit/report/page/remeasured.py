"""Labels that were changed since they were made, measured anew for a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from slicekit.data.intensity import holds_hu
from slicekit.errors import SlicekitError
from slicekit.io import read_labels
from slicekit.report.made import digest
from slicekit.report.naming import name_all
from slicekit.report.page.pictures import read_scan
from slicekit.report.page.sources import CaseSource
from slicekit.report.statistics import statistics
from slicekit.volume import Volume

CHANGED = "the labels were changed after they were made, as by hand"
"""What a page says of them."""
_SENTENCE = CHANGED.capitalize()


def remeasured(case: CaseSource) -> CaseSource:
    """Return a case with the figures of the labels that lie there now.

    Where they are as they were made, or where that cannot be told (folders of masks), the case is
    returned as it is. How sure the networks were is not said of labels that are no longer theirs.
    """
    told = case.side.get("labels_sha256")
    try:
        if not told or not case.labels.is_file() or digest(case.labels) == told:
            return case
        organs = _measure(case)
    except (SlicekitError, OSError) as fault:
        return replace(case, organs={}, changed=f"{_SENTENCE}, and cannot be measured: {fault}")
    return replace(
        case, organs=organs, changed=f"{_SENTENCE}; the figures are of what is there now"
    )


def _measure(case: CaseSource) -> Mapping[str, Mapping[str, Any]]:
    image = _scan(case)
    labels = read_labels(case.labels, like=image)
    names = name_all(case.labels, sorted({*np.unique(labels.array).tolist()} - {0}))
    in_hu = image is not None and holds_hu(image)
    found = statistics(labels, names, image=image if in_hu else None)
    if not case.spacing_known:
        for figures in found.values():
            figures["volume_ml"] = None
    return found


def _scan(case: CaseSource) -> Volume | None:
    """Read the scan for the intensities; without it places and volumes are measured alone."""
    try:
        return read_scan(case)
    except SlicekitError:
        return None
