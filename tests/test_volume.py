"""A volume knows where it lies, and cannot be an impossible one."""

from __future__ import annotations

import numpy as np
import pytest

from slicekit.errors import GeometryError, ShapeError
from slicekit.volume import Volume, expect_same_grid

SHAPE = (4, 5, 6)


def place(*, z=3.0, y=-2.0, x=-1.5, origin=(10, 20, 30)):
    """(z, y, x) run to the head, the back and the left."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = z, y, x, 1
    affine[:3, 3] = origin
    return affine


def volume(**where):
    return Volume(np.zeros(SHAPE, np.int16), place(**where))


def test_spacing_and_voxel_volume():
    scan = volume()
    assert scan.shape == SHAPE
    assert scan.spacing_mm == (3.0, 2.0, 1.5)
    assert scan.voxel_ml == pytest.approx(0.009)


def test_shearing_leaves_the_voxel_its_volume():
    sheared = place()
    sheared[:3, 2] += 0.4 * sheared[:3, 1]
    assert Volume(np.zeros(SHAPE), sheared).voxel_ml == pytest.approx(0.009)


def test_the_affine_is_a_copy_that_nobody_can_change():
    given = place()
    scan = Volume(np.zeros(SHAPE), given)
    given[0, 3] = 99
    assert scan.affine[0, 3] == 10
    with pytest.raises(ValueError, match="read-only"):
        scan.affine[0, 3] = 99


@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5, 6), (4, 0, 6)])
def test_other_than_three_filled_axes_are_refused(shape):
    with pytest.raises(ShapeError):
        Volume(np.zeros(shape), place())


@pytest.mark.parametrize("fault", [{"z": 0.0}, {"x": np.nan}, {"origin": (0, np.inf, 0)}])
def test_impossible_affines_are_refused(fault):
    with pytest.raises(GeometryError, match="finite and invertible"):
        volume(**fault)
    with pytest.raises(ShapeError, match="affine"):
        Volume(np.zeros(SHAPE), np.eye(3))


def test_other_values_stay_in_their_place_and_other_shapes_are_refused():
    scan = Volume(np.zeros(SHAPE), place(), source="file")
    ones = scan.with_array(np.ones(SHAPE, bool))
    assert ones.array.all()
    assert ones.source == "file"
    assert np.array_equal(ones.affine, scan.affine)
    with pytest.raises(ShapeError, match=r"\(4, 5, 6\)"):
        scan.with_array(np.ones((4, 5, 7)))


def test_grids_are_the_same_when_no_corner_is_farther_than_the_tolerance():
    scan = volume()
    assert scan.same_grid(volume(origin=(10.05, 20, 30)))
    assert not scan.same_grid(volume(origin=(10.2, 20, 30)))
    assert scan.same_grid(volume(origin=(10.2, 20, 30)), tolerance_mm=0.5)
    assert not scan.same_grid(volume(z=3.1))  # 0.3 mm at the last slice
    assert not scan.same_grid(Volume(np.zeros((4, 6, 5)), place()))


def test_another_grid_is_refused_with_both_names():
    scan = volume()
    expect_same_grid("labels", scan, scan, like_name="the image")
    other = Volume(np.zeros((4, 6, 5)), place())
    with pytest.raises(GeometryError, match=r"labels is \(4, 6, 5\).*the image is \(4, 5, 6\)"):
        expect_same_grid("labels", other, scan, like_name="the image")
    with pytest.raises(GeometryError, match="labels has the shape of the image but lies elsewhere"):
        expect_same_grid("labels", volume(x=1.5), scan, like_name="the image")
