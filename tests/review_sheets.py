"""Sheets with a few drawn slices, for the tests of the review page."""

from __future__ import annotations

import numpy as np

from slicekit.labels import LabelSet
from slicekit.review.sheet import Sheet
from slicekit.volume import Volume

NAMES = LabelSet({"liver": 1})


def sheet_of(image: Volume, *zs: int) -> Sheet:
    """Draw on some slices, on each as many rows as its number."""
    made = Sheet(image.shape, NAMES)
    for z in zs:
        plane = np.zeros(image.shape[1:], np.uint8)
        plane[:z] = 1
        made.put(z, plane, {1})
    return made
