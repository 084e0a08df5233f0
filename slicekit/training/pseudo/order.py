"""Which organs of a case lie where they cannot, and which only seem to because of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from slicekit.training.pseudo.facts import OrganFacts
from slicekit.training.pseudo.prior import Order


class Standing(NamedTuple):
    """How well the place of one organ fits those of the others."""

    kept: tuple[Order, ...]
    broken: tuple[Order, ...]
    strayed: tuple[str, ...]
    """Organs whose order to this one was left out, since they lie where they cannot."""

    @property
    def share(self) -> float:
        """Share of the orders that are kept; 0 where none is left to tell."""
        count = len(self.kept) + len(self.broken)
        return len(self.kept) / count if count else 0.0


def standings(case: Mapping[str, OrganFacts], orders: Sequence[Order]) -> dict[str, Standing]:
    """Tell which organs keep their place, each broken order being the fault of few.

    One organ on the wrong side breaks an order with each of many others, and they did nothing
    wrong. So the organ that breaks most goes first (of equals the one that breaks the larger
    share; of those, all), its orders are taken off the others, and so on until none is broken.

    Args:
        case: Facts of every organ of one case.
        orders: What the labelled cases show.

    Returns:
        Standings of the organs that are present and of which the orders say something.
    """
    gaps = [(order, order.gap_mm(case)) for order in orders]
    told = [(order, gap >= 0) for order, gap in gaps if gap is not None]
    found: dict[str, Standing] = {}
    left = list(dict.fromkeys(name for order, _ in told for name in _organs(order)))
    while left:
        now = {name: _standing(name, told, tuple(found)) for name in left}
        worst = max((len(one.broken), 1 - one.share) for one in now.values())
        guilty = [name for name in left if (len(now[name].broken), 1 - now[name].share) == worst]
        if not worst[0]:
            return found | now
        found |= {name: now[name] for name in guilty}
        left = [name for name in left if name not in guilty]
    return found


def _organs(order: Order) -> tuple[str, ...]:
    return (order.organ,) if order.other is None else (order.organ, order.other)


def _standing(name: str, told: list[tuple[Order, bool]], strayed: tuple[str, ...]) -> Standing:
    """Weigh the orders of one organ, without those that involve an organ gone astray."""
    own = [(order, kept) for order, kept in told if name in _organs(order)]
    fair = [(order, kept) for order, kept in own if not set(_organs(order)) & set(strayed)]
    return Standing(
        kept=tuple(order for order, kept in fair if kept),
        broken=tuple(order for order, kept in fair if not kept),
        strayed=tuple(one for one in strayed if any(one in _organs(order) for order, _ in own)),
    )
