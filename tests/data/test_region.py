"""A region holds its organ, and going there and back moves nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from slicekit.data.region import Region, box_of, union

SHAPE = (60, 80)


def around(box, *, spacing_mm=(1.0, 1.0), margin=0.0, least_mm=1.0, size=32, **options):
    return Region.around(
        box, spacing_mm=spacing_mm, margin=margin, least_mm=least_mm, size=size, **options
    )


def blob(centre=(30.0, 40.0), width=6.0):
    """A hill of height 1."""
    y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]
    away = (y - centre[0]) ** 2 + (x - centre[1]) ** 2
    return np.exp(-away / (2 * width**2)).astype(np.float32)


def there_and_back(region, plane):
    """The plane after a look through the region; 0 where the region does not reach."""
    out = np.zeros(plane.shape, np.float32)
    where, values = region.paste(region.cut(plane[None])[0], plane.shape)
    out[where] = values
    return out


STEP = st.floats(0.4, 5.0)


@st.composite
def boxes(draw):
    y0, x0 = draw(st.integers(0, 90)), draw(st.integers(0, 90))
    return y0, y0 + draw(st.integers(1, 60)), x0, x0 + draw(st.integers(1, 60))


@given(boxes(), STEP, STEP, st.floats(0, 1), st.floats(1, 100))
def test_a_region_is_square_in_mm_and_holds_its_box_with_the_margin(
    box, step_y, step_x, margin, least_mm
):
    region = around(box, spacing_mm=(step_y, step_x), margin=margin, least_mm=least_mm)
    y0, y1, x0, x1 = box
    wanted_mm = max((1 + 2 * margin) * max((y1 - y0) * step_y, (x1 - x0) * step_x), least_mm)
    assume(wanted_mm > max(step_y, step_x))
    assert abs(region.height * step_y - wanted_mm) <= 0.51 * step_y
    assert abs(region.width * step_x - wanted_mm) <= 0.51 * step_x
    assert region.top <= y0 and y1 <= region.top + region.height
    assert region.left <= x0 and x1 <= region.left + region.width
    assert abs(2 * region.top + region.height - y0 - y1) <= 1  # in the middle
    assert abs(2 * region.left + region.width - x0 - x1) <= 1


def test_a_small_organ_gets_the_smallest_side():
    region = around((10, 12, 20, 24), spacing_mm=(2.0, 1.0), margin=0.5, least_mm=40.0)
    assert (region.height, region.width) == (20, 40)
    assert around((10, 12, 20, 24), margin=0.5, least_mm=0.1).width == 8


def test_the_centre_is_shifted_by_shares_of_the_side():
    box, spacing = (20, 40, 20, 40), (1.0, 0.5)
    still = around(box, spacing_mm=spacing, margin=0.5)
    shifted = around(box, spacing_mm=spacing, margin=0.5, shift=(0.25, -0.1))
    assert (shifted.height, shifted.width) == (still.height, still.width) == (40, 80)
    assert (shifted.top - still.top, shifted.left - still.left) == (10, -8)


def test_a_voxel_larger_than_the_region_is_still_a_region():
    region = around((3, 4, 5, 6), spacing_mm=(30.0, 30.0), least_mm=1.0)
    assert (region.top, region.left, region.height, region.width) == (3, 5, 1, 1)


@pytest.mark.parametrize(
    "region",
    [
        Region(10, 20, 40, 40, 40),
        Region(10, 20, 40, 40, 97),
        Region(5, 12, 50, 56, 33),
        Region(-20, -10, 100, 100, 64),
        Region(8, 15, 45, 50, 128),
    ],
    ids=["as it is", "larger", "smaller", "beyond the slice", "larger, not square"],
)
def test_there_and_back_a_smooth_organ_keeps_its_place(region):
    plane = blob()
    back = there_and_back(region, plane)
    hill = plane > 0.5
    assert np.abs(back - plane)[hill].max() < 0.08
    centre = ndimage.center_of_mass(np.where(back > 0.3, back, 0))
    assert centre == pytest.approx((30.0, 40.0), abs=0.1)
    assert (back > 0.5).sum() == pytest.approx(hill.sum(), rel=0.06)


@given(st.integers(-50, 50), st.integers(-60, 60), st.integers(40, 70), st.integers(20, 96))
@settings(deadline=None)
def test_where_a_region_was_laid_does_not_move_what_it_shows(top, left, side, size):
    region = Region(top, left, side, side, size)
    hill = blob()
    back = there_and_back(region, hill)
    covered = np.zeros(SHAPE, bool)
    covered[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)] = True
    assert not back[~covered].any()
    inner = ndimage.binary_erosion(covered, iterations=5)  # away from the region's own edge
    assert np.abs(back - hill)[inner].max(initial=0) < 0.25


def test_a_region_as_large_as_its_pixels_is_a_plain_cut():
    plane = np.random.default_rng(0).random((2, *SHAPE), dtype=np.float32)
    cut = Region(7, 11, 32, 32, 32).cut(plane)
    np.testing.assert_allclose(cut, plane[:, 7:39, 11:43], atol=1e-6)
    assert cut.dtype == np.float32


def test_what_lies_beyond_the_slice_is_filled():
    ones = np.ones((1, *SHAPE), np.int16)
    cut = Region(-16, -8, 32, 32, 32).cut(ones, fill=-3.0)[0]
    assert (cut[:16] == -3).all() and (cut[:, :8] == -3).all()
    assert (cut[16:, 8:] == 1).all()


@pytest.mark.parametrize("shape", [(1, 20, 20), (3, 20, 20)])
def test_a_region_of_another_place_is_all_fill(shape):
    assert (Region(40, 40, 10, 10, 16).cut(np.ones(shape), fill=0.25) == 0.25).all()
    assert Region(40, 40, 10, 10, 16).cut(np.ones(shape)).shape == (shape[0], 16, 16)


@given(st.integers(-120, 120), st.integers(-120, 120), st.integers(1, 70), st.integers(1, 70))
@settings(deadline=None)
def test_a_pasted_plane_fits_the_place_it_names(top, left, height, width):
    where, values = Region(top, left, height, width, 32).paste(np.ones((32, 32)), SHAPE)
    canvas = np.zeros(SHAPE, np.float32)
    assert canvas[where].shape == values.shape
    canvas[where] = values
    rows = len(range(max(0, top), min(SHAPE[0], top + height)))
    columns = len(range(max(0, left), min(SHAPE[1], left + width)))
    assert np.count_nonzero(canvas) == rows * columns
    np.testing.assert_allclose(values, 1.0, atol=1e-5)


@pytest.mark.parametrize("corner", [(-60, 10), (10, -60), (75, 10), (10, 95), (75, 95)])
def test_a_region_wholly_outside_pastes_nothing(corner):
    (rows, columns), values = Region(*corner, 40, 40, 32).paste(np.ones((32, 32)), SHAPE)
    assert values.size == 0
    assert np.zeros(SHAPE)[rows, columns].shape == values.shape


def test_antialiasing_keeps_a_thin_line_visible_in_a_coarse_look():
    plane = np.zeros((1, 128, 128), np.float32)
    plane[:, :, 61] = 1
    cut = Region(0, 0, 128, 128, 32).cut(plane)[0]
    np.testing.assert_allclose(cut.sum(axis=1), 0.25, atol=0.01)  # a quarter of the pixels


def test_a_moved_region_sees_the_same_in_a_shifted_slice():
    region, plane = Region(4, 6, 30, 36, 48), blob((20, 24))
    shifted = np.zeros((80, 100), np.float32)
    shifted[9 : 9 + SHAPE[0], 5 : 5 + SHAPE[1]] = plane
    seen = region.moved(9, 5).cut(shifted[None])
    np.testing.assert_array_equal(seen, region.cut(plane[None]))
    assert region.moved(9, 5).moved(-9, -5) == region


@given(st.sets(st.tuples(st.integers(0, 9), st.integers(0, 12)), min_size=1))
def test_the_box_of_a_mask_holds_all_of_it_and_no_row_more(pixels):
    mask = np.zeros((10, 13), np.uint8)
    for y, x in pixels:
        mask[y, x] = 1
    y0, y1, x0, x1 = box_of(mask)
    assert mask[y0:y1, x0:x1].sum() == len(pixels)
    for edge in (mask[y0], mask[y1 - 1], mask[:, x0], mask[:, x1 - 1]):
        assert edge.any()


def test_an_empty_mask_has_no_box():
    assert box_of(np.zeros((4, 5), bool)) is None


def test_the_union_of_boxes_holds_each_of_them():
    assert union([(3, 5, 7, 9), (1, 4, 8, 20), (2, 3, 0, 1)]) == (1, 5, 0, 20)
    assert union([(3, 5, 7, 9)]) == (3, 5, 7, 9)
