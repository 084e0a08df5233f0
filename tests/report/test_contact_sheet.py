"""Slices of many scans in one picture: how many, in which order, with which words and colours."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from slicekit.labels import LabelSet
from slicekit.report.contact_sheet import SheetTile, draw_sheet
from slicekit.report.tile import png_bytes
from slicekit.volume import Volume
from slicekit.windows import Window

NAMES = LabelSet({"liver": 1, "left_kidney": 2, "never_seen": 3})
WINDOW = Window(75, 400)


def tile(number: int, shape: tuple[int, int], organ: int, note: str = "why") -> SheetTile:
    array = np.full((1, *shape), 40, np.int16)
    labels = np.zeros(array.shape, np.uint8)
    labels[0, 4:12, 4:12] = organ
    image = Volume(array, np.diag([5.0, 2.0, 2.0, 1.0])[[2, 1, 0, 3]])
    return SheetTile(image, image.with_array(labels), f"{number}  case", note)


def words(figure: object) -> list[str]:
    texts = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        texts += [text.get_text() for text in axes.texts]
    return texts


@pytest.mark.parametrize("count", [1, 3, 4, 5, 9])
def test_every_slice_is_drawn_inside_the_picture_and_none_over_another(count: int) -> None:
    shapes = [(30, 40), (60, 20), (20, 60)]
    tiles = [tile(n, shapes[n % 3], 1 + n % 2) for n in range(count)]
    figure = draw_sheet(tiles, NAMES, window=WINDOW, title="queue")
    boxes = [axes.get_position() for axes in figure.axes]
    assert len(boxes) == count
    for n, box in enumerate(boxes):
        assert 0 <= box.x0 < box.x1 <= 1
        assert 0 < box.y0 < box.y1 < 1
        for other in boxes[:n]:
            apart = box.x0 >= other.x1 or box.x1 <= other.x0 or box.y1 <= other.y0
            assert apart
    titles = [axes.texts[0].get_text() for axes in figure.axes]
    assert titles == [f"{n}  case" for n in range(count)]
    with Image.open(io.BytesIO(png_bytes(figure))) as picture:
        assert picture.size[0] > 400


def test_only_organs_that_are_drawn_are_listed_once() -> None:
    both = draw_sheet([tile(1, (30, 30), 1), tile(2, (30, 30), 1)], NAMES, window=WINDOW, title="q")
    assert words(both).count("liver") == 1
    assert "left kidney" not in words(both)
    assert "never seen" not in words(both)
    empty = draw_sheet([tile(1, (30, 30), 0)], NAMES, window=WINDOW, title="q")
    assert "liver" not in words(empty)


def test_long_notes_are_cut_to_three_lines() -> None:
    figure = draw_sheet([tile(1, (30, 30), 1, "many words " * 50)], NAMES, window=WINDOW, title="q")
    note = figure.axes[0].texts[1].get_text()
    assert note.count("\n") <= 3
    assert note.endswith("...")
