"""One slice of a picture, with contours and words, and how a picture is written."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from slicekit.io.atomic import write_atomically
from slicekit.labels import LabelSet
from slicekit.report.view import View
from slicekit.volume import Volume
from slicekit.windows import Window

BACKGROUND = "#101216"
TEXT = "#e6e8ec"
FAINT = "#9aa1ac"


@dataclass(frozen=True)
class Tile:
    """One slice of a picture."""

    z: int
    title: str
    organs: tuple[str, ...]
    """Organs whose contours are drawn."""
    note: tuple[str, ...] = ()
    """Lines below the slice."""


def draw_tile(
    axes: Axes,
    tile: Tile,
    image: Volume,
    labels: Volume,
    names: LabelSet,
    window: Window,
    view: View,
) -> None:
    """Draw one slice with the contours of its organs, over the whole of ``axes``."""
    gray = view.show(window.apply(np.nan_to_num(image.array[tile.z])))
    drawn = view.show(labels.array[tile.z])
    shades: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 1, "interpolation": "bilinear"}
    axes.imshow(gray, aspect=view.pixel_ratio, **shades)  # true, whatever the place on the page
    for organ in tile.organs:
        mask = np.pad(drawn == names.id_of(organ), 1).astype(np.float32)  # closed at the border
        if mask.any():
            y, x = (np.arange(size) - 1 for size in mask.shape)
            colour = [names.colour(names.id_of(organ))]
            axes.contour(x, y, mask, levels=[0.5], colors=colour, linewidths=1.2)
    axes.set_xlim(-0.5, gray.shape[1] - 0.5)
    axes.set_ylim(gray.shape[0] - 0.5, -0.5)
    axes.set_anchor("N")
    axes.axis("off")
    corner: dict[str, Any] = {"transform": axes.transAxes, "va": "top", "parse_math": False}
    readable = [withStroke(linewidth=2.5, foreground=BACKGROUND)]  # on bright tissue too
    axes.text(0.02, 0.98, tile.title, color=TEXT, fontsize=7.5, path_effects=readable, **corner)
    axes.annotate(
        "\n".join(tile.note), (0.01, 0), xytext=(0, -4), xycoords="axes fraction",
        textcoords="offset points", color=FAINT, fontsize=7.5, va="top", parse_math=False,
    )  # fmt: skip


def write_figure(path: str | Path, figure: Figure) -> Path:
    """Write a figure as PNG; an existing one is replaced.

    Raises:
        WriteError: The picture could not be written.
    """
    content = png_bytes(figure)

    def writer(file: Path) -> None:
        file.write_bytes(content)

    return write_atomically(path, writer)


def png_bytes(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():  # a name in letters that the font lacks shows boxes
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(buffer, format="png", facecolor=BACKGROUND)
    return buffer.getvalue()
