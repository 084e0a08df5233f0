"""Another axis in front: the same voxels at the same place in the patient."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slicekit.volume import Volume, along

SHAPE = (3, 4, 5)
OBLIQUE = np.array([[0.1, 0.3, -1.4, 12], [0.2, -1.9, 0.1, -30], [2.9, 0.2, 0.3, 7], [0, 0, 0, 1]])
ORDERS = {"z": (0, 1, 2), "y": (1, 0, 2), "x": (2, 0, 1)}


@pytest.fixture
def scan():
    return Volume(np.arange(60, dtype=np.int16).reshape(SHAPE), OBLIQUE)


def place_of(volume, index):
    return (volume.affine @ (*index, 1))[:3]


@pytest.mark.parametrize(("axis", "shape"), [("z", (3, 4, 5)), ("y", (4, 3, 5)), ("x", (5, 3, 4))])
def test_the_slices_of_an_axis_come_first_the_others_keep_their_order(scan, axis, shape):
    view = along(scan, axis)
    assert view.shape == shape
    for n in range(shape[0]):
        assert np.array_equal(view.array[n], np.take(scan.array, n, axis="zyx".index(axis)))


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_every_voxel_stays_at_its_place_in_mm(scan, axis):
    view, order = along(scan, axis), ORDERS[axis]
    for index in np.ndindex(*SHAPE):
        there = tuple(index[n] for n in order)
        assert view.array[there] == scan.array[index]
        np.testing.assert_allclose(place_of(view, there), place_of(scan, index), atol=1e-9)
    assert view.spacing_mm == pytest.approx([scan.spacing_mm[n] for n in order])
    assert view.voxel_ml == pytest.approx(scan.voxel_ml)


@given(
    st.sampled_from("zyx"),
    st.tuples(*[st.integers(1, 6)] * 3),
    st.integers(0, 2**16),
)
def test_any_affine_and_shape_keep_corners_in_place(axis, shape, seed):
    rng = np.random.default_rng(seed)
    matrix, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = matrix * rng.uniform(0.3, 6, 3)
    affine[:3, 3] = rng.uniform(-300, 300, 3)
    scan = Volume(rng.integers(0, 99, shape), affine)
    view, last = along(scan, axis), np.array(shape) - 1
    there = last[list(ORDERS[axis])]
    assert view.array[tuple(there)] == scan.array[tuple(last)]
    np.testing.assert_allclose(place_of(view, there), place_of(scan, last), atol=1e-6)


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_it_is_a_view_that_writes_through(scan, axis):
    view = along(scan, axis)
    assert np.shares_memory(view.array, scan.array)
    view.array[1, 2, 0] = -7
    assert np.count_nonzero(scan.array == -7) == 1


def test_axial_slices_are_the_scan_itself(scan):
    view = along(scan, "z")
    assert np.array_equal(view.array, scan.array)
    assert np.array_equal(view.affine, scan.affine)
    assert view.same_grid(scan)


def test_coronal_twice_is_where_it_began(scan):
    again = along(along(scan, "y"), "y")
    assert np.array_equal(again.array, scan.array)
    assert again.same_grid(scan, tolerance_mm=0)
