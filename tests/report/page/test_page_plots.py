"""Drawings are SVG that may stand in a page: text stays text, and nothing is referred to."""

from __future__ import annotations

import math

import pytest

from slicekit.report.page.plots import Panel, strips


def test_names_are_text_escaped_and_no_formulas() -> None:
    organs = ["<script>", "$x_{", "left_kidney", "a" * 60]
    values = {organ: [1.0, 2.0, math.nan] for organ in organs}
    svg = strips(organs, [Panel("ml <&>", values), Panel("DSC", values, low=0, high=1.02)])
    assert svg.startswith("<svg")
    for shown in ("&lt;script&gt;", "$x ", "left kidney", "ml &lt;&amp;&gt;", f"{'a' * 24}.."):
        assert shown in svg
    assert "<script" not in svg
    assert "http" not in svg


@pytest.mark.parametrize("values", [{}, {"a": []}, {"a": [0.0]}, {"a": [-1.0, math.nan]}])
@pytest.mark.parametrize("log", [False, True])
def test_nothing_to_draw_is_drawn(values: dict[str, list[float]], log: bool) -> None:
    assert "</svg>" in strips(["a", "b"], [Panel("x", values, log=log)])
    assert "</svg>" in strips([], [Panel("x", {}, log=log)])


def test_equal_values_make_equal_drawings() -> None:
    panel = Panel("x", {"a": [1.0, 10.0, 100.0]}, log=True)
    assert strips(["a"], [panel]) == strips(["a"], [panel])
