"""Shapes between drawn slices, and beyond them; every answer can be said beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from slicekit.inference.interpolate import interpolate, signed_distance
from slicekit.inference.stretch import Task
from slicekit.inference.walk import Gap, gaps

SHAPE = (70, 90)
SPACING = (3.0, 1.0, 1.0)


def disc(radius_mm, centre_mm=(35.0, 45.0), *, step=(1.0, 1.0), shape=SHAPE):
    y, x = (np.arange(n) * mm for n, mm in zip(shape, step, strict=True))
    away = (y[:, None] - centre_mm[0]) ** 2 + (x[None] - centre_mm[1]) ** 2
    return away <= radius_mm**2


NONE = np.zeros(SHAPE, bool)


def answers(guides, *, length=None, spacing_mm=SPACING, **task):
    """Slice to outline, over all gaps of the guides."""
    length = max(guides) + 1 if length is None else length
    return {
        outline.z: outline
        for gap in gaps(length, list(guides))
        for outline in interpolate(
            Task(gap, {z: guides[z] for z in (gap.left, gap.right) if z is not None}, **task),
            spacing_mm=spacing_mm,
        )
    }


def mask_of(outline, shape=SHAPE):
    out = np.zeros(shape, bool)
    where, plane = outline.paste(shape)
    out[where] = plane >= 128
    return out


def radius_of(outline, *, pixel_mm2=1.0, shape=SHAPE):
    return math.sqrt(mask_of(outline, shape).sum() * pixel_mm2 / math.pi)


def test_between_two_equal_discs_is_the_same_disc():
    found = answers({0: disc(14), 6: disc(14)})
    assert sorted(found) == [1, 2, 3, 4, 5]
    for outline in found.values():
        assert np.array_equal(mask_of(outline), disc(14))


@pytest.mark.parametrize("step", [(1.0, 1.0), (0.5, 1.0), (1.0, 0.5)])
def test_half_way_between_discs_of_10_and_20_mm_is_one_of_15(step):
    shape = tuple(round(70 / mm) for mm in step)
    small, large = (disc(r, (35.0, 35.0), step=step, shape=shape) for r in (10, 20))
    found = answers({0: small, 4: large}, spacing_mm=(5.0, *step))
    area = math.prod(step)
    assert radius_of(found[2], pixel_mm2=area, shape=shape) == pytest.approx(15, abs=max(step))
    sizes = [radius_of(found[z], pixel_mm2=area, shape=shape) for z in (1, 2, 3)]
    assert sizes == pytest.approx([12.5, 15, 17.5], abs=max(step))


def test_a_moving_disc_moves():
    found = answers({0: disc(12, (35, 40)), 4: disc(12, (35, 48))})
    centres = [ndimage.center_of_mass(mask_of(found[z])) for z in (1, 2, 3)]
    assert np.array(centres) == pytest.approx(np.array([(35, 42), (35, 44), (35, 46)]), abs=0.6)


@pytest.mark.parametrize("way", [1, -1])
def test_beyond_a_single_guide_the_disc_shrinks_as_the_cap_of_a_ball(way):
    radius, length = 18.0, 21
    first = 0 if way > 0 else length - 1
    found = answers({first: disc(radius)}, length=length)
    seen = {abs(z - first) * 3.0: radius_of(outline) for z, outline in found.items()}
    for away_mm, size in seen.items():
        if away_mm < radius - 3:
            assert size == pytest.approx(math.sqrt(radius**2 - away_mm**2), abs=1.2)
    assert min(seen) == 3.0
    assert radius - 3 <= max(seen) <= radius  # gone after its own radius


@pytest.mark.parametrize("slice_mm", [1.0, 2.5, 6.0])
def test_a_ball_is_gone_after_its_radius_in_mm_whatever_the_slices_are(slice_mm):
    found = answers({0: disc(15)}, length=40, spacing_mm=(slice_mm, 1, 1))
    last_mm = max(found) * slice_mm
    assert 15.5 - 2 * slice_mm <= last_mm <= 15.5
    assert sorted(found) == list(range(1, max(found) + 1))


def test_towards_a_slice_drawn_empty_the_object_shrinks_faster_and_ends_before_it():
    alone = answers({0: disc(20)}, length=20)
    towards = answers({0: disc(20), 4: NONE})
    assert set(towards) == {1, 2, 3}
    for z, outline in towards.items():
        assert (mask_of(outline) <= mask_of(alone[z])).all()
        assert mask_of(outline).sum() < mask_of(alone[z]).sum()
    from_right = answers({0: NONE, 4: disc(20)})
    for z in (1, 2, 3):
        assert np.array_equal(mask_of(from_right[z]), mask_of(towards[4 - z]))


def test_an_empty_slice_further_than_the_radius_changes_nothing():
    alone, far = answers({0: disc(9)}, length=30), answers({0: disc(9), 29: NONE})
    assert sorted(alone) == sorted(far)
    for z, outline in far.items():
        assert np.array_equal(outline.plane, alone[z].plane)


@pytest.mark.parametrize(("reach", "last"), [(1.0, 4), (2.5, 4), (6.0, 6), (20.0, 8)])
def test_an_object_ends_within_half_the_way_to_the_next_drawn_slice_inwards(reach, last):
    """But not within half of a ball of its own width, and at the latest where that ball ends."""
    found = answers({0: disc(25)}, length=40, reach=reach)
    assert sorted(found) == list(range(1, last + 1))


@given(
    st.integers(2, 30),
    st.floats(0.5, 8),
    st.sampled_from([(4, 4), (4, 12), (20, 6), (4, None), (None, 12), (None, None)]),
)
@settings(deadline=None)
def test_only_slices_of_the_gap_are_answered_in_rising_order(length, slice_mm, radii):
    guides = {
        z: NONE if radius is None else disc(radius)
        for z, radius in zip((3, 3 + length), radii, strict=True)
    }
    task = Task(Gap(3, 3 + length, range(4, 3 + length)), guides)
    found = list(interpolate(task, spacing_mm=(slice_mm, 1, 1)))
    zs = [outline.z for outline in found]
    assert zs == sorted(set(zs))
    assert set(zs) <= set(range(4, 3 + length))
    assert bool(zs) <= any(radius is not None for radius in radii)
    if None not in radii:
        assert zs == list(range(4, 3 + length))
    for outline in found:
        assert mask_of(outline).any()
        assert 0 <= outline.doubt <= 1
        assert outline.plane.dtype == np.uint8
        y0, y1, x0, x1 = outline.box
        assert outline.plane.shape == (y1 - y0, x1 - x0)
        assert outline.nbytes == outline.plane.size


def test_nothing_is_said_where_no_guide_shows_the_object():
    assert answers({0: NONE, 5: NONE}) == {}
    assert answers({2: NONE}, length=9) == {}
    neighbours = Task(Gap(2, 3, range(3, 3)), {2: disc(8), 3: disc(8)})
    assert list(interpolate(neighbours, spacing_mm=SPACING)) == []


def test_doubt_grows_with_the_distance_to_what_shows_the_object():
    between = answers({0: disc(10), 8: disc(10)})
    doubts = [between[z].doubt for z in range(1, 8)]
    assert doubts[:4] == sorted(set(doubts[:4]))
    assert doubts == pytest.approx(doubts[::-1])
    towards = answers({0: disc(30), 8: NONE})
    assert [towards[z].doubt for z in sorted(towards)] == sorted(
        {outline.doubt for outline in towards.values()}
    )
    thick = answers({0: disc(10), 8: disc(10)}, spacing_mm=(6, 1, 1))
    assert thick[4].doubt > between[4].doubt


@given(st.floats(3, 25), st.floats(3, 25), st.floats(-8, 8), st.integers(1, 4))
@settings(deadline=None, max_examples=40)
def test_a_plane_is_128_or_more_exactly_where_the_distance_is_positive(one, other, moved, z):
    guides = {0: disc(one), 5: disc(other, (35, 45 + moved))}
    found = answers(guides)
    share = z / 5
    a, b = (signed_distance(guides[end], (1.0, 1.0)) for end in (0, 5))
    wanted = (1 - share) * a + share * b
    sure = np.abs(wanted) > 1e-4  # rounding decides what lies on the outline itself
    if z not in found:  # small shapes that moved far have nothing in common half-way
        assert not (wanted[sure] > 0).any()
        return
    outline = found[z]
    assert np.array_equal(mask_of(outline)[sure], (wanted > 0)[sure])
    full = np.zeros(SHAPE, np.uint8)
    where, plane = outline.paste(SHAPE)
    full[where] = plane
    assert (full[wanted > 1.001] == 255).all()
    assert (full[wanted < -1.001] == 0).all()


def test_the_outline_lies_between_the_pixels():
    mask = np.zeros((7, 9), bool)
    mask[2:5, 3:6] = True
    signed = signed_distance(mask, (1.0, 1.0))
    assert ((signed > 0) == mask).all()
    assert signed[3, 2:7].tolist() == [-0.5, 0.5, 1.5, 0.5, -0.5]
    assert signed[3, 4] == 1.5
    wide = signed_distance(mask, (1.0, 4.0))
    assert wide[3, 1] == 0.5 - 8.0  # two columns of 4 mm away
    assert wide[0, 4] == 0.5 - 2.0


def test_an_object_at_the_edge_of_the_slice_stays_there():
    corner = disc(16, (0, 0))
    found = answers({0: corner, 4: corner})
    for outline in found.values():
        assert np.array_equal(mask_of(outline), corner)
    assert all(mask_of(o)[0, 0] for z, o in answers({0: corner}, length=20).items() if z < 4)


def test_an_object_that_fills_the_slice_does_so_between():
    full = np.ones(SHAPE, bool)
    found = answers({0: full, 4: full})
    assert sorted(found) == [1, 2, 3]
    assert all(mask_of(outline).all() for outline in found.values())


def test_where_it_is_cut_out_changes_nothing():
    near = answers({0: disc(8, (35, 45)), 4: disc(10, (35, 47))})
    far = answers({0: disc(8, (15, 20)), 4: disc(10, (15, 22))})
    for z in (1, 2, 3):
        assert np.array_equal(np.roll(mask_of(far[z]), (20, 25), (0, 1)), mask_of(near[z]))
