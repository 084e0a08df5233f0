"""Drawings of a page, one line an organ, as SVG inside of it."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

_LINE_IN = 0.27
_AROUND_IN = 0.75
_NAMES_IN = 1.9
_PANEL_IN = 3.0
_DOT = "#2f6fbb"
_MEAN = "#c0392b"
_GRID = "#e2e4e8"
_LONGEST = 26


class Panel(NamedTuple):
    """One scale with the values of every organ on it."""

    title: str
    values: Mapping[str, Sequence[float]]
    """Organ to one value a case."""
    low: float | None = None
    high: float | None = None
    log: bool = False


def strips(organs: Sequence[str], panels: Sequence[Panel]) -> str:
    """Draw a dot for every case, in a line an organ, and a stroke at the median.

    Args:
        organs: From the top down.
        panels: Beside one another, each with a scale of its own.

    Returns:
        SVG text with neither scripts nor references, and with every name escaped.
    """
    width = _NAMES_IN + _PANEL_IN * len(panels)
    lines_in = _LINE_IN * max(1, len(organs))
    height = _AROUND_IN + lines_in
    figure = Figure(figsize=(width, height))
    FigureCanvasSVG(figure)
    for n, panel in enumerate(panels):
        left = (_NAMES_IN + n * _PANEL_IN) / width
        box = (left, 0.45 / height, (_PANEL_IN - 0.25) / width, lines_in / height)
        axes = figure.add_axes(box)
        _draw(axes, organs, panel)
        names = [_short(organ) for organ in organs] if n == 0 else [""] * len(organs)
        axes.set_yticks(range(len(organs)), names, fontsize=9, parse_math=False)
    return _svg(figure)


def _draw(axes: Axes, organs: Sequence[str], panel: Panel) -> None:
    for y, organ in enumerate(organs):
        values = [value for value in panel.values.get(organ, ()) if np.isfinite(value)]
        if panel.log:
            values = [value for value in values if value > 0]
        if not values:
            continue
        axes.plot(values, [y] * len(values), "o", color=_DOT, alpha=0.55, markersize=5, mew=0)
        if len(values) > 1:
            axes.plot([np.median(values)], [y], "|", color=_MEAN, markersize=13, mew=2)
    axes.set_ylim(max(1, len(organs)) - 0.5, -0.5)
    if panel.log and any(value > 0 for values in panel.values.values() for value in values):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter("")
    if panel.low is not None or panel.high is not None:
        axes.set_xlim(panel.low, panel.high)
    axes.set_title(panel.title, fontsize=10, loc="left", parse_math=False)
    axes.tick_params(axis="both", which="both", length=0, labelsize=8.5)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)


def _short(organ: str) -> str:
    words = organ.replace("_", " ")
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 2]}.."


def _svg(figure: Figure) -> str:
    """Write a figure as SVG that may stand inside a page."""
    text = io.StringIO()
    as_text = mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "slicekit"})
    with as_text, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, count=1, flags=re.DOTALL)
    return re.sub(r"""\sxmlns(:\w+)?=["'][^"']*["']""", "", svg).replace("xlink:href", "href")
