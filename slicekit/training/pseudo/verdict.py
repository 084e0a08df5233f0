"""What one rule says of one organ, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nextafter
from typing import NamedTuple

from slicekit.training.pseudo.facts import OrganFacts
from slicekit.training.pseudo.prior import Prior

_BELOW_HALF = nextafter(0.5, 0.0)


@dataclass(frozen=True)
class Verdict:
    """What one rule says of one organ."""

    rule: str
    passed: bool
    score: float
    """0 to 1; at least 0.5 where it passed, below where it did not."""
    reason: str
    """A sentence with the numbers, for people."""


class Question(NamedTuple):
    """What a rule is asked."""

    facts: OrganFacts
    """Of the organ."""
    case: Mapping[str, OrganFacts]
    """Of every organ of the case, this one too."""
    prior: Prior | None
    threshold: float


def high_is_good(rule: str, value: float, limit: float, reason: str) -> Verdict:
    """Judge a value from 0 to 1 that must reach a limit.

    The score is 0 at 0, 0.5 at the limit and 1 at 1, so scores of rules with different limits
    can be compared.

    Example:
        >>> high_is_good("agreement", 0.9, 0.8, "").score.__round__(3)
        0.75
    """
    if value >= limit:
        above = (value - limit) / (1 - limit) if limit < 1 else 1.0
        return Verdict(rule, True, 0.5 + 0.5 * min(above, 1.0), reason)
    return Verdict(rule, False, min(0.5 * value / limit, _BELOW_HALF), reason)


def low_is_good(rule: str, value: float, limit: float, reason: str) -> Verdict:
    """Judge a value from 0 on that must not pass a limit.

    The score is 1 at 0, 0.5 at the limit, 0.25 at twice the limit, and so on.

    Example:
        >>> low_is_good("loss", 0.6, 0.3, "").score
        0.25
    """
    score = 0.5 ** (value / limit) if limit > 0 else float(value <= 0)
    if value <= limit:
        return Verdict(rule, True, max(score, 0.5), reason)
    return Verdict(rule, False, min(score, _BELOW_HALF), reason)
