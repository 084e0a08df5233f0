"""A scan on an isotropic grid and back: what lies where stays there, for thick and thin slices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from slicekit.data.solid import Solid
from slicekit.errors import ShapeError
from slicekit.recipes import InputRecipe
from slicekit.volume import Volume

RECIPE = InputRecipe(windows=[[-300, 300]], spacing_mm=2.0)
WHOLE = RECIPE.model_copy(update={"body_above_hu": None})
STEPS = [0.6, 2.0, 3.3, 8.0]
"""Distances between slices, in mm."""


def scan(array, step_mm, pixel_mm=2.0):
    return Volume(array.astype(np.float32), np.diag([step_mm, pixel_mm, pixel_mm, 1.0]))


@pytest.mark.parametrize("step_mm", STEPS)
def test_the_grid_covers_the_block_of_the_scan(step_mm):
    image = scan(np.zeros((30, 20, 24)), step_mm, pixel_mm=1.5)
    solid = Solid.of(image, WHOLE)
    assert solid.size == (round(30 * step_mm / 2), 15, 18)
    assert solid.source_depth == 30
    assert Solid.of(scan(np.zeros((1, 1, 1)), 0.1, 0.1), WHOLE).size == (1, 1, 1)


def test_a_scan_that_lies_on_the_grid_is_not_changed():
    values = np.random.default_rng(0).uniform(-400, 400, (6, 8, 10))
    image = scan(values, 2.0)
    solid = Solid.of(image, WHOLE)
    seen = solid.to_model(image, WHOLE)
    np.testing.assert_allclose(seen, np.clip(values, -300, 300) / 600 + 0.5, atol=1e-5)
    back = dict(solid.slices_of(torch.from_numpy(seen)[None]))
    assert list(back) == list(range(6))
    for z, plane in back.items():
        np.testing.assert_allclose(plane[0].numpy(), seen[z], atol=1e-6)


@pytest.mark.parametrize("step_mm", STEPS)
def test_heights_are_kept_there_and_back(step_mm):
    """Intensity is the height in mm: every slice must be found at its own height."""
    count = 40
    height = (np.arange(count) + 0.5) * step_mm  # of the middle of a slice above the block's floor
    scale = 500 / (count * step_mm)
    image = scan(np.broadcast_to((height * scale - 250)[:, None, None], (count, 6, 6)), step_mm)
    solid = Solid.of(image, WHOLE)
    seen = solid.to_model(image, WHOLE)
    voxel_mm = count * step_mm / solid.depth
    found = (seen[:, 0, 0] * 600 - 300 + 250) / scale
    at = (np.arange(solid.depth) + 0.5) * voxel_mm
    inner = (at > step_mm) & (at < count * step_mm - step_mm) & (at > 2) & (at < at[-1] - 2)
    np.testing.assert_allclose(found[inner], at[inner], atol=0.05)
    back = np.array([float(p[0, 0, 0]) for _, p in solid.slices_of(torch.from_numpy(seen)[None])])
    back = (back * 600 - 50) / scale
    inner = (height > max(step_mm, 4)) & (height < height[-1] - 4)
    np.testing.assert_allclose(back[inner], height[inner], atol=0.05)


@pytest.mark.parametrize("step_mm", STEPS)
def test_an_edge_comes_back_to_its_slice(step_mm):
    values = np.full((50, 16, 16), -200.0)
    values[17:31, 4:12, 6:13] = 200
    image = scan(values, step_mm)
    solid = Solid.of(image, WHOLE)
    seen = torch.from_numpy(solid.to_model(image, WHOLE))[None]
    found = np.stack([plane[0].numpy() > 0.5 for _, plane in solid.slices_of(seen)])
    inside = np.flatnonzero(found[:, 8, 8])
    allowed = 0 if step_mm >= 2 else 1  # half a voxel of 2 mm is more than a slice of 0.6 mm
    assert abs(inside[0] - 17) <= allowed
    assert abs(inside[-1] - 30) <= allowed
    np.testing.assert_array_equal(found[24], values[24] > 0)


@pytest.mark.parametrize("step_mm", STEPS)
def test_labels_go_to_the_nearest_voxel(step_mm):
    ids = np.repeat(np.arange(1, 31, dtype=np.uint8), 4 * 4).reshape(30, 4, 4)
    solid = Solid.of(scan(np.zeros((30, 4, 4)), step_mm), WHOLE)
    found = solid.labels_to_model(ids)
    assert found.shape == solid.size
    middle = (np.arange(solid.depth) + 0.5) * 30 / solid.depth  # in slices
    np.testing.assert_array_equal(found[:, 0, 0], np.floor(middle) + 1)
    with pytest.raises(ShapeError, match="labels must be"):
        solid.labels_to_model(ids[:5])


def test_only_the_body_lies_on_the_grid():
    values = np.full((10, 30, 40), -1000.0)
    values[:, 5:25, 9:33] = 50
    image = scan(values, 2.0)
    solid = Solid.of(image, RECIPE)
    assert solid.size[0] == 10
    assert solid.size[1] < 30
    assert solid.size[2] < 40
    y0, y1, x0, x1 = solid.in_plane.box
    seen = solid.to_model(image, RECIPE)
    np.testing.assert_allclose(seen[4], np.clip(values[4, y0:y1, x0:x1], -300, 300) / 600 + 0.5)
    with pytest.raises(ShapeError, match="solid must be"):
        next(solid.slices_of(torch.zeros(1, 3, 3, 3)))
