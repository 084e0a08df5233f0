"""Clips: a guide that is there, objects numbered from 1, and organs that end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from slicekit.data.clips import degrade, draw_clip
from slicekit.data.slices import CachedScan
from slicekit.errors import DatasetError
from slicekit.labels import IGNORE_ID
from slicekit.recipes import ClipRecipe

SIZE = (48, 64)
USUAL = ClipRecipe(gap_mm=(10, 30))


def clips(scans, recipe=USUAL, count=60, seed=0, **options):
    rng = np.random.default_rng(seed)
    return [draw_clip(scans, rng, recipe=recipe, size=SIZE, **options) for _ in range(count)]


@pytest.fixture(scope="module")
def drawn(scans):
    return clips(scans)


def objects_in(mask):
    return set(np.unique(mask).tolist()) - {0, IGNORE_ID}


def test_three_slices_of_one_size(drawn):
    for clip in drawn:
        assert clip.slices.shape == clip.objects.shape == (3, *SIZE)
        assert clip.guide.shape == SIZE
        assert clip.slices.dtype == np.float32
        assert clip.objects.dtype == clip.guide.dtype == np.uint8
        assert 0 <= clip.slices.min() <= clip.slices.max() <= 1


def test_objects_are_numbered_from_1_without_gaps(drawn):
    for clip in drawn:
        found = objects_in(clip.objects[0])
        assert found == set(range(1, len(found) + 1))
        assert len(found) <= USUAL.objects
        assert objects_in(clip.objects) <= found


def test_most_guides_hold_an_object_and_all_of_them_those_of_the_first_slice(drawn):
    for clip in drawn:
        assert objects_in(clip.guide) == objects_in(clip.objects[0])
    assert np.mean([bool(objects_in(clip.guide)) for clip in drawn]) > 0.9


def test_the_same_generator_gives_the_same_clips(scans, drawn):
    for one, other in zip(drawn[:10], clips(scans, count=10), strict=True):
        assert one.slices.tobytes() == other.slices.tobytes()
        assert one.objects.tobytes() == other.objects.tobytes()
        assert one.guide.tobytes() == other.guide.tobytes()


def scan_of_numbers(length=40, step_mm=2.0, organ=(0, 40)):
    """Slice z is z everywhere and, from the first to the last of ``organ``, holds one organ."""
    slices = np.broadcast_to(np.arange(length, dtype=np.int16)[:, None, None], (length, *SIZE))
    labels = np.zeros(slices.shape, np.uint8)
    labels[organ[0] : organ[1]] = 1
    return CachedScan("a", slices, labels, step_mm)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_organs_end_as_often_as_the_recipe_wishes(share):
    recipe = ClipRecipe(gap_mm=(2, 4), ending_share=share)
    some = clips([scan_of_numbers(organ=(5, 35))], recipe, count=300)
    ended = [objects_in(clip.objects[0]) and not objects_in(clip.objects[2]) for clip in some]
    # without wishing, a slice of thirty is followed by its end in about 10 % of the draws
    assert np.mean([bool(end) for end in ended]) == pytest.approx(0.1 + 0.9 * share, abs=0.08)


def test_guides_are_degraded_as_often_as_the_recipe_wishes(scans):
    for share in (0.0, 1.0):
        some = clips(scans, ClipRecipe(gap_mm=(10, 30), degrade_share=share), count=30)
        changed = [not np.array_equal(clip.guide, clip.objects[0]) for clip in some]
        assert np.mean(changed) == 0 if share == 0 else np.mean(changed) > 0.7


@pytest.mark.parametrize(("reach", "largest_mm"), [(1.0, 20.0), (0.0, 4.0)])
def test_gaps_are_millimetres_in_one_direction(monkeypatch, reach, largest_mm):
    seen = []

    def keep(slices):
        seen.append(slices[:, 0, 0].tolist())
        return slices.astype(np.float32)

    monkeypatch.setattr("slicekit.data.clips.unit_slices", keep)
    recipe = ClipRecipe(gap_mm=(4.0, 20.0), ending_share=0)
    clips([scan_of_numbers()], recipe, count=60, reach=reach)
    steps = 2.0 * np.diff(np.array(seen))
    inside = [where for where in seen if min(where) > 0 and max(where) < 39]
    assert len(inside) > 20
    gaps = 2.0 * np.diff(np.array(inside))
    assert (np.abs(gaps) >= 4).all()
    assert (np.abs(steps) <= largest_mm).all()
    assert (np.sign(gaps[:, 0]) == np.sign(gaps[:, 1])).all()
    assert {-1, 1} == set(np.sign(gaps[:, 0]).tolist())


def test_scans_without_labels_are_passed_over_and_alone_refused(scans):
    bare = CachedScan("bare", scans[0].slices, None, 10.0)
    empty = CachedScan("empty", scans[0].slices, np.zeros_like(scans[0].labels), 10.0)
    assert len(clips([bare, empty, scans[0]], count=10)) == 10
    with pytest.raises(DatasetError, match="no labelled organ to draw a clip from"):
        clips([bare, empty], count=1)


MASKS = arrays(np.uint8, (7, 8), elements=st.sampled_from([0, 0, 0, 1, 2, 3, IGNORE_ID]))


@given(MASKS, st.integers(0, 2**32 - 1))
def test_a_degraded_guide_never_loses_or_invents_an_object(guide, seed):
    before = guide.copy()
    degraded = degrade(guide, np.random.default_rng(seed))
    assert degraded.shape == guide.shape
    assert degraded.dtype == np.uint8
    assert objects_in(degraded) == objects_in(guide)
    assert np.array_equal(guide, before)
    assert np.array_equal(degraded, degrade(guide, np.random.default_rng(seed)))


def test_a_degraded_guide_moves_by_three_pixels_at_most_and_never_around_the_edge():
    guide = np.zeros((40, 40), np.uint8)
    guide[12:28, 0:14] = 1
    near = np.zeros_like(guide, dtype=bool)
    near[9:31, 0:17] = True
    kinds = set()
    for seed in range(40):
        degraded = degrade(guide, np.random.default_rng(seed))
        assert not degraded[~near].any()
        kinds.add(int(np.sign(int(degraded.sum()) - int(guide.sum()))))
    assert kinds == {-1, 0, 1}
