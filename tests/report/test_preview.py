"""The picture is written whole, for every odd volume, and shows what it should."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slicekit.errors import GeometryError
from slicekit.io import FolderSource
from slicekit.labels import LabelSet
from slicekit.report.preview import draw_preview, spread_slices, write_preview
from slicekit.report.view import View, along_plane
from slicekit.volume import Volume
from slicekit.windows import ABDOMEN

NAMES = LabelSet({"left_half": 1, "front": 2})
AFFINE = np.array([[0, 0, -2.0, 0], [0, -1.0, 0, 0], [5.0, 0, 0, 0], [0, 0, 0, 1]])


def scene(shape=(12, 30, 20)):
    """A bright box in air; toward the left (high x) lies 1, at the front (low y) lies 2."""
    image = np.full(shape, -1000, np.int16)
    z, y, x = (size // 4 for size in shape)
    image[:, y : shape[1] - y, x : shape[2] - x] = 50
    labels = np.zeros(shape, np.uint8)
    labels[z : shape[0] - z, y : shape[1] - y, shape[2] // 2 : shape[2] - x] = 1
    labels[z : shape[0] - z, y : y + 1, x : shape[2] - x] = 2
    return Volume(image, AFFINE), Volume(labels, AFFINE)


def test_the_picture_is_a_png_on_a_dark_ground(tmp_path):
    image, labels = scene()
    guides = [(4, "largest area", ["left_half"]), (7, "end slice", ["front", "left_half"])]
    path = write_preview(
        tmp_path / "case.png", image, labels, NAMES, window=ABDOMEN, guides=guides, n_slices=3
    )
    with Image.open(path) as picture:
        picture.load()
        assert picture.format == "PNG"
        assert max(picture.convert("RGB").getpixel((0, 0))) < 40
    assert [file.name for file in tmp_path.iterdir()] == ["case.png"]


def texts(figure):
    own = [text.get_text() for text in figure.texts]
    return own + [text.get_text() for axes in figure.axes for text in axes.texts]


def test_legend_and_captions_say_what_is_there():
    image, labels = scene()
    figure = draw_preview(
        image, labels, NAMES, window=ABDOMEN, guides=[(4, "largest area", ["front"])], n_slices=2
    )
    words = " | ".join(texts(figure))
    # 6 slices x 15 rows x 5 columns of 0.01 ml
    for part in ["left half", "4.5 ml", "guide 4", "largest area\nfront"]:
        assert part in words
    assert len(figure.axes) == 3 + 4  # two coronal and two sagittal slices


def test_without_a_spacing_the_legend_counts_voxels():
    image, labels = scene()
    source = FolderSource(Path("slices"), (), None, (0, 1), spacing_known=False)
    figure = draw_preview(replace(image, source=source), labels, NAMES, window=ABDOMEN)
    words = " | ".join(texts(figure))
    assert " vx" in words
    assert " ml" not in words
    assert "voxels of unknown size" in words


@pytest.mark.parametrize("shape", [(1, 9, 7), (3, 1, 40), (40, 2, 2), (2, 64, 16), (1, 1, 1)])
def test_odd_volumes_make_a_picture(tmp_path, shape):
    image, labels = scene(shape)
    guides = [(0, "the only slice", ["front"]), (99, "not there", [])]
    write_preview(tmp_path / "odd.png", image, labels, NAMES, window=ABDOMEN, guides=guides)
    assert (tmp_path / "odd.png").stat().st_size > 1000


def test_an_empty_label_map_makes_a_picture_that_says_so(tmp_path):
    image, labels = scene()
    empty = labels.with_array(np.zeros_like(labels.array))
    write_preview(tmp_path / "empty.png", image, empty, NAMES, window=ABDOMEN)
    assert "nothing is labelled" in texts(draw_preview(image, empty, NAMES, window=ABDOMEN))


def test_names_are_no_formulas_and_may_be_in_any_script(tmp_path):
    image, labels = scene()
    odd = LabelSet({"$x_{": 1, "肝臓": 2})
    guides = [(5, "reason with $\\frac{", ["$x_{"])]
    write_preview(tmp_path / "$a^{肝.png", image, labels, odd, window=ABDOMEN, guides=guides)
    assert (tmp_path / "$a^{肝.png").is_file()


def test_more_organs_than_fit_are_counted():
    names = LabelSet({f"organ_{i}": i for i in range(1, 61)})
    labels = Volume(np.arange(64, dtype=np.uint8).reshape(4, 4, 4), AFFINE)
    image = Volume(np.zeros((4, 4, 4)), AFFINE)
    assert "and 24 more" in texts(draw_preview(image, labels, names, window=ABDOMEN, n_slices=1))


def test_labels_of_another_grid_are_refused(tmp_path):
    image, labels = scene()
    with pytest.raises(GeometryError):
        write_preview(
            tmp_path / "x.png", image, Volume(labels.array[1:], AFFINE), NAMES, window=ABDOMEN
        )
    assert not list(tmp_path.iterdir())


def test_slices_are_spread_over_the_labelled_part():
    array = np.zeros((100, 2, 2), np.uint8)
    array[20:60] = 1
    assert spread_slices(array, 4) == [25, 35, 45, 55]
    assert spread_slices(array, 1000) == list(range(20, 60))
    assert spread_slices(np.zeros((10, 1, 1)), 2) == [2, 7]


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("flip_y", [False, True])
@pytest.mark.parametrize("flip_x", [False, True])
def test_every_orientation_is_shown_the_same_way(swap, flip_y, flip_x):
    image, labels = scene()
    expected = View.of(image, ABDOMEN, [5], labels)

    def turned(volume):
        array, affine = volume.array, np.array(volume.affine)
        for axis, flip in ((1, flip_y), (2, flip_x)):
            if flip:
                array = np.flip(array, axis)
                affine[:3, 3] += affine[:3, axis] * (array.shape[axis] - 1)
                affine[:3, axis] *= -1
        if swap:
            array, affine = np.swapaxes(array, 1, 2), affine[:, [0, 2, 1, 3]]
        return Volume(array, affine)

    view = View.of(turned(image), ABDOMEN, [5], turned(labels))
    np.testing.assert_array_equal(
        view.show(turned(labels).array[5]), expected.show(labels.array[5])
    )
    assert view.height_over_width == expected.height_over_width
    shown = expected.show(labels.array[5])
    assert shown[:, : shown.shape[1] // 2].max() == 2  # the patient's right is on the left: no 1
    assert (np.argwhere(shown == 2)[:, 0] < np.argwhere(shown == 1)[:, 0].min()).all()  # front up


def test_other_planes_have_true_proportions_and_the_head_up():
    image, labels = scene((12, 30, 20))  # 60 x 30 x 40 mm
    labels.array[-1, 15, 4] = 2  # at the head, on the patient's right: z and -x grow that way
    figure = draw_preview(image, labels, NAMES, window=ABDOMEN, n_slices=2)
    by_title = {axes.texts[0].get_text().split()[0]: axes for axes in figure.axes}
    assert by_title.keys() == {"slice", "coronal", "sagittal"}
    assert by_title["coronal"].get_aspect() == pytest.approx(5 / 2)
    assert by_title["sagittal"].get_aspect() == pytest.approx(5 / 1)
    coronal = View.of(
        along_plane(image, "coronal"), ABDOMEN, [15], along_plane(labels, "coronal"),
        plane="coronal",
    )  # fmt: skip
    shown = coronal.show(along_plane(labels, "coronal").array[15])
    row, column = np.argwhere(shown == 2)[0]
    assert row == 0
    assert column < shown.shape[1] / 2
    sagittal = along_plane(labels, "sagittal")
    view = View.of(along_plane(image, "sagittal"), ABDOMEN, [10], sagittal, plane="sagittal")
    columns = np.argwhere(view.show(sagittal.array[10]) == 2)[:, 1]
    assert columns.max() < 3  # the front is on the left


def test_a_stack_that_is_too_flat_has_one_plane():
    image, labels = scene((3, 300, 300))
    figure = draw_preview(image, labels, NAMES, window=ABDOMEN, n_slices=2)
    assert len(figure.axes) == 2
