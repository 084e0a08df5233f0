"""Tables as text."""

from __future__ import annotations

from slicekit.report.text_table import text_table


def test_columns_line_up_and_the_mean_is_set_apart():
    rows = [["organ", "x", "of"], ["a", "10", "b"], ["mean", "5", ""]]
    assert text_table(rows, left=(0, 2), ruled_last=True).splitlines() == [
        "organ   x  of",
        "-------------",
        "a      10  b",
        "-------------",
        "mean    5",
    ]
