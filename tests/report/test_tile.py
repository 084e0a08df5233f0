"""One slice of a picture: contours in the organs' colours, and a picture whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from slicekit.errors import WriteError
from slicekit.labels import LabelSet
from slicekit.report.tile import Tile, draw_tile, png_bytes, write_figure
from slicekit.report.view import View
from slicekit.volume import Volume
from slicekit.windows import Window

NAMES = LabelSet({"liver": 1, "spleen": 2})
WINDOW = Window(75, 400)


def test_contours_are_those_of_the_organs_asked_for() -> None:
    image = Volume(np.full((2, 40, 40), 40, np.int16), np.diag([5.0, 2.0, 2.0, 1.0])[[2, 1, 0, 3]])
    labels = np.zeros((2, 40, 40), np.uint8)
    labels[1, 4:12, 4:12], labels[1, 20:30, 20:30] = 1, 2
    drawn = image.with_array(labels)
    view = View.of(image, WINDOW, [1], drawn)
    axes = Figure().add_axes((0, 0, 1, 1))
    tile = Tile(1, "a title", ("spleen",), ("first", "second"))
    draw_tile(axes, tile, image, drawn, NAMES, WINDOW, view)
    colours = {
        tuple(to_rgb(one)) for drawing in axes.collections for one in drawing.get_edgecolor()
    }
    assert len(colours) == 1
    assert colours.pop() == pytest.approx(NAMES.colour(2))
    assert [text.get_text() for text in axes.texts] == ["a title", "first\nsecond"]


def test_a_picture_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    figure = Figure(figsize=(2, 1), dpi=50)
    figure.text(0.1, 0.5, "肝")  # letters that the font lacks are no fault
    path = write_figure(tmp_path / "new" / "x.png", figure)
    assert path.read_bytes() == png_bytes(figure)
    with Image.open(path) as picture:
        assert picture.size == (100, 50)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(WriteError, match="is a symbolic link or a folder"):
        write_figure(tmp_path / "folder.png", figure)
