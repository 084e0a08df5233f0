import pytest
from hypothesis import given
from hypothesis import strategies as st

from slicekit.errors import BudgetError
from slicekit.inference.budget import plan


@given(
    st.integers(1, 10**9),
    st.integers(1, 10**7),
    st.integers(1, 2),
    st.integers(0, 100),
    st.integers(0, 2000),
    st.tuples(st.integers(1, 600), st.integers(1, 600)),
)
def test_a_plan_never_exceeds_its_budget(budget, slot_bytes, guides, working, planes, size):
    try:
        spent = plan(
            budget, slot_bytes=slot_bytes, guides=guides, working=working, planes=planes, size=size
        )
    except BudgetError as fault:
        assert "at least" in str(fault)
        return
    held = planes * -(-size[0] // spent.shrink) * -(-size[1] // spent.shrink) * 2
    assert (spent.slots + guides) * slot_bytes + held + spent.keep_bytes <= budget
    assert guides <= spent.slots <= guides + working
    assert spent.keep_bytes >= 0


def test_what_fits_is_held_in_full():
    spent = plan(1 << 30, slot_bytes=1 << 20, guides=2, working=5, planes=50, size=(256, 256))
    assert (spent.slots, spent.shrink) == (7, 1)
    assert spent.keep_bytes == (1 << 30) - (9 << 20) - 50 * 256 * 256 * 2


def test_half_of_the_budget_bounds_the_memory_and_a_quarter_the_probabilities():
    spent = plan(64 << 20, slot_bytes=4 << 20, guides=2, working=50, planes=400, size=(256, 256))
    assert spent.slots == 6  # 8 slots in 32 MiB, less two originals
    assert spent.shrink == 2  # 50 MiB in full, 12.5 MiB at half the resolution


def test_the_message_says_what_would_do():
    with pytest.raises(BudgetError, match="16 MiB at least for this scan, got 15 MiB"):
        plan(15 << 20, slot_bytes=2 << 20, guides=2, working=0, planes=0, size=(8, 8))
