"""Components by runs, against scipy's labelling of each organ alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from slicekit.report.runs import NO_RUNS, Components, runs_of

ORGANS = 3
LABELS = hnp.arrays(
    np.uint8,
    hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=6),
    elements=st.integers(0, ORGANS),
)


def count(array: np.ndarray, *, corners: bool) -> list[int]:
    components = Components(ORGANS, corners=corners)
    for plane in array:
        components.add(runs_of(plane, np.arange(ORGANS + 1)))
    return components.counts[1:].tolist()


@settings(deadline=None)
@given(LABELS, st.booleans())
def test_components_are_those_of_scipy(array, corners):
    reach = np.ones((3, 3, 3)) if corners else None
    wanted = [ndimage.label(array == organ, reach)[1] for organ in range(1, ORGANS + 1)]
    assert count(array, corners=corners) == wanted


@settings(deadline=None)
@given(LABELS)
def test_runs_give_the_slice_back(array):
    for plane in array:
        runs = runs_of(plane, np.arange(ORGANS + 1))
        again = np.zeros_like(plane)
        for organ, y, start, stop in zip(*runs, strict=True):
            assert not again[y, start:stop].any()
            again[y, start:stop] = organ
        assert np.array_equal(again, plane)
        assert runs.length.sum() == np.count_nonzero(plane)


def test_a_ring_that_closes_above_is_one_component():
    array = np.zeros((3, 3, 5), np.uint8)
    array[0, 1, [0, 4]] = array[1, 1, [0, 4]] = 1  # two pillars
    assert count(array, corners=True) == [2, 0, 0]
    array[2, 1] = 1  # and a bridge
    assert count(array, corners=True) == [1, 0, 0]
    assert count(array[::-1], corners=True) == [1, 0, 0]


@pytest.mark.parametrize(("corners", "wanted"), [(True, 1), (False, 2)])
def test_corners_join_or_do_not(corners, wanted):
    array = np.zeros((2, 2, 2), np.uint8)
    array[0, 0, 0] = array[1, 1, 1] = 2
    assert count(array, corners=corners) == [0, wanted, 0]


def test_other_ids_are_passed_over_and_ends_of_rows_do_not_touch():
    plane = np.array([[0, 9, 1], [1, 2, 300]], np.uint16)
    runs = runs_of(plane, np.array([0, 1]))
    assert (runs.y.tolist(), runs.start.tolist(), runs.stop.tolist()) == ([0, 1], [2, 0], [3, 1])
    assert runs_of(plane[:, :0], np.array([0])) == NO_RUNS
