"""How much carried masks count against the reference's own view, organ by organ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from slicekit.inference.evidence import SliceEvidence
from slicekit.inference.selection import GuideChoice


class Trust(NamedTuple):
    """Weights of the reference's own view of a slice."""

    shares: Mapping[int, float]
    """Organ to the weight of that view against what was carried."""
    alone: frozenset[int]
    """Organs that were seen and that no guide carries: that view is all there is of them."""


def trust_in(evidence: SliceEvidence, chosen: Sequence[GuideChoice], *, share: float) -> Trust:
    """Weigh the reference's view by how sure the guides are.

    A carried mask is worth as much as the guides it comes from. Where they are sure (certainty 1)
    the reference's view of another slice counts ``share``; where they are not, up to 1.

    Args:
        evidence: What the reference says of the sampled slices.
        chosen: The guides.
        share: Weight of the reference's view against sure guides; 0 for carried masks alone, as
            published, and then no organ is left to the reference.

    Example:
        Guides of a mean certainty of 0.6 and a share of 0.5 give the reference's view 0.7.
    """
    if share == 0:
        return Trust({}, frozenset())
    rows = {int(z): row for row, z in enumerate(evidence.zs)}
    shares, alone = {}, set()
    for column, number in enumerate(evidence.ids):
        guiding = [rows[choice.z] for choice in chosen if number in choice.organs]
        if guiding:
            sure = float(np.mean(evidence.certainty[guiding, column]))
            shares[number] = 1 - (1 - share) * sure
        elif evidence.area_px[:, column].any():
            alone.add(number)
    return Trust(shares, frozenset(alone))
