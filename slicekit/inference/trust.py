"""How much carried masks count against the reference's own view, organ by organ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from slicekit.inference.evidence import SliceEvidence
from slicekit.inference.selection import GuideChoice

DOUBTED, TRUSTED = 0.6, 0.8
"""Guides of less certainty than the first are not believed beyond their own slices, guides of more
than the second wholly. Chosen on scans whose scores are not reported anywhere."""


class Trust(NamedTuple):
    """Weights of the reference's own view of a slice."""

    shares: Mapping[int, float]
    """Organ to the weight of that view against what was carried."""
    alone: frozenset[int]
    """Organs that were seen and that no guide is believed of: that view is all there is of them."""


def trust_in(evidence: SliceEvidence, chosen: Sequence[GuideChoice], *, share: float) -> Trust:
    """Weigh the reference's view by how sure the guides are.

    A carried mask is worth as much as the guides it comes from. Where their mean certainty reaches
    ``TRUSTED`` the reference's view of another slice counts ``share``; below ``DOUBTED`` it counts
    all, and it is not held to where the guides allow the organ to be.

    Args:
        evidence: What the reference says of the sampled slices.
        chosen: The guides.
        share: Weight of the reference's view against sure guides; 0 for carried masks alone, as
            published, and then no organ is left to the reference.

    Example:
        Guides of a mean certainty of 0.7 and a share of 0.5 give the reference's view 0.75.
    """
    if share == 0:
        return Trust({}, frozenset())
    rows = {int(z): row for row, z in enumerate(evidence.zs)}
    shares, alone = {}, set()
    for column, number in enumerate(evidence.ids):
        guiding = [rows[choice.z] for choice in chosen if number in choice.organs]
        sure = float(np.mean(evidence.certainty[guiding, column])) if guiding else 0.0
        worth = min(max((sure - DOUBTED) / (TRUSTED - DOUBTED), 0.0), 1.0)
        if guiding:
            shares[number] = 1 - (1 - share) * worth
        if worth == 0 and evidence.area_px[:, column].any():
            alone.add(number)
    return Trust(shares, frozenset(alone))
