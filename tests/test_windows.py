"""Windows are monotone, stay inside [0, 1] and put their level in the middle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slicekit.errors import RecipeError, ShapeError
from slicekit.windows import PRESETS, Window, percentile_window, three_channels

WINDOWS = st.builds(
    Window, level_hu=st.floats(-2000, 2000), width_hu=st.floats(1, 4000, exclude_min=True)
)


@given(WINDOWS, st.lists(st.floats(-3000, 3000), min_size=2, max_size=20))
def test_windows_are_monotone_and_inside_0_and_1(window, values):
    shown = window.apply(np.sort(np.array(values)))
    assert shown.dtype == np.float32
    assert (np.diff(shown) >= 0).all()
    assert 0 <= shown.min() <= shown.max() <= 1


@given(WINDOWS)
def test_level_maps_to_a_half_and_the_range_to_0_and_1(window):
    low, high = window.range_hu
    ends = window.apply(np.array([low, window.level_hu, high]))
    # float32 knows 2000 HU to 0.0001
    np.testing.assert_allclose(ends, [0, 0.5, 1], atol=0.001)


def test_integers_are_shown_as_floats_and_stay_as_they_are():
    stored = np.array([-1024, 50, 3000], dtype=np.int16)
    np.testing.assert_array_equal(Window(50, 400).apply(stored), np.float32([0, 0.5, 1]))
    assert stored.tolist() == [-1024, 50, 3000]


@pytest.mark.parametrize(("level", "width"), [(0, 0), (0, -1), (np.nan, 1), (0, np.inf)])
def test_windows_that_cannot_be_meant_are_refused(level, width):
    with pytest.raises(RecipeError, match="a window needs"):
        Window(level, width)
    with pytest.raises(RecipeError):
        Window.from_range(100, 100)


def test_the_preset_is_the_union_of_the_named_windows():
    def union(*windows):
        ranges = [Window(level, width).range_hu for width, level in windows]
        return min(low for low, _ in ranges), max(high for _, high in ranges)

    abdomen, chest, bone = (window.range_hu for window in PRESETS["ct-body"])
    assert abdomen == union((400, 50), (150, 30))
    assert chest == union((1500, -600), (350, 50))
    assert bone == union((1800, 400))


def test_three_windows_are_three_channels_before_the_pixels():
    slices = np.linspace(-1000, 1000, 2 * 5 * 7).reshape(2, 5, 7)
    channels = three_channels(slices, PRESETS["ct-body"])
    assert channels.shape == (2, 3, 5, 7)
    for number, window in enumerate(PRESETS["ct-body"]):
        np.testing.assert_array_equal(channels[:, number], window.apply(slices))


def test_other_than_three_windows_or_pixels_are_refused():
    with pytest.raises(ShapeError, match="three windows"):
        three_channels(np.zeros((4, 4)), PRESETS["ct-body"][:2])
    with pytest.raises(ShapeError, match="y, x"):
        three_channels(np.zeros(4), PRESETS["ct-body"])


def test_the_percentile_window_leaves_out_outliers_and_knows_constant_images():
    values = np.arange(1001.0)
    assert percentile_window(values).range_hu == pytest.approx((5, 995))
    assert percentile_window(np.full((3, 3), 7.0)).range_hu == (7, 8)
