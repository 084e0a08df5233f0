"""Which slice to draw next can be said by eye in each of these cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from slicekit.inference.suggest import suggest

LENGTH = 40


def doubts(*peaks, base=0.0, length=LENGTH):
    """Doubt by slice: ``(slice, height)`` each, falling by 0.1 a slice around."""
    out = np.full(length, base, np.float32)
    for where, height in peaks:
        near = height - 0.1 * np.abs(np.arange(length) - where)
        out = np.maximum(out, near.astype(np.float32))
    return out


def even(pixels=100.0, length=LENGTH):
    return np.full(length, pixels, np.float32)


def ask(doubt, *, area=None, drawn=None, count=1, slice_mm=3.0):
    area = {organ: even() for organ in doubt} if area is None else area
    drawn = {organ: {0, LENGTH - 1} for organ in doubt} if drawn is None else drawn
    return suggest(doubt, area, drawn, slice_mm=slice_mm, count=count)


def test_the_most_doubtful_place_comes_first():
    first, second = ask({"liver": doubts((10, 0.4), (28, 0.9))}, count=2)
    assert abs(first.z - 28) <= 1  # a slice that is further from drawn ones mends more
    assert abs(second.z - 10) <= 1
    assert first.gain > second.gain > 0
    assert first.organs == second.organs == ("liver",)


def test_a_second_suggestion_is_elsewhere():
    zs = [one.z for one in ask({"liver": doubts((10, 0.8), (28, 0.9), base=0.05)}, count=4)]
    assert len(set(zs)) == 4
    assert min(abs(zs[0] - other) for other in zs[1:]) >= 2
    assert {abs(z - 10) <= 2 for z in zs[:2]} == {True, False}


def test_nothing_doubtful_is_no_suggestion():
    assert ask({"liver": doubts()}, count=3) == ()
    assert ask({}, count=3, area={}, drawn={}) == ()
    assert ask({"liver": doubts((5, 0.9))}, count=0) == ()
    assert ask({"liver": doubts((5, 0.9))}, area={"liver": even(0.0)}) == ()


def test_fewer_come_where_all_doubt_is_mended():
    spike = np.zeros(LENGTH, np.float32)
    spike[20] = 0.5
    assert [one.z for one in ask({"liver": spike}, count=5)] == [20]


def test_a_slice_without_the_organ_is_no_place_to_draw_it():
    area = even()
    area[15:] = 0
    (one,) = ask({"liver": doubts((30, 0.9), (12, 0.2))}, area={"liver": area})
    assert one.z < 15


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_small_organs_count_by_their_share(scale):
    doubt = {"liver": doubts((8, 0.5)), "adrenal": doubts((30, 0.6))}
    area = {"liver": even(100.0 * scale), "adrenal": even(4.0)}
    first, second = ask(doubt, area=area, count=2)
    assert abs(first.z - 30) <= 1 and first.organs == ("adrenal",)
    assert abs(second.z - 8) <= 1 and second.organs == ("liver",)


def test_one_slice_that_helps_two_organs_is_better_than_one_for_each():
    doubt = {
        "liver": doubts((10, 0.6), (25, 0.5)),
        "spleen": doubts((25, 0.6), (36, 0.65)),
    }
    (one,) = ask(doubt)
    assert abs(one.z - 25) <= 1
    assert one.organs == ("spleen", "liver")
    assert "and 1 more" in one.reason


def test_a_slice_drawn_for_one_organ_may_be_asked_for_another():
    spike = np.zeros(LENGTH, np.float32)
    spike[20] = 0.9
    drawn = {"liver": {0, 20, 39}, "spleen": {0, 39}}
    found = ask({"liver": spike, "spleen": spike}, drawn=drawn, count=4)
    assert [(one.z, one.organs) for one in found] == [(20, ("spleen",))]


def test_far_from_drawn_slices_a_drawing_mends_more():
    flat = np.full(LENGTH, 0.3, np.float32)
    (one,) = ask({"liver": flat}, drawn={"liver": {0, 10, LENGTH - 1}})
    assert one.z == pytest.approx(25, abs=3)


def test_the_reason_names_the_organ_its_doubt_and_the_way_in_mm():
    spike = np.zeros(LENGTH, np.float32)
    spike[12] = 0.75
    (one,) = ask({"left_kidney": spike}, drawn={"left_kidney": {4, 39}}, slice_mm=2.5)
    assert one.z == 12
    assert one.reason == "left_kidney: doubt 0.75, 20 mm from its nearest drawn slice"


def test_what_was_given_is_left_as_it_was():
    doubt, area, drawn = {"a": doubts((9, 0.5))}, {"a": even()}, {"a": [0, 39]}
    before = doubt["a"].copy(), area["a"].copy(), list(drawn["a"])
    suggest(doubt, area, drawn, slice_mm=3.0, count=3)
    assert np.array_equal(doubt["a"], before[0]) and np.array_equal(area["a"], before[1])
    assert drawn["a"] == before[2]


def test_an_organ_of_which_nothing_is_drawn_may_be_suggested():
    (one,) = ask({"liver": doubts((17, 0.5))}, drawn={})
    assert (one.z, one.organs) == (17, ("liver",))


CURVES = arrays(np.float32, 24, elements=st.floats(0, 1, width=32))
AREAS = arrays(np.float32, 24, elements=st.sampled_from([0.0, 0.0, 1.0, 7.0, 900.0]))
DRAWN = st.sets(st.integers(0, 23), max_size=6)


@given(
    st.dictionaries(st.sampled_from("abc"), st.tuples(CURVES, AREAS, DRAWN), max_size=3),
    st.floats(0.5, 10),
    st.integers(0, 6),
)
def test_drawn_slices_are_never_suggested_and_no_slice_twice_for_an_organ(given_, slice_mm, count):
    doubt, area, drawn = ({k: v[n] for k, v in given_.items()} for n in range(3))
    found = suggest(doubt, area, drawn, slice_mm=slice_mm, count=count)
    assert len(found) <= count
    asked = {organ: set(zs) for organ, zs in drawn.items()}
    for one in found:
        assert one.organs and one.gain > 0
        for organ in one.organs:
            assert one.z not in asked[organ]
            assert doubt[organ][one.z] > 0 and area[organ][one.z] > 0
            asked[organ].add(one.z)
    assert [one.gain for one in found] == sorted((one.gain for one in found), reverse=True)
