"""Episodes of drawn organs: who supports whom, where, and that nobody invents what is unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from slicekit.data.drawn_episodes import REACH, DrawnEpisodes, draw_pair, mask_of
from slicekit.data.slices import STEPS, CachedScan
from slicekit.errors import DatasetError
from slicekit.labels import IGNORE_ID
from slicekit.recipes import FewShotRecipe

SIZE = (48, 56)
LIVER, SPLEEN, KIDNEY = 1, 2, 3


def patient(name: str, **organs: Sequence[int]) -> CachedScan:
    """Draw boxes of 16 x 16 pixels on the slices named, of 24; each organ has its own place."""
    slices, labels = np.full((24, 48, 56), 0.3), np.zeros((24, 48, 56), np.uint8)
    for number, organ in enumerate(("liver", "spleen", "kidney"), start=1):
        for z in organs.get(organ, ()):
            box = (z, slice(16, 32), slice(2 + 18 * (number - 1), 18 * number))
            slices[box], labels[box] = 0.3 + 0.2 * number, number
    return CachedScan(name, np.rint(slices * STEPS).astype(np.int16), labels, 5.0)


def episodes_of(*scans: CachedScan, **changes: object) -> DrawnEpisodes:
    settings = FewShotRecipe.model_validate({"least_px": 100, "drawn_share": 1} | changes)
    return DrawnEpisodes(scans, settings=settings, size=SIZE)


def pairs(episodes: DrawnEpisodes, organ: int, count: int = 60):
    rng = np.random.default_rng(0)
    return [draw_pair(episodes.held[organ], rng) for _ in range(count)]


def test_the_mask_lies_on_the_organ_and_moves_with_it() -> None:
    found = episodes_of(patient("a", liver=range(5, 15)), patient("b", liver=range(8, 12)))
    rng = np.random.default_rng(1)
    for _ in range(10):
        drawn = found.draw(rng)
        assert drawn.slices.shape == drawn.masks.shape == (2, *SIZE)
        assert drawn.slices.min() >= 0 and drawn.slices.max() <= 1
        assert not np.array_equal(drawn.slices[0], drawn.slices[1])
        for image, mask in zip(drawn.slices, drawn.masks, strict=True):
            assert set(np.unique(mask)) <= {0, 1, IGNORE_ID}
            inside, outside = image[mask == 1], image[mask == 0]
            assert len(inside) >= 100
            assert np.median(inside) > outside.mean() + 0.05


def test_one_seed_gives_one_episode() -> None:
    found = episodes_of(patient("a", liver=range(5, 15)), patient("b", spleen=range(8, 12)))
    one, same, other = (found.draw(np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(one.slices, same.slices) and np.array_equal(one.masks, same.masks)
    assert not np.array_equal(one.slices, other.slices)


def test_organs_come_up_alike_however_rare_they_are() -> None:
    scans = [patient(str(n), liver=range(24)) for n in range(3)]
    found = episodes_of(*scans, patient("rare", kidney=[4]))
    rng = np.random.default_rng(0)
    # the kidney, 0.9, is the only thing so bright, and gamma is at most 1.5
    kidneys = sum(bool((found.draw(rng).slices[0] > 0.8).any()) for _ in range(60))
    assert 15 < kidneys < 45


def test_the_support_is_another_scan_at_the_same_place_in_the_organ() -> None:
    long, short = patient("long", liver=range(2, 22)), patient("short", liver=range(10, 15))
    found = episodes_of(long, short, patient("none", spleen=[1]))
    seen = pairs(found, LIVER, 300)
    assert {(support.name, query.name) for (support, _), (query, _) in seen} == {
        ("long", "short"), ("short", "long"),
    }  # fmt: skip
    places = {
        name: lambda z, low=low, count=count: (z - low + 0.5) / count
        for name, low, count in (("long", 2, 20), ("short", 10, 5))
    }
    for (support, there), (query, here) in seen:
        assert abs(places[support.name](there) - places[query.name](here)) <= REACH
    assert {here for _, (query, here) in seen if query.name == "long"} == set(range(2, 22))


def test_a_lonely_slice_stands_for_the_middle() -> None:
    found = episodes_of(patient("one", liver=[3]), patient("all", liver=range(6, 18)))
    supports = {z for (support, z), _ in pairs(found, LIVER) if support.name == "all"}
    assert supports == {10, 11, 12, 13}  # within a sixth of twelve slices of the middle
    assert {z for (support, z), _ in pairs(found, LIVER) if support.name == "one"} == {3}


def test_where_slices_are_few_the_nearest_supports() -> None:
    found = episodes_of(patient("ends", liver=[2, 20]), patient("all", liver=range(6, 18)))
    for (support, there), (_, here) in pairs(found, LIVER):
        if support.name == "ends":
            assert there == (2 if here < 12 else 20)


def test_one_scan_alone_supports_itself_near_and_far() -> None:
    found = episodes_of(patient("a", liver=range(4, 20)))
    apart = [abs(there - here) for (_, there), (_, here) in pairs(found, LIVER, 200)]
    assert min(apart) == 1 and max(apart) > 10


def test_one_slice_alone_is_support_and_query_each_changed_by_itself() -> None:
    found = episodes_of(patient("a", liver=[7]))
    assert {(one, other) for (_, one), (_, other) in pairs(found, LIVER)} == {(7, 7)}
    drawn = found.draw(np.random.default_rng(0))
    assert not np.array_equal(drawn.slices[0], drawn.slices[1])
    assert not np.array_equal(drawn.masks[0], drawn.masks[1])


def test_an_organ_that_nobody_looked_for_is_never_drawn_from_that_scan() -> None:
    both = patient("both", liver=range(4, 20), spleen=range(4, 20))
    half = replace(both, name="half", known_ids=frozenset({SPLEEN}))  # as if its liver were a slip
    found = episodes_of(both, half)
    assert [one.scan.name for one in found.held[LIVER]] == ["both"]
    assert [one.scan.name for one in found.held[SPLEEN]] == ["both", "half"]
    assert {s.name for (s, _), _ in pairs(found, LIVER)} == {"both"}


def test_what_nobody_knows_stays_unknown_in_the_mask() -> None:
    scan = patient("a", liver=[5, 6], spleen=[5])
    assert scan.labels is not None
    labels = scan.labels.copy()
    labels[:, :, 50:] = IGNORE_ID
    labels[6, 10:40, :20] = IGNORE_ID  # the liver of that slice, too
    scan = replace(scan, labels=labels)
    mask = mask_of(scan, 5, LIVER)
    assert mask.dtype == np.uint8
    assert (mask[:, 50:] == IGNORE_ID).all() and not (mask[:, 20:50] != 0).any()
    assert (mask == 1).sum() == 16 * 16
    drawn = episodes_of(scan).draw(np.random.default_rng(0))
    for one in drawn.masks:
        assert (one == IGNORE_ID).sum() > 100  # six columns, less what moved out, at least
    assert list(episodes_of(scan).held[LIVER][0].slices) == [5]


def test_slices_that_nobody_annotated_are_never_drawn() -> None:
    scan = patient("a", liver=range(24))
    assert scan.labels is not None
    labels = np.full_like(scan.labels, IGNORE_ID)
    labels[[4, 11]] = scan.labels[[4, 11]]
    found = episodes_of(replace(scan, labels=labels))
    seen = {z for pair in pairs(found, LIVER) for _, z in pair}
    assert seen == {4, 11}
    assert list(found.held) == [LIVER]


def test_organs_may_be_large_but_not_tiny() -> None:
    scan = patient("a", liver=range(4, 8), spleen=range(4, 8))
    assert scan.labels is not None
    labels = scan.labels.copy()
    labels[:, 2:46, 2:54] = np.where(labels[:, 2:46, 2:54] == SPLEEN, SPLEEN, LIVER)
    labels[:6][labels[:6] == SPLEEN] = 0
    labels[4, 20:25, 22:27] = SPLEEN  # 25 pixels
    found = episodes_of(replace(scan, labels=labels), most_share=0.01)
    assert list(found.held[SPLEEN][0].slices) == [6, 7]
    large = max((found.draw(np.random.default_rng(seed)).masks[0] == 1).mean() for seed in range(8))
    assert large > 0.3


def test_an_organ_that_never_fits_gives_way_to_another() -> None:
    scan = patient("a", liver=range(4, 8), spleen=range(4, 8))
    assert scan.labels is not None
    labels = scan.labels.copy()
    labels[labels == SPLEEN] = 0
    labels[4:8, 0:8, 0:13], labels[4:8, 40:48, 0:13] = SPLEEN, SPLEEN  # its middle is elsewhere
    settings = FewShotRecipe(least_px=100, drawn_share=1)
    small = DrawnEpisodes([replace(scan, labels=labels)], settings=settings, size=(14, 14))
    assert set(small.held) == {LIVER, SPLEEN}
    rng = np.random.default_rng(0)
    assert all(small.draw(rng).masks.shape == (2, 14, 14) for _ in range(4))


def test_where_nothing_is_drawn_it_is_said() -> None:
    bare = replace(patient("a", liver=[3]), labels=None)
    with pytest.raises(DatasetError, match="no slice of 1 scans shows a drawn organ of 100 pixels"):
        episodes_of(bare)
    with pytest.raises(DatasetError, match="drawn organ of 300 pixels"):
        episodes_of(patient("a", liver=[3]), least_px=300)
    with pytest.raises(DatasetError, match="nobody drew"):
        mask_of(bare, 3, LIVER)
    settings = FewShotRecipe(least_px=200, drawn_share=1)
    small = DrawnEpisodes([patient("a", liver=[3])], settings=settings, size=(10, 10))
    with pytest.raises(DatasetError, match="20 draws of each of 1 drawn organs gave none of 200"):
        small.draw(np.random.default_rng(0))
