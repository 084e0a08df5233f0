"""Cubes hold what they are cut about, at the right distances; their changes keep left and right."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import ndimage

from slicekit.data.patches import (
    PatchDraw,
    any_centre,
    cut_patch,
    draw_patches,
    foreground_centre,
)
from slicekit.data.slices import STEPS, CachedScan
from slicekit.labels import IGNORE_ID, LabelSet

LIVER, LEFT, RIGHT = 1, 2, 3
LABELS = LabelSet({"liver": LIVER, "left_kidney": LEFT, "right_kidney": RIGHT})


def ramp(step_mm, *, shape=(20, 30, 40), labelled=True):
    """A scan whose intensity is its height, its position in y or x does not matter."""
    height = np.linspace(0, STEPS, shape[0])[:, None, None]
    slices = np.broadcast_to(height, shape).astype(np.int16)
    labels = np.zeros(shape, np.uint8)
    labels[4:12, 5:25, 5:30] = LIVER
    labels[9, 20, 33] = RIGHT
    return CachedScan("ramp", slices, labels if labelled else None, step_mm)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_a_centre_is_a_voxel_of_an_organ_and_small_organs_are_drawn_as_often():
    scan, drawn = ramp(2.0), rng()
    centres = [foreground_centre(scan, drawn) for _ in range(200)]
    organs = Counter(int(scan.labels[centre]) for centre in centres)
    assert organs.keys() == {LIVER, RIGHT}
    assert organs[RIGHT] == pytest.approx(100, abs=25)


def test_where_nobody_drew_an_organ_there_is_no_centre_of_one():
    scan = ramp(2.0)
    empty = CachedScan("empty", scan.slices, np.zeros_like(scan.labels), 2.0)
    for one in (ramp(2.0, labelled=False), empty):
        assert foreground_centre(one, rng()) is None
    places = np.array([any_centre(scan, rng(seed)) for seed in range(50)])
    assert (places >= 0).all()
    assert (places < scan.slices.shape).all()
    assert len({tuple(place) for place in places}) > 40


@pytest.mark.parametrize("step_mm", [5.0, 2.0, 0.7])
@pytest.mark.parametrize("size", [(8, 16, 16), (9, 40, 50), (31, 8, 64)])
def test_a_cube_about_an_organ_holds_it(step_mm, size):
    scan, drawn = ramp(step_mm), rng(1)
    for _ in range(25):
        centre = foreground_centre(scan, drawn)
        image, ids = cut_patch(scan, centre, size, spacing_mm=2.0, rng=drawn)
        assert image.shape == ids.shape == size
        assert (image.dtype, ids.dtype) == (np.float32, np.uint8)
        assert int(scan.labels[centre]) in ids[size[0] // 2]


@pytest.mark.parametrize("step_mm", [5.0, 2.0, 0.5])
def test_planes_are_as_far_apart_as_the_recipe_says(step_mm):
    scan = ramp(step_mm)
    image, ids = cut_patch(scan, (10, 15, 20), (5, 8, 8), spacing_mm=2.0, rng=rng())
    at = 10 + np.arange(-2, 3) * 2.0 / step_mm  # in slices
    np.testing.assert_allclose(image[:, 0, 0], at / 19, atol=1e-4)
    assert image.std(axis=(1, 2)).max() < 1e-6
    assert [LIVER in plane for plane in ids] == [3.5 <= z < 11.5 for z in at]
    even, _ = cut_patch(scan, (10, 15, 20), (4, 8, 8), spacing_mm=2.0, rng=rng())
    np.testing.assert_array_equal(even, image[:4])


@pytest.mark.parametrize("step_mm", [2.0, 4.0])
def test_every_slice_has_its_labels_as_often_as_any_other(step_mm):
    scan = ramp(step_mm)
    numbered = np.broadcast_to(np.arange(1, 21, dtype=np.uint8)[:, None, None], scan.labels.shape)
    numbered = CachedScan("numbered", scan.slices, numbered, step_mm)
    image, ids = cut_patch(numbered, (9, 15, 20), (12, 8, 8), spacing_mm=2.0, rng=rng())
    _, counts = np.unique(ids[:, 0, 0], return_counts=True)
    assert (counts[1:-1] == round(step_mm / 2)).all()  # those at the ends may be cut
    heights = image[:, 0, 0] * 19 + 1
    assert (np.abs(ids[:, 0, 0] - heights) <= 0.51).all()


@pytest.mark.parametrize("step_mm", [5.0, 2.0])
def test_what_lies_outside_of_the_scan_is_unknown_and_dark(step_mm):
    scan = ramp(step_mm)
    size = (120, 50, 64)
    image, ids = cut_patch(scan, (0, 0, 0), size, spacing_mm=2.0, rng=rng(2))
    known = ids != IGNORE_ID
    assert (image[~known] == 0).all()
    assert known.any(axis=(1, 2)).sum() == pytest.approx(20 * step_mm / 2, abs=1)
    assert known.any(axis=(0, 2)).sum() == 30
    assert known.any(axis=(0, 1)).sum() == 40
    seen = np.flatnonzero(known.any(axis=(1, 2)))
    assert seen[0] == pytest.approx(59.5, abs=step_mm)  # the first slice lies in the middle


def test_slices_that_nobody_annotated_stay_unknown():
    scan = ramp(2.0)
    labels = scan.labels.copy()
    labels[::2] = IGNORE_ID
    partly = CachedScan("partly", scan.slices, labels, 2.0)
    _, ids = cut_patch(partly, (10, 15, 20), (5, 8, 8), spacing_mm=2.0, rng=rng())
    assert [(plane == IGNORE_ID).all() for plane in ids] == [True, False, True, False, True]
    _, ids = cut_patch(
        ramp(2.0, labelled=False), (10, 15, 20), (5, 8, 8), spacing_mm=2.0, rng=rng()
    )
    assert not ids.any()


def test_every_other_cube_is_about_an_organ_and_names_its_scan():
    """An organ so small that a cube about any voxel hardly ever holds it."""
    small = ramp(2.0, shape=(60, 60, 60))
    small.labels[small.labels == LIVER] = 0
    cubes = draw_patches([small], 40, (3, 3, 3), spacing_mm=2.0, rng=rng())
    assert [RIGHT in ids for _, ids, _ in cubes[::2]] == [True] * 20
    assert sum(RIGHT in ids for _, ids, _ in cubes[1::2]) <= 2
    assert all(scan is small for *_, scan in cubes)
    again = draw_patches([small], 40, (3, 3, 3), spacing_mm=2.0, rng=rng())
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(cubes, again, strict=True))


STILL = PatchDraw(False, False, 0.0, 0.0, 1.0, 0.0, seed=0)
FLIP_X = PatchDraw(False, True, 0.0, 0.0, 1.0, 0.0, seed=0)
ONE_SIDE = np.array([True, True, True, False])
"""Nobody looked for the right kidney."""


@pytest.fixture
def cube():
    """A cube of soft blobs; what is bright in its left half is a kidney, in its right another."""
    image = ndimage.gaussian_filter(rng().random((12, 16, 20)), 1.5).astype(np.float32)
    image = (image - image.min()) / (image.max() - image.min())
    mask = np.where(image > 0.55, np.where(np.arange(20) < 10, RIGHT, LEFT), 0).astype(np.uint8)
    mask[0] = IGNORE_ID
    return image, mask


def test_a_change_of_nothing_changes_nothing(cube):
    image, mask, known = STILL.apply(*cube, ONE_SIDE, labels=LABELS)
    np.testing.assert_array_equal(image, cube[0])
    np.testing.assert_array_equal(mask, cube[1])
    np.testing.assert_array_equal(known, ONE_SIDE)


def test_a_flip_along_x_exchanges_left_and_right_organs(cube):
    image, mask, known = FLIP_X.apply(*cube, ONE_SIDE, labels=LABELS)
    np.testing.assert_array_equal(image, cube[0][:, :, ::-1])
    for before, after in ((LEFT, RIGHT), (RIGHT, LEFT), (0, 0), (IGNORE_ID, IGNORE_ID)):
        np.testing.assert_array_equal(mask == after, (cube[1] == before)[:, :, ::-1])
    assert (mask[1:, :, :10] != LEFT).all()  # the right kidney lies where it lies in a body
    back = FLIP_X.apply(image, mask, known, labels=LABELS)
    pairs = zip(back, (*cube, ONE_SIDE), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)


def test_an_organ_drawn_on_one_side_alone_is_known_on_the_other_after_a_flip(cube):
    image, mask = cube
    left = np.where(mask == RIGHT, 0, mask)
    assert LEFT in left
    _, flipped, known = FLIP_X.apply(image, left, ONE_SIDE, labels=LABELS)
    assert known.tolist() == [True, True, False, True]
    assert all(known[number] for number in np.unique(flipped) if number != IGNORE_ID)


def test_a_flip_along_y_exchanges_nothing(cube):
    flip = PatchDraw(True, False, 0.0, 0.0, 1.0, 0.0, seed=0)
    image, mask, known = flip.apply(*cube, ONE_SIDE, labels=LABELS)
    np.testing.assert_array_equal(image, cube[0][:, ::-1])
    np.testing.assert_array_equal(mask, cube[1][:, ::-1])
    np.testing.assert_array_equal(known, ONE_SIDE)


def test_drawn_changes_keep_shape_and_range_and_can_be_applied_again(cube):
    before = [part.copy() for part in cube]
    drawn = [PatchDraw.draw(rng(seed)) for seed in range(80)]
    assert drawn == [PatchDraw.draw(rng(seed)) for seed in range(80)]
    for change in drawn:
        image, mask, _ = change.apply(*cube, ONE_SIDE, labels=LABELS)
        again = change.apply(*cube, ONE_SIDE, labels=LABELS)
        assert image.tobytes() == again[0].tobytes()
        assert mask.tobytes() == again[1].tobytes()
        assert image.shape == mask.shape == cube[0].shape
        assert (image.dtype, mask.dtype) == (np.float32, np.uint8)
        assert 0 <= image.min() <= image.max() <= 1
    assert all(np.array_equal(a, b) for a, b in zip(before, cube, strict=True))
    for name, usual in (("soften", 0.0), ("noise", 0.0), ("gamma", 1.0), ("offset", 0.0)):
        changed = sum(getattr(change, name) != usual for change in drawn)
        assert 2 <= changed <= 20, name  # a tenth
    for name in ("flip_x", "flip_y"):
        assert 6 <= sum(getattr(change, name) for change in drawn) <= 30  # a fifth
