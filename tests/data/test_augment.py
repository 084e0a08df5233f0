"""A drawn change can be applied again, and moves image and mask alike."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from slicekit.data.augment import STRONG, TINTED, WEAK, Draw, Strength
from slicekit.errors import ShapeError
from slicekit.labels import IGNORE_ID

STILL = Strength(0, 0, 0, 0, 0, 0, 0, 0, 0)
GEOMETRY = Strength(gain=0, offset=0, noise=0, soften_share=0, bend_share=0.5)


@pytest.fixture(scope="module")
def slices():
    """Three unlike slices (3, 72, 96) with soft bright blobs, and the masks of what is bright."""
    rng = np.random.default_rng(0)
    images = ndimage.gaussian_filter(rng.random((3, 72, 96)), (0, 5, 5)).astype(np.float32)
    images = (images - images.min()) / (images.max() - images.min())
    return images, (images > 0.55).astype(np.uint8) * 3


def draws(strength, count=12, seed=0):
    rng = np.random.default_rng(seed)
    return [Draw.draw(rng, strength) for _ in range(count)]


@pytest.mark.parametrize("strength", [STRONG, WEAK, TINTED])
def test_the_same_draw_gives_the_same_pixels(slices, strength):
    for draw in draws(strength):
        images, masks = draw.apply(*slices)
        again, masks_again = draw.apply(*slices)
        assert images.tobytes() == again.tobytes()
        assert masks.tobytes() == masks_again.tobytes()
        alone, none = draw.apply(slices[0])
        assert none is None
        assert alone.tobytes() == images.tobytes()


def test_one_seed_gives_the_same_draws_and_the_input_stays(slices):
    before = [array.copy() for array in slices]
    assert draws(STRONG, seed=5) == draws(STRONG, seed=5) != draws(STRONG, seed=6)
    for draw in draws(STRONG):
        draw.apply(*slices)
    assert all(np.array_equal(a, b) for a, b in zip(before, slices, strict=True))


def test_image_and_mask_stay_registered(slices):
    """A mask made from the image before is one made from the image after."""
    for draw in draws(GEOMETRY, count=20):
        images, masks = draw.apply(*slices)
        # where the slice ends the image fades into the dark outside
        inside = np.stack([ndimage.binary_erosion(m != IGNORE_ID, iterations=2) for m in masks])
        made = (images > 0.55) * 3
        # a pixel beside the edge may fall on either side
        clear = inside & (np.abs(images - 0.55) > 0.05)
        assert clear.mean() > 0.4
        assert (made[clear] == masks[clear]).mean() > 0.999


@pytest.mark.parametrize("bend", [0.0, 1.0])
def test_all_slices_of_a_clip_are_moved_the_same(slices, bend):
    strength = Strength(gain=0, offset=0, noise=0, soften_share=0, bend_share=bend)
    same = np.repeat(slices[0][:1], 3, axis=0), np.repeat(slices[1][:1], 3, axis=0)
    for draw in draws(strength):
        assert draw.bend == bool(bend)
        images, masks = draw.apply(*same)
        assert not np.array_equal(images[0], same[0][0])
        for number in (1, 2):
            assert np.array_equal(images[0], images[number])
            assert np.array_equal(masks[0], masks[number])


def test_shapes_types_and_range_are_kept(slices):
    for draw in draws(STRONG, count=25):
        images, masks = draw.apply(*slices)
        assert images.shape == masks.shape == slices[0].shape
        assert (images.dtype, masks.dtype) == (np.float32, np.uint8)
        assert 0 <= images.min() <= images.max() <= 1
        assert set(np.unique(masks)) <= {0, 3, IGNORE_ID}


def test_no_strength_changes_nothing(slices):
    (draw,) = draws(STILL, count=1)
    images, masks = draw.apply(*slices)
    np.testing.assert_allclose(images, slices[0], atol=1e-6)
    np.testing.assert_array_equal(masks, slices[1])


def test_tints_move_nothing(slices):
    masks = slices[1]
    changed = 0
    for draw in draws(TINTED, count=20):
        images, moved = draw.apply(slices[0], masks)
        assert np.array_equal(moved, masks)
        changed += not np.allclose(images, slices[0], atol=0.02)
    assert changed > 15


def test_what_comes_in_from_outside_is_unknown(slices):
    far = Draw(0, 1, 0, 0, 0.25, False, 1, 0, 1, 0, 0, seed=1)
    images, masks = far.apply(*slices)
    assert (masks[:, :, :24] == IGNORE_ID).all()
    assert (masks[:, :, 25:] != IGNORE_ID).all()
    assert (images[:, :, :24] == 0).all()
    np.testing.assert_allclose(images[:, :, 24:], slices[0][:, :, :-24], atol=1e-5)


def test_nothing_is_ever_mirrored(slices):
    """Left stays left: the bright side of a ramp stays where it is."""
    ramp = np.tile(np.linspace(0, 1, 96, dtype=np.float32), (1, 72, 1))
    for draw in draws(STRONG, count=40):
        moved, _ = draw.apply(ramp)
        assert moved[..., 60:80].mean() > moved[..., 16:36].mean()


def test_draws_stay_within_their_strength():
    for strength in (WEAK, STRONG):
        for draw in draws(strength, count=200):
            assert abs(draw.angle_deg) <= strength.angle_deg
            assert abs(np.log(draw.scale)) <= strength.scale
            assert abs(draw.shear_deg) <= strength.shear_deg
            assert max(abs(draw.shift_y), abs(draw.shift_x)) <= strength.shift
            assert abs(draw.gain - 1) <= strength.gain
            assert abs(draw.offset) <= strength.offset
            assert 0 <= draw.noise <= strength.noise
    assert not any(draw.bend or draw.soften for draw in draws(WEAK, count=100))


def test_masks_of_another_shape_are_refused(slices):
    with pytest.raises(ShapeError, match="masks"):
        draws(STRONG)[0].apply(slices[0], slices[1][:2])
    with pytest.raises(ShapeError, match="images"):
        draws(STRONG)[0].apply(slices[0][0])
