"""A picture shows the organ where it is largest, outlined in its colour."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from slicekit.errors import LabelError
from slicekit.labels import LabelSet
from slicekit.report.organ_picture import organ_picture
from slicekit.volume import Volume
from slicekit.windows import Window

NAMES = LabelSet({"liver": 1, "spleen": 2})
AFFINE = np.array([[0, 0, -2.0, 0], [0, -4.0, 0, 0], [5.0, 0, 0, 0], [0, 0, 0, 1]])
WINDOW = Window.from_range(0, 100)


def draw(array, organ, image=None):
    labels = Volume(array, AFFINE)
    gray = labels.with_array(np.full(array.shape, 30, np.int16) if image is None else image)
    data = organ_picture(gray, labels, NAMES, organ, window=WINDOW)
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture)


@pytest.fixture
def array():
    """A liver on slices 2 and 3, larger on 3; a spleen on 3."""
    array = np.zeros((6, 20, 40), np.uint8)
    array[2, 5:8, 5:8] = 1
    array[3, 4:12, 4:16] = 1
    array[3, 4:12, 24:36] = 2
    return array


def coloured(picture):
    """Pixels that are not gray, by how far their channels lie apart."""
    return np.ptp(picture.astype(int), axis=2) > 40


def test_pixels_are_square_in_millimetres(array):
    assert draw(array, "liver").shape == (320, 320, 3)  # 20 x 4 mm by 40 x 2 mm


def test_the_organ_has_its_colour_and_others_are_gray(array):
    picture = draw(array, "liver")
    rows, columns = np.nonzero(coloured(picture))
    assert columns.min() >= 4 * 8 - 2 and columns.max() <= 16 * 8 + 2
    assert rows.min() >= 4 * 16 - 2 and rows.max() <= 12 * 16 + 2
    assert not coloured(picture[70:180, 40:120]).any()  # an outline, not a lid
    beside = picture[:, 24 * 8 - 2 :]
    assert beside.max() > 100 and not coloured(beside).any()
    colour = [round(255 * part) for part in NAMES.colour(1)]
    assert np.abs(picture.astype(int) - colour).max(axis=2).min() < 20


def test_the_slice_with_most_of_it_is_shown(array):
    image = np.zeros(array.shape, np.int16)
    image[3] = 100
    assert draw(array, "liver", image)[0, 0].tolist() == [255] * 3
    assert draw(array[:3], "liver", image[:3])[0, 0].tolist() == [0] * 3


def test_of_an_absent_organ_the_middle_is_shown(array):
    image = np.zeros(array.shape, np.float32)
    image[3] = 100
    image[3, 0] = np.nan
    picture = draw(np.zeros_like(array), "spleen", image)
    assert picture[-1, -1].tolist() == [255] * 3
    assert not coloured(picture).any()


def test_an_unknown_organ_is_told(array):
    with pytest.raises(LabelError, match="livr"):
        draw(array, "livr")
