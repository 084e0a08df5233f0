from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slicekit.errors import ShapeError
from slicekit.inference.walk import gaps, visits

SCANS = st.integers(1, 60).flatmap(
    lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), min_size=1))
)


@given(SCANS)
def test_gaps_and_guides_hold_every_slice_once(case):
    length, guides = case
    slices = [z for gap in gaps(length, list(guides)) for z in gap.slices]
    assert sorted([*slices, *guides]) == list(range(length))


@given(SCANS)
def test_slices_between_guides_are_visited_from_both_and_the_others_once(case):
    length, guides = case
    count = Counter(visit.z for visit in visits(length, list(guides)))
    first, last = min(guides), max(guides)
    for z in range(length):
        expected = 0 if z in guides else 2 if first < z < last else 1
        assert count[z] == expected


@given(SCANS)
def test_every_walk_leads_away_from_its_guide_one_slice_at_a_time(case):
    length, guides = case
    at = {}
    for visit in visits(length, list(guides)):
        before = at.get((visit.guide, visit.step), visit.guide)
        assert visit.z == before + visit.step
        at[visit.guide, visit.step] = visit.z


def test_a_mirrored_scan_is_walked_in_mirror_image():
    forward = {(5 - v.z, 5 - v.guide, -v.step) for v in visits(6, [1, 4])}
    assert forward == set(visits(6, [4, 1]))


def test_without_guides_there_is_one_gap_and_no_visit():
    (gap,) = gaps(3, [])
    assert (gap.left, gap.right, list(gap.slices)) == (None, None, [0, 1, 2])
    assert list(visits(3, [])) == []


@pytest.mark.parametrize("guides", [[3], [-1], [1, 1]])
def test_guides_outside_or_twice_are_refused(guides):
    with pytest.raises(ShapeError, match="different slices from 0 to 2"):
        gaps(3, guides)
