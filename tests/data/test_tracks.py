"""Tracks: guides that show the organ, walks between them, neighbours that may be wrong."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicekit.data import tracks as module
from slicekit.data.slices import STEPS, CachedScan
from slicekit.data.tracks import UNKNOWN, Tracks, spoil
from slicekit.errors import DatasetError
from slicekit.labels import IGNORE_ID
from slicekit.recipes import TrackRecipe

SIZE = 48
PLAIN = TrackRecipe(
    size=SIZE, gap_mm=(4, 20), degrade_share=0, unknown_share=0, ending_share=0, least_mm=40
)
"""Nothing is spoilt, so what a track says can be compared with the scan."""


def recipe(**changes):
    return PLAIN.model_copy(update=changes)


def scan_of(organ=(0, 40), *, length=40, number=3, step_mm=2.0, name="a", side=16):
    """A square organ in some slices; slice z is z steps bright."""
    slices = np.broadcast_to(np.arange(length, dtype=np.int16)[:, None, None], (length, 64, 72))
    labels = np.zeros(slices.shape, np.uint8)
    labels[organ[0] : organ[1], 20 : 20 + side, 24 : 24 + side] = number
    return CachedScan(name, slices, labels, step_mm)


def draw(scans, wanted=PLAIN, *, count=40, seed=0, size=SIZE):
    rng, drawer = np.random.default_rng(seed), Tracks(scans, recipe=wanted, spacing_mm=2.0)
    return [drawer.draw(rng, size=size, slices=wanted.slices) for _ in range(count)]


def places(scans, wanted=PLAIN, *, count=400, seed=0):
    """Where tracks would lie."""
    rng, drawer = np.random.default_rng(seed), Tracks(scans, recipe=wanted, spacing_mm=2.0)
    return [place for _ in range(count) if (place := drawer._place(rng, wanted.slices)) is not None]


def arrays_of(track):
    return [np.asarray(getattr(track, field.name)).tobytes() for field in fields(track)]


@pytest.fixture(scope="module")
def drawn(scans):
    """Of phantoms, with everything that may happen to a track."""
    return draw(scans, TrackRecipe(size=SIZE, least_mm=80.0), count=60)


def test_guides_come_first_then_as_many_slices_as_the_recipe_says(scans):
    for slices in (1, 4):
        for track in draw(scans, recipe(slices=slices), count=5):
            assert track.slices.shape == (2 + slices, SIZE, SIZE)
            assert track.guides.shape == (2, SIZE, SIZE)
            assert track.neighbour.shape == (SIZE, SIZE)
            assert track.truth.shape == (slices, SIZE, SIZE)
            assert {a.dtype for a in (track.slices, track.guides, track.neighbour)} == {
                np.dtype(np.float32)
            }
            assert track.truth.dtype == np.uint8


def test_every_number_of_a_track_is_one_that_it_promises(drawn):
    for track in drawn:
        assert 0 <= track.slices.min() <= track.slices.max() <= 1
        assert set(np.unique(track.guides)) <= {0.0, 1.0}
        assert set(np.unique(track.truth)) <= {0, 1, IGNORE_ID}
        assert 0 <= track.neighbour.min() <= track.neighbour.max() <= 1


def test_the_first_guide_always_shows_the_organ(drawn):
    assert all(track.guides[0].any() for track in drawn)


def test_the_same_generator_gives_the_same_tracks(scans):
    usual = TrackRecipe(size=SIZE, least_mm=80.0)
    one, other = (draw(scans, usual, count=6, seed=5) for _ in range(2))
    assert [arrays_of(track) for track in one] == [arrays_of(track) for track in other]
    assert arrays_of(one[0]) != arrays_of(draw(scans, usual, count=1, seed=6)[0])


def test_what_nobody_knows_is_told_apart_in_the_truth_and_no_part_of_a_guide():
    plain = scan_of()
    labels = plain.labels.copy()
    labels[:, 12:44, 16:48][labels[:, 12:44, 16:48] == 0] = IGNORE_ID  # all around the organ
    hidden = replace(plain, labels=labels)
    for one, other in zip(draw([plain]), draw([hidden]), strict=True):
        np.testing.assert_array_equal(one.guides, other.guides)
        np.testing.assert_array_equal(one.truth == 1, other.truth == 1)
        assert (other.truth == IGNORE_ID).sum() > (one.truth == IGNORE_ID).sum()


def test_beyond_the_slice_nothing_is_known():
    edge = scan_of(side=40)  # reaches the edge of the slice with its margin
    tracks = draw([edge], recipe(margin=(1.0, 1.0)), count=10)
    assert all((track.truth == IGNORE_ID).any() for track in tracks)
    within = draw([scan_of(side=8)], recipe(margin=(0.0, 0.0), least_mm=16.0, shift=0), count=10)
    assert np.mean([(track.truth == IGNORE_ID).mean() for track in within]) < 0.12


def test_another_organ_is_background():
    scan = scan_of()
    labels = scan.labels.copy()
    labels[:, 20:36, 44:60] = 7
    alone, both = scan, replace(scan, labels=labels)
    tracks = draw([both], recipe(shift=0), count=20)
    assert {int(v) for track in tracks for v in np.unique(track.truth)} <= {0, 1, IGNORE_ID}
    share = np.mean([track.guides.mean() for track in tracks])
    assert share == pytest.approx(
        np.mean([track.guides.mean() for track in draw([alone], recipe(shift=0), count=20)]),
        rel=0.25,
    )


def test_an_unknown_neighbour_says_so_everywhere():
    for track in draw([scan_of()], recipe(unknown_share=1.0), count=8):
        assert (track.neighbour == UNKNOWN).all()
    for track in draw([scan_of()], recipe(unknown_share=0.0), count=8):
        assert not (track.neighbour == UNKNOWN).all()


def test_guides_are_degraded_as_often_as_the_recipe_wishes(monkeypatch):
    seen = []
    monkeypatch.setattr(module, "degrade", lambda mask, rng: seen.append(1) or mask)
    monkeypatch.setattr(module, "spoil", lambda mask, rng: mask.astype(np.float32))
    draw([scan_of()], recipe(degrade_share=0.0), count=10)
    assert not seen
    draw([scan_of()], recipe(degrade_share=1.0), count=10)
    assert len(seen) == 20


def test_tracks_have_two_guides_as_often_as_the_recipe_wishes():
    for share in (0.0, 1.0):
        found = places([scan_of()], recipe(between_share=share))
        assert {one.guides[0] != one.guides[1] for one in found} == {share == 1.0}
    for track in draw([scan_of()], recipe(between_share=0.0), count=5):
        np.testing.assert_array_equal(track.guides[0], track.guides[1])
        # the same slice but for noise that is drawn slice by slice
        assert np.abs(track.slices[0] - track.slices[1]).mean() < 0.06


@given(
    st.integers(0, 10_000),
    st.floats(0.3, 9),
    st.floats(1, 90),
    st.integers(1, 6),
    st.floats(0.5, 12),
)
@settings(deadline=None)
def test_a_walk_never_steps_onto_or_over_the_second_guide(seed, step_mm, gap_mm, n, between_mm):
    wanted = recipe(slices=n, step_mm=between_mm, gap_mm=(1.0, gap_mm), between_share=1.0)
    for place in places([scan_of(step_mm=step_mm)], wanted, count=30, seed=seed):
        first, second = place.guides
        low, high = min(first, second), max(first, second)
        assert place.before != second
        assert low <= place.before <= high
        assert all(low < z < high for z in place.walk)
        forwards = [(z - place.before) * np.sign(second - first) for z in place.walk]
        assert forwards == sorted(forwards) and forwards[0] > 0


@given(st.integers(0, 10_000), st.floats(0.3, 9), st.integers(1, 6))
@settings(deadline=None)
def test_a_walk_from_one_guide_goes_one_way_inside_the_scan(seed, step_mm, n):
    scan = scan_of(organ=(10, 30), step_mm=step_mm)
    wanted = recipe(slices=n, between_share=0.0, ending_share=0.5, gap_mm=(1, 30))
    for place in places([scan], wanted, count=30, seed=seed):
        assert 10 <= place.guides[0] == place.guides[1] < 30
        assert all(0 <= z < 40 for z in (place.before, *place.walk))
        steps = set(np.diff([place.before, *place.walk]).tolist())
        assert len(steps) == 1 and 0 not in steps
        assert (place.before - place.guides[0]) * steps.pop() >= 0


def test_gaps_are_millimetres():
    for step_mm in (1.0, 2.0, 5.0):
        wanted = recipe(between_share=1.0, gap_mm=(10, 20))
        apart = [
            abs(place.guides[0] - place.guides[1]) * step_mm
            for place in places([scan_of(step_mm=step_mm)], wanted)
        ]
        assert len(apart) > 50
        assert 10 - step_mm / 2 <= min(apart) <= max(apart) <= 20 + step_mm / 2


def test_steps_are_about_as_many_millimetres_as_the_recipe_says():
    steps = []
    for place in places([scan_of(step_mm=1.0)], recipe(between_share=0.0, step_mm=4.0)):
        steps += np.abs(np.diff(place.walk)).tolist()
    assert 2 <= min(steps) <= max(steps) <= 6
    assert np.mean(steps) == pytest.approx(4.0, abs=0.3)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_where_an_organ_ends_truths_become_empty_after_some_that_are_not(share):
    wanted = recipe(ending_share=share, between_share=0, slices=4, gap_mm=(2, 8), step_mm=4.0)
    tracks = draw([scan_of(organ=(10, 30))], wanted, count=80)
    held = np.array([[bool((one == 1).any()) for one in track.truth] for track in tracks])
    assert (np.diff(held.astype(int), axis=1) <= 0).all()  # gone for good
    assert np.mean(held[:, 0] & ~held[:, -1]) > 0.2
    assert np.mean(~held[:, -1]) > 0.9 if share else np.mean(~held[:, -1]) < 0.6


def test_a_neighbour_behind_the_end_says_as_often_as_the_recipe_wishes_that_it_holds_the_organ():
    said = {}
    for share in (0.0, 0.5, 1.0):
        wanted = recipe(
            ending_share=1.0, between_share=0.0, gap_mm=(2, 20), ghost_share=share, slices=1
        )
        tracks = draw([scan_of(organ=(12, 28))], wanted, count=120)
        # a walk of one slice steps off the organ: its neighbour is the last one or empty
        said[share] = np.mean([bool((track.neighbour > 0.5).any()) for track in tracks])
    assert said[0.0] < said[0.5] < said[1.0]
    assert said[1.0] > 0.9  # spoiling may wash one out


def test_a_guide_ahead_may_be_empty_where_the_organ_ends():
    scan = scan_of(organ=(10, 30))
    for share in (0.0, 1.0):
        wanted = recipe(between_share=1.0, ending_share=share, gap_mm=(20, 30))
        empty = [not track.guides[1].any() for track in draw([scan], wanted, count=30)]
        assert any(empty) == (share == 1.0)


def test_a_scan_of_many_structures_does_not_drown_the_others():
    few, many = scan_of(organ=(0, 4), name="few"), scan_of(organ=(0, 36), name="many")
    # 4 against 36 slices of organs: 2 to 6 by the square root
    drawer = Tracks([few, many], recipe=PLAIN, spacing_mm=2.0)
    assert drawer._weights == pytest.approx([0.25, 0.75])


def test_scans_without_labels_are_passed_over_and_alone_refused():
    scan = scan_of()
    bare = replace(scan, labels=None, name="bare")
    empty = replace(scan, labels=np.zeros_like(scan.labels), name="empty")
    assert [one.name for one in Tracks([bare, scan], recipe=PLAIN, spacing_mm=2.0).scans] == ["a"]
    assert len(draw([bare, empty, scan], count=3)) == 3
    with pytest.raises(DatasetError, match="no labelled organ to follow"):
        Tracks([bare, empty], recipe=PLAIN, spacing_mm=2.0)


def test_the_region_grows_with_the_organ():
    shares = []
    for side in (8, 32):
        tracks = draw([scan_of(side=side)], recipe(margin=(0.5, 0.5), least_mm=1.0), count=12)
        shares.append(np.mean([track.guides.mean() for track in tracks]))
    assert shares[0] == pytest.approx(shares[1], rel=0.35)  # a quarter of the region
    small = draw([scan_of(side=8)], recipe(least_mm=96.0), count=12)
    assert np.mean([track.guides.mean() for track in small]) < shares[0] / 3


def test_slices_and_masks_of_a_track_lie_on_one_another():
    scan = scan_of()
    bright = np.where(scan.labels > 0, STEPS, 0).astype(np.int16)
    for track in draw([replace(scan, slices=bright)], count=10):
        for image, mask in zip(track.slices[2:], track.truth, strict=True):
            known = mask != IGNORE_ID
            assert ((image > 0.5) == (mask == 1))[known].mean() > 0.97


@given(st.integers(0, 2**32 - 1), st.integers(4, 16), st.sampled_from([32, 48, 64]))
@settings(deadline=None)
def test_a_spoilt_mask_is_a_probability_and_leaves_the_mask_alone(seed, radius, size):
    y, x = np.ogrid[:size, :size]
    mask = ((y - size // 2) ** 2 + (x - size // 2) ** 2 < radius**2).astype(np.uint8)
    before = mask.copy()
    spoilt = spoil(mask, np.random.default_rng(seed))
    assert spoilt.shape == mask.shape and spoilt.dtype == np.float32
    assert 0 <= spoilt.min() <= spoilt.max() <= 1
    assert np.array_equal(mask, before)
    assert np.array_equal(spoilt, spoil(mask, np.random.default_rng(seed)))


def test_most_spoilt_masks_still_show_where_the_organ_is_and_few_are_perfect():
    y, x = np.ogrid[:64, :64]
    mask = ((y - 30) ** 2 + (x - 34) ** 2 < 15**2).astype(np.uint8)
    answers = [spoil(mask, np.random.default_rng(seed)) > 0.5 for seed in range(60)]
    dice = [2 * (one & (mask > 0)).sum() / (one.sum() + mask.sum()) for one in answers]
    assert np.median(dice) > 0.85
    assert min(dice) < 0.95
    assert np.mean(np.array(dice) == 1) < 0.3


def test_a_slice_nobody_annotated_is_no_empty_slice():
    """The organ is on every slice, so whatever is empty is unknown."""
    whole = scan_of()
    labels = whole.labels.copy()
    labels[np.arange(len(labels)) % 3 > 0] = IGNORE_ID
    tracks = draw([replace(whole, labels=labels)], recipe(ending_share=0.5, ghost_share=0.0))
    unknown = [bool((track.neighbour == UNKNOWN).all()) for track in tracks]
    assert {True, False} == set(unknown)
    for track, blind in zip(tracks, unknown, strict=True):
        assert all(guide.any() for guide in track.guides)
        assert blind or track.neighbour.any()
        assert (track.truth == 1).any()
