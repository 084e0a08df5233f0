"""Rules that compare an organ with what the labelled cases show."""

from __future__ import annotations

from math import log

from slicekit.training.pseudo.order import standings
from slicekit.training.pseudo.prior import ENDS, OrganPrior
from slicekit.training.pseudo.verdict import Question, Verdict, high_is_good

_SHOWN = 3


def voxels(question: Question) -> Verdict:
    """Ask for a number of voxels, as Gao et al. (FLARE22) do of every organ: 2000."""
    found, wanted = question.facts.voxels, question.threshold
    reason = f"{found} voxels, at least {wanted:g} are wanted"
    return high_is_good("voxels", min(1.0, found / wanted) if wanted else 1.0, 1.0, reason)


def volume(question: Question) -> Verdict:
    """Ask for a volume like those of the labelled cases.

    The value is 1 inside the range that was seen, 0.5 at the ends of the widened range, 0 as far
    again beyond, on a logarithmic scale. Of an organ that the scan cuts off only the upper end
    counts.
    """
    facts, known = question.facts, _known(question)
    if known is None or known.seen_ml is None or known.volume_ml is None:
        return Verdict("volume", False, 0.0, _never_seen("volume", known))
    (low, high), (least, most) = known.seen_ml, known.volume_ml
    reason = (
        f"{facts.volume_ml:.1f} ml, believed are {least:.1f} to {most:.1f} ml "
        f"({low:.1f} to {high:.1f} ml in {known.annotated - known.absent} labelled cases)"
    )
    cut = sorted(facts.touches_border & ENDS)
    if cut and facts.volume_ml < low:
        value = 1.0
        reason += f"; the scan cuts it off at its {' and '.join(cut)} end, so it may be smaller"
    elif facts.volume_ml < low:
        value = 1 - 0.5 * _beyond(low / facts.volume_ml, low / least)
    else:
        value = 1 - 0.5 * _beyond(facts.volume_ml / high, most / high)
    return high_is_good("volume", max(0.0, value), question.threshold, reason)


def component(question: Question) -> Verdict:
    """Ask for one piece, or for as much of one as the labelled cases have at the least."""
    known = _known(question)
    seen = None if known is None else known.least_share
    share = question.facts.largest_share or 0.0
    limit = question.threshold if seen is None else min(question.threshold, seen)
    reason = f"its largest piece holds {share:.1%} of it, at least {limit:.1%} is wanted"
    return high_is_good("component", share, limit, reason)


def continuity(question: Question) -> Verdict:
    """Ask for no empty slices within, or for as few as the labelled cases have at the most."""
    known = _known(question)
    seen = None if known is None else known.least_continuity
    share = question.facts.continuity or 0.0
    limit = question.threshold if seen is None else min(question.threshold, seen)
    reason = f"{share:.1%} of the slices it spans hold it, at least {limit:.1%} is wanted"
    return high_is_good("continuity", share, limit, reason)


def order(question: Question) -> Verdict:
    """Ask for the side of other organs on which the labelled cases have it.

    Orders that another organ breaks for its own part do not count.
    """
    name = question.facts.organ
    orders = question.prior.orders if question.prior is not None else ()
    found = standings(question.case, orders).get(name)
    if found is None:
        return Verdict("order", True, 0.75, "the labelled cases show no order to the organs here")
    count = len(found.kept) + len(found.broken)
    reason = f"{len(found.kept)} of {count} orders are kept"
    if found.broken:
        shown = ", ".join(f"{one} (by {one.least_mm:.0f} mm)" for one in found.broken[:_SHOWN])
        more = f" and {len(found.broken) - _SHOWN} more" if len(found.broken) > _SHOWN else ""
        reason += f"; labelled cases have {shown}{more}"
    if not count:
        reason = f"only {', '.join(found.strayed)} could tell its place, and they went astray"
    return high_is_good("order", found.share, question.threshold, reason)


def border(question: Question) -> Verdict:
    """Ask that it touches no side of the scan that no labelled case touches.

    The value is 1 where it does not, 0.5 where it does only at the head or foot end, since a
    scan may begin anywhere, and 0 where it does at another side.
    """
    known = _known(question)
    new = question.facts.touches_border - set(known.borders if known is not None else ())
    value = 1.0 if not new else 0.5 if new <= ENDS else 0.0
    sides = " and ".join(sorted(new))
    reason = (
        f"it touches the {sides} side of the scan, which no labelled case shows"
        if new
        else "it touches no side of the scan that labelled cases do not touch"
    )
    return high_is_good("border", value, question.threshold, reason)


def _known(question: Question) -> OrganPrior | None:
    return None if question.prior is None else question.prior.organs.get(question.facts.organ)


def _never_seen(what: str, known: OrganPrior | None) -> str:
    if known is None or not known.annotated:
        return f"no labelled case was annotated for it, so nothing is known of its {what}"
    return f"none of {known.annotated} labelled cases has it, so nothing is known of its {what}"


def _beyond(factor: float, widened: float) -> float:
    """Return how far a volume lies outside of what was seen: 0 within, 1 where belief ends.

    Args:
        factor: How many times too large or too small it is; below 1 within.
        widened: By how many times the range was widened.
    """
    if factor <= 1:
        return 0.0
    return log(factor) / log(widened) if widened > 1 else 2.0
