"""Cells show what they are sorted by."""

from __future__ import annotations

import math

from slicekit.report.page.parts import Cell, fixed, number


def test_numbers_keep_their_value_for_sorting() -> None:
    shown = [(1234.5678, "1235"), (0.00123456, "0.00123"), (12.3, "12.3"), (0, "0"), (5, "5")]
    for value, text in shown:
        cell = number(value)
        assert (cell.text, float(cell.sorted_by), cell.is_number) == (text, value, True)
    assert number(8.5, tone="bad").tone == "bad"


def test_what_is_no_number_is_a_dash_and_sorted_last() -> None:
    for value in (None, "x", math.nan, True, [1]):
        assert (number(value).text, fixed(value, 2).text) == ("-", "-")
        assert number(value).sorted_by == "-inf"


def test_places_are_fixed_and_words_are_sorted_by_themselves() -> None:
    assert fixed(0.5, 3).text == "0.500"
    assert (Cell("liver").sorted_by, Cell("liver").is_number) == ("liver", False)
    assert Cell("", 0.0).sorted_by == "0"
