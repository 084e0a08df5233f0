"""One picture of slices of many scans, each with contours and a note, and the organs' colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import shorten, wrap
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from slicekit.labels import LabelSet
from slicekit.report.tile import BACKGROUND, FAINT, TEXT, Tile, draw_tile
from slicekit.report.view import View
from slicekit.volume import Volume
from slicekit.windows import Window

_MOST_COLUMNS = 4
_TILE_IN = 2.9
_GAP_IN = 0.12
_HEADING_IN = 0.5
_NOTE_LINE_IN = 0.16
_LEGEND_LINE_IN = 0.24
_LEGEND_ENTRY_IN = 1.9
_DPI = 110


@dataclass(frozen=True, eq=False)
class SheetTile:
    """One slice of the sheet."""

    image: Volume
    """``(1, y, x)`` intensities."""
    labels: Volume
    """``(1, y, x)`` ids on the same grid; their contours are drawn."""
    title: str
    """In the corner of the slice."""
    note: str
    """Below it; in at most three short lines."""


def draw_sheet(
    tiles: Sequence[SheetTile], names: LabelSet, *, window: Window, title: str
) -> Figure:
    """Draw slices of any number of scans in rows of four, in the order in which they come.

    Args:
        tiles: At least one.
        names: What the ids mean; the organs that are drawn are listed below, with their colours.
        window: The range of intensities from black to white.
        title: Above the slices.
    """
    views = [View.of(tile.image, window, [0], tile.labels) for tile in tiles]
    notes = [tuple(wrap(shorten(tile.note, 138, placeholder=" ..."), 46)) for tile in tiles]
    columns = min(_MOST_COLUMNS, len(tiles))
    rows = [range(i, min(i + columns, len(tiles))) for i in range(0, len(tiles), columns)]
    heights_in = [
        _TILE_IN * max(views[n].height_over_width for n in row)
        + _NOTE_LINE_IN * max(len(notes[n]) for n in row)
        + 2 * _GAP_IN
        for row in rows
    ]
    width = max(2, columns) * (_TILE_IN + _GAP_IN) + _GAP_IN
    drawn = _drawn(tiles, names)
    per_line = max(1, int(width / _LEGEND_ENTRY_IN))
    legend_in = _LEGEND_LINE_IN * -(-len(drawn) // per_line) + _GAP_IN
    height = _HEADING_IN + sum(heights_in) + legend_in
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    words: dict[str, Any] = {"color": TEXT, "weight": "bold", "va": "center", "parse_math": False}
    figure.text(_GAP_IN / width, 1 - 0.25 / height, title, fontsize=11, **words)
    top = height - _HEADING_IN
    for row, row_in in zip(rows, heights_in, strict=True):
        for column, n in enumerate(row):
            left, tile_in = (
                _GAP_IN + column * (_TILE_IN + _GAP_IN),
                _TILE_IN * views[n].height_over_width,
            )
            box = (left / width, (top - tile_in) / height, _TILE_IN / width, tile_in / height)
            tile = Tile(0, tiles[n].title, _organs_of(tiles[n], names), notes[n])
            draw_tile(
                figure.add_axes(box), tile, tiles[n].image, tiles[n].labels, names, window, views[n]
            )
        top -= row_in
    _draw_legend(figure, drawn, names, top_in=top, per_line=per_line)
    return figure


def _organs_of(tile: SheetTile, names: LabelSet) -> tuple[str, ...]:
    """Return the organs that a slice shows."""
    there = set(np.unique(tile.labels.array).tolist())
    return tuple(name for name, number in names.ids.items() if number in there)


def _drawn(tiles: Sequence[SheetTile], names: LabelSet) -> tuple[str, ...]:
    """Return the organs that any slice shows, in the order of their ids."""
    shown = {organ for tile in tiles for organ in _organs_of(tile, names)}
    return tuple(name for name in names.names if name in shown)


def _draw_legend(
    figure: Figure, organs: Sequence[str], names: LabelSet, *, top_in: float, per_line: int
) -> None:
    """List the organs with their colours, in lines from the top down."""
    width, height = figure.get_size_inches()
    for n, organ in enumerate(organs):
        left = _GAP_IN + (n % per_line) * _LEGEND_ENTRY_IN
        y = (top_in - (n // per_line + 0.5) * _LEGEND_LINE_IN) / height
        colour = names.colour(names.id_of(organ))
        span = [left / width, (left + 0.15) / width]
        figure.add_artist(Line2D(span, [y, y], color=colour, linewidth=4.5))
        words = shorten(organ.replace("_", " "), 24, placeholder=" ...")
        figure.text(
            (left + 0.25) / width, y, words, color=FAINT, fontsize=8, va="center", parse_math=False
        )
