"""Masks to contours and back: exact, whatever the reader does with several contours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.path import Path as Polygon

from slicekit.io.dicom.contours import fill, outlines

RING = np.zeros((9, 11), dtype=bool)
RING[1:8, 2:10] = True
RING[3:6, 4:7] = False
NESTED = np.zeros((15, 15), dtype=bool)
NESTED[1:14, 1:14] = True
NESTED[3:12, 3:12] = False
NESTED[5:10, 5:10] = True
NESTED[7, 7] = False


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    shape = draw(st.tuples(st.integers(1, 14), st.integers(1, 14)))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    return rng.random(shape) < draw(st.sampled_from([0.1, 0.4, 0.6, 0.9, 1.0]))


@given(masks())
def test_a_mask_comes_back_by_xor_and_by_or(mask: np.ndarray) -> None:
    contours = list(outlines(mask))
    assert np.array_equal(fill(contours, mask.shape), mask)
    either = np.zeros_like(mask)
    for contour in contours:
        either |= fill([contour], mask.shape)
    assert np.array_equal(either, mask)


@given(masks())
def test_another_test_of_inside_finds_the_same_centres(mask: np.ndarray) -> None:
    centres = np.argwhere(np.ones_like(mask))[:, ::-1]
    found = np.zeros(mask.size, dtype=bool)
    for contour in outlines(mask):
        found |= Polygon(np.vstack([contour, contour[:1]])).contains_points(centres)
    assert np.array_equal(found.reshape(mask.shape), mask)


def test_a_hole_belongs_to_the_contour_around_it() -> None:
    assert len(list(outlines(RING))) == 1
    assert len(list(outlines(NESTED))) == 2
    assert not list(outlines(np.zeros((3, 3), dtype=bool)))


def test_straight_sides_have_two_ends() -> None:
    box = np.zeros((20, 30), dtype=bool)
    box[4:15, 6:25] = True
    (corners,) = outlines(box)
    assert len(corners) == 8  # each corner of the box is cut off
    assert corners.min(axis=0) == pytest.approx([5.51, 3.51])
    assert corners.max(axis=0) == pytest.approx([24.49, 14.49])


def test_centres_on_the_path_are_inside() -> None:
    through_centres = np.array([[2.0, 1.0], [6.004, 1.0], [6.0, 4.0], [2.0, 3.996]])
    wanted = np.zeros((6, 9), dtype=bool)
    wanted[1:5, 2:7] = True
    assert np.array_equal(fill([through_centres], (6, 9)), wanted)
    point = np.array([[3.0, 2.0]])
    assert np.argwhere(fill([point], (6, 9))).tolist() == [[2, 3]]


def test_a_contour_in_another_is_a_hole_and_what_lies_beyond_is_left_out() -> None:
    outer = np.array([[-3.5, -2.5], [20.5, -2.5], [20.5, 3.5], [-3.5, 3.5]])
    inner = np.array([[1.5, 0.5], [3.5, 0.5], [3.5, 2.5], [1.5, 2.5]])
    wanted = np.ones((6, 8), dtype=bool)
    wanted[4:] = False
    wanted[1:3, 2:4] = False
    assert np.array_equal(fill([outer, inner], (6, 8)), wanted)
