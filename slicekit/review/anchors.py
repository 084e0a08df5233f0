"""Which slices a session is told, so that a correction mends its neighbourhood and no more."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from slicekit.review.sheet import Sheet

REACH_MM = 25.0
"""How far a correction of labels that were there already reaches along z."""

Guides = dict[str, dict[int, NDArray[np.bool_]]]
"""Organ to slice to mask ``(y, x)``."""


def guides_of(sheet: Sheet, *, slice_mm: float, reach_mm: float = REACH_MM) -> Guides:
    """Return what to tell a session: what is drawn, and given labels where nothing was corrected.

    Without given labels of an organ its drawings alone are told, and carried through the scan.
    Where it was given, a drawing that differs from it is a correction, and reaches ``reach_mm`` up
    and down, but not beyond a slice that was found right; all other slices keep what was given. So
    only the slices beside corrections are asked for.

    Args:
        sheet: Drawings and given labels.
        slice_mm: Distance between slices.
        reach_mm: How far a correction reaches.

    Returns:
        Organs of which there is nothing to carry are left out.
    """
    names = sheet.names.names_by_id
    found: Guides = {}
    for number, drawn in sheet.drawn.items():
        given = None if sheet.given is None else sheet.given == number
        if given is None or not given.any():
            found[names[number]] = dict(drawn)
            continue
        right = {z for z, mask in drawn.items() if np.array_equal(mask, given[z])}
        corrected = set(drawn) - right
        asked = _beside(corrected, right, depth=len(given), reach=max(1, int(reach_mm / slice_mm)))
        if corrected:
            found[names[number]] = {
                z: drawn[z] if z in drawn else given[z] & ~_taken(sheet, z, number)
                for z in range(len(given))
                if z not in asked or z in drawn
            }
    return found


def _beside(
    corrected: Collection[int], right: Collection[int], *, depth: int, reach: int
) -> set[int]:
    """Return the slices within reach of a correction, up to the next one that is right."""
    found: set[int] = set()
    for start in corrected:
        for step in (-1, 1):
            for z in range(start + step, start + step * (reach + 1), step):
                if z in right or not 0 <= z < depth:
                    break
                found.add(z)
    return found


def _taken(sheet: Sheet, z: int, number: int) -> NDArray[np.bool_]:
    """Return where another organ is drawn on a slice."""
    taken = np.zeros(sheet.shape[1:], bool)
    for other in sheet.drawn_on(z):
        if other != number:
            taken |= sheet.drawn[other][z]
    return taken
