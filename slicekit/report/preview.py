"""One picture of a finished label map: slices in three planes, contours, legend, guides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import shorten, wrap
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from slicekit.labels import LabelSet
from slicekit.report.statistics import statistics
from slicekit.report.tile import BACKGROUND, FAINT, TEXT, Tile, draw_tile, write_figure
from slicekit.report.view import Plane, View, along_plane
from slicekit.volume import Volume, expect_same_grid
from slicekit.windows import Window

Guide = tuple[int, str, Sequence[str]]
"""A guide slice: its index along z, why it was chosen, and the organs it guides."""

_MOST_COLUMNS = 4
_MOST_GUIDES = 6
_MOST_LISTED = 36
_TILE_IN = 2.9
_GAP_IN = 0.1
_LEGEND_IN = 2.6
_HEADING_IN = 0.62
_LINE_IN = 0.235
_NOTE_LINE_IN = 0.16
_DPI = 110
_LEAST_SLICES = 3
_FLATTEST = 0.12
_OTHER_PLANES: tuple[Plane, ...] = ("coronal", "sagittal")


def write_preview(
    path: str | Path,
    image: Volume,
    labels: Volume,
    names: LabelSet,
    *,
    window: Window,
    guides: Sequence[Guide] = (),
    n_slices: int = 8,
) -> Path:
    """Write a PNG that shows a label map at a glance: axial slices, and two of either other plane.

    Args:
        path: The PNG; an existing one is replaced.
        image: ``(z, y, x)`` intensities.
        labels: ``(z, y, x)`` whole numbers on the same grid.
        names: The organs to draw, with their colours.
        window: The range of intensities from black to white.
        guides: Slices that guided the propagation; up to six, evenly spread, are shown below.
        n_slices: How many slices to spread over the labelled part of the scan; over all of it
            where nothing is labelled.

    Returns:
        The path.

    Raises:
        GeometryError: Image and labels lie on different grids.
        WriteError: The picture could not be written.
    """
    expect_same_grid("the label map", labels, image, like_name="the image")
    figure = draw_preview(
        image,
        labels,
        names,
        window=window,
        guides=guides,
        n_slices=n_slices,
        title=Path(path).stem.removesuffix("_preview"),
    )
    return write_figure(path, figure)


def draw_preview(
    image: Volume,
    labels: Volume,
    names: LabelSet,
    *,
    window: Window,
    guides: Sequence[Guide] = (),
    n_slices: int = 8,
    title: str = "",
) -> Figure:
    """Draw the picture of ``write_preview`` without writing it."""
    measured = statistics(labels, names)
    known = getattr(image.source, "spacing_known", True)
    amounts = {name: _amount(one, known=known) for name, one in measured.items() if one["voxels"]}
    scene = _Scene(image, labels, names, window)
    organs = tuple(amounts)
    spread = [Tile(z, f"slice {z}", organs) for z in spread_slices(labels.array, n_slices)]
    guiding = [
        Tile(int(z), f"guide {int(z)}", tuple(o for o in organs if o in names), _note(why, organs))
        for z, why, organs in _spread(guides)
        if 0 <= z < labels.shape[0]
    ]
    axial = scene.placed(spread + guiding)
    others = _equally_high([one for plane in _OTHER_PLANES for one in scene.across(plane, organs)])
    columns = min(_MOST_COLUMNS, max(len(spread), len(guiding), len(others)))
    rows = (
        _rows(axial[: len(spread)], columns)
        + _rows(others, columns)
        + _rows(axial[len(spread) :], columns)
    )
    heights_in = [_row_in(row) for row in rows]
    listed = min(len(amounts), _MOST_LISTED + 1)
    width = columns * (_TILE_IN + _GAP_IN) + _GAP_IN + _LEGEND_IN
    height = _HEADING_IN + max(sum(heights_in), _LINE_IN * (listed + 0.5)) + _GAP_IN
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    top = height - _HEADING_IN
    for row, row_in in zip(rows, heights_in, strict=True):
        for column, one in enumerate(row):
            left, tile_in = _GAP_IN + column * (_TILE_IN + _GAP_IN), one.height_in
            box = (left / width, (top - tile_in) / height, _TILE_IN / width, tile_in / height)
            draw_tile(
                figure.add_axes(box), one.tile, one.image, one.labels, names, window, one.view
            )
        top -= row_in
    _draw_heading(figure, title, labels, window, known=known)
    _draw_legend(figure, names, amounts)
    return figure


@dataclass(frozen=True, eq=False)
class _Placed:
    """A tile with what it is cut from."""

    tile: Tile
    image: Volume
    labels: Volume
    view: View
    most_in: float = math.inf

    @property
    def height_in(self) -> float:
        return min(self.most_in, _TILE_IN * self.view.height_over_width)


@dataclass(frozen=True, eq=False)
class _Scene:
    """What the picture shows."""

    image: Volume
    labels: Volume
    names: LabelSet
    window: Window

    def placed(self, tiles: Sequence[Tile], plane: Plane = "axial") -> list[_Placed]:
        """Show slices of one plane in one way."""
        image, labels = along_plane(self.image, plane), along_plane(self.labels, plane)
        view = View.of(image, self.window, [tile.z for tile in tiles], labels, plane=plane)
        return [_Placed(tile, image, labels, view) for tile in tiles]

    def across(self, plane: Plane, organs: tuple[str, ...]) -> list[_Placed]:
        """Show two slices across the stack; none where the stack is too flat to show anything."""
        if self.labels.shape[0] < _LEAST_SLICES:
            return []
        slices = spread_slices(along_plane(self.labels, plane).array, 2)
        placed = self.placed([Tile(z, f"{plane} {z}", organs) for z in slices], plane)
        rows, columns = placed[0].view.show(placed[0].image.array[0]).shape
        flat = rows * placed[0].view.pixel_ratio < _FLATTEST * columns
        return [] if flat else placed


def _equally_high(tiles: list[_Placed]) -> list[_Placed]:
    """Show coronal and sagittal slices in one scale: both are as high as the patient."""
    lowest_in = min((one.height_in for one in tiles), default=math.inf)
    return [replace(one, most_in=lowest_in) for one in tiles]


def _row_in(row: Sequence[_Placed]) -> float:
    """Return the height of a row with its notes and the gap below."""
    note = _NOTE_LINE_IN * max(len(one.tile.note) for one in row)
    return max(one.height_in for one in row) + note + _GAP_IN * (2 if note else 1)


def spread_slices(array: NDArray[Any], count: int) -> list[int]:
    """Choose slices evenly over the labelled part of a ``(z, y, x)`` label map.

    Each stands in the middle of its share, so none is the very first or last.

    Example:
        >>> spread_slices(np.ones((9, 1, 1)), 3)
        [1, 4, 7]
    """
    filled = np.flatnonzero(array.any(axis=(1, 2)))
    first, last = (int(filled[0]), int(filled[-1])) if filled.size else (0, len(array) - 1)
    length = last - first + 1
    count = max(1, min(count, length))
    return [first + int((i + 0.5) * length / count) for i in range(count)]


def _spread(guides: Sequence[Guide]) -> list[Guide]:
    """Choose the guides that are shown, evenly from the first to the last."""
    count = min(len(guides), _MOST_GUIDES)
    chosen = np.linspace(0, len(guides) - 1, count).round().astype(int)
    return [guides[number] for number in chosen]


def _rows(tiles: list[_Placed], columns: int) -> list[list[_Placed]]:
    return [tiles[i : i + columns] for i in range(0, len(tiles), columns)]


def _note(reason: str, organs: Sequence[str]) -> tuple[str, ...]:
    """Write why a slice guides, and what, in at most four short lines."""
    spoken = ", ".join(organ.replace("_", " ") for organ in organs)
    short = [shorten(text, 84, placeholder=" ...") for text in (reason, spoken)]
    return tuple(line for text in short for line in wrap(text, 46))


def _amount(figures: Mapping[str, Any], *, known: bool) -> str:
    """Write how much there is of an organ: in ml, in voxels where nobody knows the spacing."""
    volume = figures["volume_ml"]
    if not known:
        return f"{figures['voxels']} vx"
    return f"{volume:.0f} ml" if volume >= 10 else f"{volume:.1f} ml"


def _draw_heading(
    figure: Figure, title: str, labels: Volume, window: Window, *, known: bool
) -> None:
    width, height = figure.get_size_inches()
    z_mm, y_mm, x_mm = labels.spacing_mm
    z, y, x = labels.shape
    low, high = window.range_hu
    size = f"of {x_mm:.3g} x {y_mm:.3g} x {z_mm:.3g} mm" if known else "of unknown size"
    facts = f"{x} x {y} x {z} voxels {size}, window {low:.4g} to {high:.4g}"
    left = _GAP_IN / width
    name = title if len(title) < width * 8 else f"{title[: int(width * 8) - 3]}..."
    plain: dict[str, Any] = {"parse_math": False, "va": "center"}
    figure.text(left, 1 - 0.22 / height, name, color=TEXT, fontsize=11, weight="bold", **plain)
    figure.text(left, 1 - 0.45 / height, facts, color=FAINT, fontsize=7.5, **plain)


def _draw_legend(figure: Figure, names: LabelSet, amounts: Mapping[str, str]) -> None:
    """List the organs that are there, with colour and volume."""
    width, height = figure.get_size_inches()
    left, right = 1 - (_LEGEND_IN - 0.1) / width, 1 - 0.2 / width
    text: dict[str, Any] = {"fontsize": 8, "va": "center", "parse_math": False}
    y = 1 - (_HEADING_IN + 0.1) / height
    for organ, amount in list(amounts.items())[:_MOST_LISTED]:
        colour = names.colour(names.id_of(organ))
        stroke = Line2D([left, left + 0.15 / width], [y, y], color=colour, linewidth=4.5)
        figure.add_artist(stroke)
        words = organ.replace("_", " ")
        words = words if len(words) <= 27 else f"{words[:25]}..."
        figure.text(left + 0.25 / width, y, words, color=TEXT, **text)
        figure.text(right, y, amount, color=FAINT, ha="right", **text)
        y -= _LINE_IN / height
    more = len(amounts) - _MOST_LISTED
    if more > 0:
        figure.text(left, y, f"and {more} more", color=FAINT, **text)
    elif not amounts:
        figure.text(left, y, "nothing is labelled", color=TEXT, **text)
