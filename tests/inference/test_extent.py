"""Few-shot segmentation by the published protocol, on the query's own grid."""

from __future__ import annotations

import numpy as np
import pytest
from shades import IDS, SHAPE, dice, model, patient

from slicekit.errors import GeometryError, LabelError
from slicekit.inference.extent import find_in_extents
from slicekit.labels import LabelSet

NAMES = LabelSet(IDS)


def test_organs_are_found_between_their_true_ends_and_nowhere_else() -> None:
    (scan, drawn), (other, truth) = patient(), patient(3, brightest=700.0)
    found = find_in_extents(other, scan, drawn, NAMES, model(), truth=truth)
    assert found.labels.shape == SHAPE
    assert found.missing == () and found.guides == ()
    for name, number in IDS.items():
        assert dice(found.labels.array == number, truth.array == number) > 0.7, name
        held = np.flatnonzero((truth.array == number).any(axis=(1, 2)))
        named = np.flatnonzero((found.labels.array == number).any(axis=(1, 2)))
        assert held[0] <= named[0] and named[-1] <= held[-1]
        assert len(found.supports[name]) == 3


def test_the_truth_is_asked_for_the_extent_alone() -> None:
    (scan, drawn), (other, truth) = patient(), patient(3, brightest=700.0)
    ends = np.zeros_like(truth.array)
    for number in IDS.values():
        held = np.flatnonzero((truth.array == number).any(axis=(1, 2)))
        ends[held[[0, -1]], 0, number] = number  # somewhere else in the slice
    one, two = (
        find_in_extents(other, scan, drawn, NAMES, model(), truth=told)
        for told in (truth, truth.with_array(ends))
    )
    assert np.array_equal(one.labels.array, two.labels.array)


def test_an_organ_that_the_query_lacks_is_missing_and_none_at_all_is_refused() -> None:
    (scan, drawn), (other, truth) = patient(), patient(3)
    one = truth.with_array(np.where(truth.array == IDS["liver"], truth.array, 0))
    assert find_in_extents(other, scan, drawn, NAMES, model(), truth=one).missing == ("kidney",)
    with pytest.raises(LabelError, match=r"show none of .*; give those of the query"):
        none = truth.with_array(np.zeros_like(truth.array))
        find_in_extents(other, scan, drawn, NAMES, model(), truth=none)


def test_the_truth_lies_on_the_grid_of_the_query() -> None:
    (scan, drawn), (other, truth) = patient(), patient(3)
    small = truth.with_array(truth.array)
    small = type(small)(small.array[1:], small.affine)
    with pytest.raises(GeometryError):
        find_in_extents(other, scan, drawn, NAMES, model(), truth=small)
