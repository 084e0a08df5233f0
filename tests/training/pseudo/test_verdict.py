"""Scores of all rules mean the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from slicekit.training.pseudo.verdict import high_is_good, low_is_good

SHARES = st.floats(0, 1)
LOSSES = st.floats(0, 1e6)


@given(SHARES, SHARES, SHARES)
def test_high_values_are_good(value, higher, limit):
    one, other = (high_is_good("r", v, limit, "") for v in sorted((value, higher)))
    assert one.passed == (min(value, higher) >= limit)
    assert one.passed == (one.score >= 0.5)
    assert 0 <= one.score <= other.score <= 1


@given(LOSSES, LOSSES, LOSSES)
def test_low_values_are_good(value, higher, limit):
    one, other = (low_is_good("r", v, limit, "") for v in sorted((value, higher)))
    assert one.passed == (min(value, higher) <= limit)
    assert one.passed == (one.score >= 0.5)
    assert 0 <= other.score <= one.score <= 1
