"""How propagation divides the memory it may take, before it takes any."""

from __future__ import annotations

import math
from dataclasses import dataclass

from slicekit.errors import BudgetError

COARSEST = 16
"""Probabilities of a long gap are held at this fraction of the resolution at worst."""


@dataclass(frozen=True)
class Plan:
    """How the stated budget is spent in one gap."""

    slots: int
    """Slices in the memory bank."""
    shrink: int
    """Probabilities of the way there are held at 1/shrink of the resolution."""
    keep_bytes: int
    """Features kept for the way back."""


def plan(
    budget_bytes: int,
    *,
    slot_bytes: int,
    guides: int,
    working: int,
    planes: int,
    size: tuple[int, int],
) -> Plan:
    """Divide a budget before a gap is walked.

    Args:
        budget_bytes: All there is.
        slot_bytes: A remembered slice.
        guides: Guides of the gap; each lies in the bank and once outside of it.
        working: Other slices that would be remembered if there were room.
        planes: Organs times slices whose probabilities wait for the way back, in float16.
        size: Pixels ``(y, x)`` of one of them.

    Returns:
        At most half of the budget for the memory, a quarter for probabilities (coarser by 2, 4,
        ... when a gap is too long), what then is left for features.

    Raises:
        BudgetError: The guides alone, or the coarsest probabilities, do not fit.
    """
    copies = 2 * guides
    room = budget_bytes // 2 // slot_bytes - copies if slot_bytes else working
    held = {
        n: planes * math.ceil(size[0] / n) * math.ceil(size[1] / n) * 2
        for n in (1, 2, 4, 8, COARSEST)
    }
    shrink = next((n for n, size in held.items() if size <= budget_bytes // 4), None)
    if room < 0 or shrink is None:
        least = max(2 * copies * slot_bytes, 4 * held[COARSEST])
        raise BudgetError(
            f"propagation needs a budget of {least / 2**20:.0f} MiB at least for this scan, got "
            f"{budget_bytes / 2**20:.0f} MiB; raise budget_bytes or follow fewer organs at a time"
        )
    slots = guides + min(working, room)
    return Plan(slots, shrink, budget_bytes - (slots + guides) * slot_bytes - held[shrink])
