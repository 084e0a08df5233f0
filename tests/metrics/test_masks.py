"""Agreement of two masks whose answer is known before the test runs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from slicekit.errors import ShapeError
from slicekit.metrics import dice, hausdorff95, surface_dice

SPACING_MM = (2.0, 1.0, 1.0)


def ball(centre_mm=(30.0, 30.0, 30.0), radius_mm=16.0, spacing_mm=SPACING_MM, size_mm=64.0):
    axes = [np.arange(round(size_mm / step)) * step for step in spacing_mm]
    away = [(axis - middle) ** 2 for axis, middle in zip(axes, centre_mm, strict=True)]
    return away[0][:, None, None] + away[1][:, None] + away[2] <= radius_mm**2


def test_dice_of_known_overlaps():
    a, b = np.zeros((2, 1, 4), bool)
    a[0, :2], b[0, 1:3] = True, True
    assert dice(a, b) == 0.5
    assert dice(a, a) == 1.0
    assert dice(a, ~a) == 0.0


def test_empty_masks_follow_the_convention():
    full, empty = ball(), np.zeros_like(ball())
    kind = {"spacing_mm": SPACING_MM}
    assert dice(empty, empty) == 1.0
    assert dice(full, empty) == dice(empty, full) == 0.0
    assert surface_dice(empty, empty, tolerance_mm=1.0, **kind) == 1.0
    assert surface_dice(full, empty, tolerance_mm=1.0, **kind) == 0.0
    assert surface_dice(empty, full, tolerance_mm=1.0, **kind) == 0.0
    for pair in [(empty, empty), (full, empty), (empty, full)]:
        assert math.isnan(hausdorff95(*pair, **kind))


def test_a_mask_agrees_with_itself():
    organ = ball()
    assert surface_dice(organ, organ, spacing_mm=SPACING_MM, tolerance_mm=0.0) == 1.0
    assert hausdorff95(organ, organ, spacing_mm=SPACING_MM) == 0.0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_balls_shifted_by_d_are_d_apart_at_most(axis):
    # At angle t from the shift two spheres are d |cos t| apart, and cos t is uniform over a
    # sphere: 95 % of it lies within 0.95 d, and the share within a tolerance is tolerance / d.
    shift_mm = 8.0
    centre = [28.0, 30.0, 30.0]
    centre[axis] += shift_mm
    one, other = ball((28.0, 30.0, 30.0)), ball(tuple(centre))
    kind = {"spacing_mm": SPACING_MM}
    assert hausdorff95(one, other, **kind) == pytest.approx(0.95 * shift_mm, abs=1.0)
    assert surface_dice(one, other, tolerance_mm=shift_mm, **kind) == 1.0
    assert surface_dice(one, other, tolerance_mm=shift_mm / 2, **kind) == pytest.approx(
        0.5, abs=0.1
    )


def test_metrics_are_symmetric():
    one, other = ball(), ball((34.0, 28.0, 33.0), radius_mm=12.0)
    kind = {"spacing_mm": SPACING_MM}
    assert dice(one, other) == dice(other, one)
    assert hausdorff95(one, other, **kind) == hausdorff95(other, one, **kind)
    forth = surface_dice(one, other, tolerance_mm=2.0, **kind)
    assert forth == pytest.approx(surface_dice(other, one, tolerance_mm=2.0, **kind), abs=1e-12)


def test_scaling_the_spacing_scales_distances():
    one, other = ball(), ball((34.0, 30.0, 30.0))
    thrice = tuple(3 * step for step in SPACING_MM)
    near, far = (hausdorff95(one, other, spacing_mm=step) for step in (SPACING_MM, thrice))
    assert far == pytest.approx(3 * near, rel=1e-6)
    assert surface_dice(one, other, spacing_mm=thrice, tolerance_mm=6.0) == pytest.approx(
        surface_dice(one, other, spacing_mm=SPACING_MM, tolerance_mm=2.0), rel=1e-6
    )


def test_masks_may_touch_every_border():
    full = np.ones((4, 5, 6), bool)
    less = full.copy()
    less[:, :, -1] = False
    assert surface_dice(full, full, spacing_mm=SPACING_MM, tolerance_mm=0.1) == 1.0
    # Only the last face moved, by one voxel of 1 mm; its edges count as half moved
    assert hausdorff95(full, less, spacing_mm=SPACING_MM) == pytest.approx(1.0)
    assert 0.5 < surface_dice(full, less, spacing_mm=SPACING_MM, tolerance_mm=0.1) < 1.0
    assert surface_dice(full, less, spacing_mm=SPACING_MM, tolerance_mm=1.0) == 1.0


def test_the_place_in_the_grid_does_not_matter():
    small, inside = ball(radius_mm=6.0), np.zeros((70, 90, 80), bool)
    other = ball((34.0, 30.0, 30.0), radius_mm=6.0)
    beside = inside.copy()
    inside[10:42, 5:69, 3:67], beside[10:42, 5:69, 3:67] = small, other
    for tolerance_mm in (1.0, 3.0):
        assert surface_dice(
            small, other, spacing_mm=SPACING_MM, tolerance_mm=tolerance_mm
        ) == surface_dice(inside, beside, spacing_mm=SPACING_MM, tolerance_mm=tolerance_mm)


def test_the_surface_dice_is_that_of_monai():
    import torch
    from monai.metrics import compute_surface_dice

    one, other = ball(), ball((36.0, 27.0, 31.0), radius_mm=13.0)
    hot = [torch.from_numpy(mask.astype(np.float32))[None, None] for mask in (other, one)]
    with pytest.warns(FutureWarning, match="always_return_as_numpy"):  # MONAI's own call
        peer = compute_surface_dice(
            *hot, [3.0], spacing=SPACING_MM, include_background=True, use_subvoxels=True
        )
    ours = surface_dice(one, other, spacing_mm=SPACING_MM, tolerance_mm=3.0)
    assert ours == pytest.approx(float(peer), abs=1e-5)


def test_masks_of_different_shapes_are_refused():
    with pytest.raises(ShapeError):
        dice(np.zeros((2, 2), bool), np.zeros((2, 3), bool))
    with pytest.raises(ShapeError):
        surface_dice(
            np.zeros((2, 2), bool), np.zeros((2, 2), bool), spacing_mm=(1, 1), tolerance_mm=1
        )
