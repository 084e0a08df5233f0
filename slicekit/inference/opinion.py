"""What another network says of the slices that masks are carried to, and how much it counts.

What was carried is worth as much as its guides were sure; an organ that no guide carries is left to
the other network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from slicekit.inference.fusion import Seen


@dataclass(frozen=True, eq=False)
class Opinion:
    """A second view of every slice."""

    ask: Callable[[int], Tensor]
    """From a slice's number to ``(ids, y, x)`` probabilities, a plane an object's id, 0 too."""
    share: float = 0.5
    """Weight of this view against what was carried to a slice."""
    shares: Mapping[int, float] = field(default_factory=dict)
    """The same for single objects."""
    alone: frozenset[int] = frozenset()
    """Objects that nothing is carried of; of them this view is all there is."""

    def share_of(self, number: int) -> float:
        """Return the weight for one object."""
        return self.shares.get(number, self.share)

    def speaks_of(self, seen: Seen) -> bool:
        """Tell whether it is worth asking about a slice."""
        return bool(self.alone) or any(self.share_of(number) > 0 for number in seen.objects)


def weigh(seen: Seen, opinion: Opinion) -> Seen:
    """Average what was carried to a slice with a second view of it.

    Args:
        seen: What was carried; objects that are not followed there are not asked about, for what
            has vanished stays away.
        opinion: The second view, and its weights.

    Returns:
        The objects of ``seen`` and those of ``opinion.alone``.
    """
    if not opinion.speaks_of(seen):
        return seen
    said = opinion.ask(seen.z)
    lone = tuple(number for number in sorted(opinion.alone) if number not in seen.objects)
    others = said[list(lone)]
    if not seen.objects:
        return Seen(seen.z, lone, others)
    shares = torch.tensor([opinion.share_of(number) for number in seen.objects])
    beside = said[list(seen.objects)].to(seen.planes)
    joined = torch.lerp(seen.planes, beside, shares.to(seen.planes)[:, None, None])
    return Seen(seen.z, seen.objects + lone, torch.cat([joined, others.to(joined)]))
