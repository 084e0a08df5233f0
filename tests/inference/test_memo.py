"""A memo keeps to its budget and lets go of what was used longest ago."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from slicekit.inference.memo import Memo


@dataclass(frozen=True)
class Item:
    nbytes: int


def kept(memo, keys="abcdef"):
    """Look without using."""
    return {key for key in keys if key in memo._kept}


def filled(*sizes, budget_bytes=30):
    """Keys a, b, c, ... one item of each size."""
    memo = Memo(budget_bytes=budget_bytes)
    for key, size in zip("abcdef", sizes, strict=False):
        memo.put(key, [Item(size)])
    return memo


def test_what_was_put_comes_back_and_the_rest_is_none():
    memo, items = Memo(budget_bytes=20), [Item(4), Item(6)]
    memo.put("a", items)
    assert memo.get("a") == items
    assert memo.get("b") is None


def test_what_fits_exactly_is_kept():
    assert kept(filled(10, 10, 10)) == {"a", "b", "c"}
    assert kept(filled(10, 10, 11)) == {"b", "c"}


def test_what_was_used_longest_ago_goes_first():
    memo = filled(10, 10, 10)
    memo.get("a")
    memo.put("d", [Item(10)])
    assert kept(memo) == {"a", "c", "d"}
    memo.put("c", [Item(10)])  # put again: used
    memo.put("e", [Item(10)])
    assert kept(memo) == {"c", "d", "e"}


def test_a_look_at_what_is_not_kept_changes_nothing():
    memo = filled(10, 10, 10)
    memo.get("f")
    memo.put("d", [Item(1)])
    assert kept(memo) == {"b", "c", "d"}


def test_a_new_list_of_a_key_replaces_the_old_one_and_its_bytes():
    memo = filled(10, 10)
    memo.put("a", [Item(20)])
    assert kept(memo) == {"a", "b"}
    memo.put("a", [Item(1)])
    memo.put("c", [Item(19)])
    assert kept(memo) == {"a", "b", "c"}
    assert memo.get("a") == [Item(1)]


def test_an_empty_list_is_an_answer_too():
    memo = filled(30)
    memo.put("b", [])
    assert memo.get("b") == []
    assert kept(memo) == {"a", "b"}


def test_a_list_that_does_not_fit_is_not_kept():
    memo = Memo(budget_bytes=30)
    memo.put("a", [Item(16), Item(15)])
    assert memo.get("a") is None
    memo.put("b", [Item(30)])
    assert kept(memo) == {"b"}


def test_a_list_that_does_not_fit_leaves_the_others_alone():
    memo = filled(10, 10)
    memo.put("c", [Item(31)])
    assert kept(memo) == {"a", "b"}


@given(
    st.integers(0, 40),
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.none() | st.lists(st.integers(0, 20), max_size=3)),
        max_size=25,
    ),
)
def test_a_memo_never_exceeds_its_budget_and_never_answers_with_something_else(budget, moves):
    memo, last = Memo(budget_bytes=budget), {}
    for key, sizes in moves:
        if sizes is None:
            found = memo.get(key)
            assert found is None or found == last[key]
            continue
        last[key] = [Item(size) for size in sizes]
        memo.put(key, last[key])
        used = sum(item.nbytes for k in kept(memo) for item in memo._kept[k])
        assert used == memo._used <= budget
        if sum(sizes) <= budget:
            assert memo.get(key) == last[key]
