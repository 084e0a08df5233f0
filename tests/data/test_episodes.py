"""Episodes: pseudo organs of allowed sizes that move with their slices, repeatable by seed."""

from __future__ import annotations

import numpy as np
import pytest

from slicekit.data.episodes import (
    Episodes,
    Regions,
    counterpart,
    cut_by,
    draw_change,
    regions_of,
)
from slicekit.data.slices import STEPS, CachedScan
from slicekit.errors import DatasetError
from slicekit.labels import IGNORE_ID
from slicekit.recipes import FewShotRecipe

SIZE = (64, 80)
SETTINGS = {"segments": 80, "regions": (30, 12), "least_px": 30, "most_share": 0.3}


def blocks(*, blank: tuple[int, ...] = ()) -> CachedScan:
    """Six slices: a body of 0.4 on air with three bright blocks, of which one moves with z."""
    slices = np.zeros((6, 64, 80))
    slices[:, 8:56, 8:72] = 0.4
    slices[:, 14:28, 14:30] = 0.9
    slices[:, 34:50, 16:34] = 0.7
    for z in range(6):
        slices[z, 20 + 2 * z : 36 + 2 * z, 46:62] = 1.0
    slices[list(blank)] = 0
    return CachedScan("blocks", np.rint(slices * STEPS).astype(np.int16), None, 5.0)


def episodes_of(*scans: CachedScan, **changes: object) -> Episodes:
    settings = FewShotRecipe.model_validate(SETTINGS | changes)
    regions = [regions_of(scan, cut_by(settings)) for scan in scans]
    return Episodes(scans, regions, settings=settings, size=SIZE)


@pytest.fixture(scope="module")
def episodes() -> Episodes:
    return episodes_of(blocks())


def test_no_pseudo_organ_is_empty_tiny_or_everything(episodes: Episodes) -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        for mask in episodes.draw(rng).masks:
            assert 30 <= (mask == 1).sum() <= 0.3 * 64 * 80
            assert set(np.unique(mask)) <= {0, 1, IGNORE_ID}


def test_one_seed_gives_one_episode(episodes: Episodes) -> None:
    one, same, other = (episodes.draw(np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(one.slices, same.slices)
    assert np.array_equal(one.masks, same.masks)
    assert not np.array_equal(one.slices, other.slices)


def test_support_and_query_are_changed_by_themselves(episodes: Episodes) -> None:
    drawn = episodes.draw(np.random.default_rng(1))
    assert drawn.slices.shape == drawn.masks.shape == (2, *SIZE)
    assert not np.array_equal(drawn.slices[0], drawn.slices[1])
    assert not np.array_equal(drawn.masks[0], drawn.masks[1])
    assert drawn.slices.min() >= 0 and drawn.slices.max() <= 1


def test_the_mask_moves_with_the_slice() -> None:
    image = np.zeros((1, *SIZE), np.float32)
    image[:, 20:40, 30:55] = 1
    rng = np.random.default_rng(5)
    for _ in range(10):
        changed, mask = draw_change(rng, SIZE).apply(image, image.astype(np.uint8))
        assert mask is not None
        bright, organ = changed[0] > 0.25, mask[0] == 1
        assert 2 * (bright & organ).sum() / (bright.sum() + organ.sum()) > 0.93


def test_changes_stay_within_what_was_published() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_change(rng, (256, 128)) for _ in range(200)]
    for name, low, high in (
        ("angle_deg", -5, 5), ("shear_deg", -5, 5), ("scale", 0.9, 1.2), ("gamma", 0.5, 1.5),
    ):  # fmt: skip
        values = [getattr(one, name) for one in drawn]
        assert low <= min(values) < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < max(values) <= high
    assert max(abs(one.shift_y) for one in drawn) * 256 == pytest.approx(5, abs=0.2)
    assert max(abs(one.shift_x) for one in drawn) * 128 == pytest.approx(5, abs=0.2)


def test_blank_slices_are_never_drawn() -> None:
    found = episodes_of(blocks(blank=(0, 3)))
    assert [z for _, z in found.places] == [1, 2, 4, 5]


def test_labels_are_not_looked_at() -> None:
    scan = blocks()

    class Forbidden(CachedScan):
        @property
        def labels(self) -> None:  # type: ignore[override]
            raise AssertionError("labels were read")

    bare = object.__new__(Forbidden)
    for name in ("name", "slices", "step_mm", "known_ids", "digest"):
        object.__setattr__(bare, name, getattr(scan, name))
    assert episodes_of(bare).draw(np.random.default_rng(0)).masks.any()


def test_neighbours_show_the_same_thing_on_two_slices() -> None:
    found = episodes_of(blocks(), support_query="neighbours")
    rng = np.random.default_rng(0)
    for _ in range(12):
        pair = None
        while pair is None:
            pair = found._pair(0, 2, 1, rng)
        (z, here), (beside, there) = pair
        assert z == 2 and beside in (1, 3)
        assert 2 * (here & there).sum() / (here.sum() + there.sum()) >= 0.5
    assert found.draw(rng).masks.shape == (2, *SIZE)


def test_a_neighbour_that_is_blank_is_none() -> None:
    found = episodes_of(blocks(blank=(1, 3)), support_query="neighbours")
    assert all(found._pair(0, 2, 1, np.random.default_rng(seed)) is None for seed in range(20))


def test_the_counterpart_overlaps_most() -> None:
    mask = np.zeros((6, 6), bool)
    mask[:, :3] = True
    regions = np.full((6, 6), 2, np.uint16)
    regions[:, :2] = 1
    best = counterpart(mask, regions)
    assert best is not None and np.array_equal(best, regions == 1)
    assert counterpart(mask, np.zeros((6, 6), np.uint16)) is None
    assert counterpart(mask[:, ::-1] & (np.arange(6) == 5), regions) is None  # Dice 6 / 15


def test_levels_come_back_from_two_bytes_a_pixel() -> None:
    fine = np.arange(1, 25).reshape(2, 3, 4)
    fine[1] -= 12
    fine[0, 0, 0] = 0
    coarse = (fine + 2) // 3 * (fine > 0)
    packed = Regions.of([fine, coarse])
    for level, wanted in enumerate((fine, coarse)):
        for z in range(2):
            assert np.array_equal(packed.at(z, level), wanted[z])
    assert packed.levels == 2
    assert packed.nbytes == 2 * fine.size + 2 * 2 * 2 * 13


def test_merged_levels_are_coarser_and_superpixels_are_one_level() -> None:
    merged = regions_of(blocks(), cut_by(FewShotRecipe.model_validate(SETTINGS)))
    counts = [len(np.unique(merged.at(2, level))) - 1 for level in range(2)]
    assert counts == [30, 12]
    plain = cut_by(FewShotRecipe.model_validate(SETTINGS | {"superpixels": "slic"}))
    assert regions_of(blocks(), plain).levels == 1


def test_nothing_to_learn_from_is_told() -> None:
    with pytest.raises(DatasetError, match="no slice of 1 scans has a region"):
        episodes_of(blocks(blank=tuple(range(6))))
    found = episodes_of(blocks(), least_px=3000, most_share=0.6)
    with pytest.raises(DatasetError, match="no pseudo organ of 3000 to 3072 pixels"):
        found.draw(np.random.default_rng(0))
