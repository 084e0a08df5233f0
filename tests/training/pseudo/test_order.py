"""Who went astray, and who only stands beside it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from slicekit.training.pseudo import Order, OrganFacts
from slicekit.training.pseudo.order import standings

ROW = ("a", "b", "c", "d", "e")  # from right to left, 20 mm apart
ORDERS = tuple(
    Order(one, other, "right", 20.0, 4) for n, one in enumerate(ROW) for other in ROW[n + 1 :]
)


def case(**moved):
    places = {name: -20.0 * n for n, name in enumerate(ROW)} | moved
    return {
        name: OrganFacts(
            name, 0 if at is None else 10, 1.0, centroid_mm=None if at is None else (at, 0.0, 0.0)
        )
        for name, at in places.items()
    }


def shares(**moved):
    return {name: one.share for name, one in standings(case(**moved), ORDERS).items()}


def test_all_in_order():
    assert shares() == dict.fromkeys(ROW, 1.0)


def test_only_the_organ_that_moved_is_to_blame():
    assert shares(a=-500.0) == {"a": 0.0, "b": 1.0, "c": 1.0, "d": 1.0, "e": 1.0}
    assert shares(c=500.0) == {"a": 1.0, "b": 1.0, "c": 0.5, "d": 1.0, "e": 1.0}
    found = standings(case(a=-500.0), ORDERS)
    assert found["b"].strayed == ("a",) and found["b"].broken == ()
    assert [str(order) for order in found["a"].broken][:1] == ["a right of b"]


def test_two_that_changed_places_are_both_to_blame():
    found = shares(a=-80.0, e=0.0)
    assert {name for name, share in found.items() if share == 1.0} == {"b", "c", "d"}
    assert found["a"] == found["e"] == 0.0


def test_of_two_alone_neither_is_believed():
    orders = (Order("a", "b", "right", 20.0, 4),)
    found = standings({name: case(a=-50.0)[name] for name in "ab"}, orders)
    assert found["a"].share == found["b"].share == 0.0


def test_an_organ_that_only_a_stray_could_vouch_for_is_not_believed():
    orders = (Order("a", "b", "right", 20.0, 4), *(o for o in ORDERS if o.organ != "a"))
    found = standings(case(b=-500.0), orders)
    assert found["b"].share < 1.0 and found["c"].share == 1.0
    assert found["a"].strayed == ("b",) and found["a"].share == 0.0


def test_absent_organs_tell_nothing_and_are_not_told_of():
    assert shares(b=None) == dict.fromkeys("acde", 1.0)
    assert standings(case(), ()) == {}


@given(st.dictionaries(st.sampled_from(ROW), st.none() | st.floats(-500, 500), max_size=5))
def test_nothing_is_broken_among_those_who_are_not_to_blame(moved):
    found = standings(case(**moved), ORDERS)
    fine = {name for name, one in found.items() if not one.broken}
    places = {name: facts.centroid_mm for name, facts in case(**moved).items()}
    for order in ORDERS:
        if {order.organ, order.other} <= fine:
            assert places[order.organ][0] >= places[order.other][0]
    for name, one in found.items():
        assert places[name] is not None
        assert 0.0 <= one.share <= 1.0
