"""The recipe's grid covers the body, whatever the intensities were clipped to."""

from __future__ import annotations

import numpy as np
import pytest

from slicekit.data.grid import InPlane
from slicekit.errors import ShapeError
from slicekit.recipes import InputRecipe
from slicekit.volume import Volume

RECIPE = InputRecipe(windows=((-125, 275), (0, 160), (90, 260)), spacing_mm=3.0)
WHOLE = RECIPE.model_copy(update={"body_above_hu": None})


def box_in_air(size=(4, 60, 80), *, spacing_mm=(5.0, 1.5, 2.0), box=(20, 40, 10, 50)):
    array = np.full(size, -1000, np.int16)
    y0, y1, x0, x1 = box
    array[:, y0:y1, x0:x1] = 40
    return Volume(array, np.diag([*spacing_mm, 1.0]))


def test_the_box_is_the_body_and_its_size_that_of_the_recipe():
    grid = InPlane.of(box_in_air(), RECIPE)
    assert grid.source_size == (60, 80)
    assert grid.box == (18, 42, 8, 52)
    # 24 rows of 1.5 mm and 44 columns of 2 mm, at 3 mm
    assert grid.model_size == (12, 29)


def test_without_a_threshold_the_slice_stays_whole():
    grid = InPlane.of(box_in_air(), WHOLE)
    assert grid.box == (0, 60, 0, 80)
    assert grid.model_size == (30, 53)


def test_a_clipped_scan_has_the_same_grid(phantoms):
    for made in phantoms:
        clipped = made.image.with_array(np.clip(made.image.array, -125, 275))
        assert InPlane.of(clipped, RECIPE) == InPlane.of(made.image, RECIPE)


@pytest.mark.parametrize("spacing_mm", [0.4, 1.0, 3.0, 7.3, 500.0])
def test_image_and_labels_have_one_size_at_any_spacing(spacing_mm):
    recipe = RECIPE.model_copy(update={"spacing_mm": spacing_mm})
    volume = box_in_air()
    grid = InPlane.of(volume, recipe)
    assert min(grid.model_size) >= 1
    assert grid.to_model(volume.array[0]).shape == grid.model_size
    assert grid.labels_to_model(volume.array[0] > 0).shape == grid.model_size


def test_at_the_scan_s_own_spacing_nothing_changes():
    volume = box_in_air(spacing_mm=(5.0, 3.0, 3.0))
    grid = InPlane.of(volume, RECIPE)
    np.testing.assert_array_equal(grid.to_model(volume.array[1]), grid.crop(volume.array[1]))
    mask = (volume.array[1] > 0).astype(np.uint8) * 7
    np.testing.assert_array_equal(grid.labels_to_model(mask), grid.crop(mask))


def test_labels_keep_their_ids_and_lie_where_the_image_does():
    volume = box_in_air(spacing_mm=(5.0, 1.0, 1.0))
    grid = InPlane.of(volume, WHOLE)
    mask = np.where(volume.array[0] > 0, 255, 13).astype(np.uint8)
    sized = grid.labels_to_model(mask)
    assert sized.dtype == np.uint8
    assert set(np.unique(sized)) == {13, 255}
    shrunk = grid.to_model(volume.array[0])
    sure = (shrunk < -990) | (shrunk > 39)
    assert sure.mean() > 0.8
    np.testing.assert_array_equal((sized == 255)[sure], (shrunk > 0)[sure])


def test_slices_of_another_size_are_refused():
    grid = InPlane.of(box_in_air(), RECIPE)
    with pytest.raises(ShapeError, match=r"slice must be \(60, 80\), got \(80, 60\)"):
        grid.to_model(np.zeros((80, 60)))
