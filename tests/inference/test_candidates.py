"""Summaries of slices in tables."""

from __future__ import annotations

import numpy as np

from slicekit.inference.candidates import by_case, candidates
from slicekit.inference.doubt import SliceDoubt


def doubt(case, z, z_mm, liver, area=0):
    return SliceDoubt(case, z, z_mm, {"liver": liver}, {"liver": liver / 2}, {"liver": area}, 2)


SLICES = [doubt("b", 0, 0.0, 4.0), doubt("a", 7, 35.0, 3.0, area=9), doubt("a", 5, 25.0, 1.0)]


def test_rows_are_in_the_order_of_scans_and_slices():
    table = candidates(SLICES, {"liver": 2.0})
    assert (table.cases, table.zs) == (("a", "a", "b"), (5, 7, 0))
    assert table.entropy.tolist() == [[1.0], [3.0], [4.0]]
    assert table.disagreement.tolist() == [[0.5], [1.5], [2.0]]
    assert table.weights.tolist() == [2.0]
    assert table.shows.tolist() == [False, True, False]


def test_all_rows_count_where_no_organ_was_found_at_all():
    assert candidates(SLICES[:1], {}).shows.tolist() == [True]


def test_near_is_said_of_one_scan_in_millimetres():
    table = candidates(SLICES, {})
    assert table.near(0, 10.0).tolist() == [True, False, False]
    assert table.near(0, 10.1).tolist() == [True, True, False]
    assert table.near(2, 1e9).tolist() == [False, False, True]
    assert table.near(1, 0.0).tolist() == [False, True, False]


def test_a_scan_is_the_mean_of_its_slices():
    table = by_case(candidates(SLICES, {}))
    assert (table.cases, table.zs) == (("a", "b"), (None, None))
    np.testing.assert_array_equal(table.entropy, [[2.0], [4.0]])
    np.testing.assert_array_equal(table.disagreement, [[1.0], [2.0]])
    assert table.shows.tolist() == [True, False]
