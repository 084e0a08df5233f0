"""Benchmarks of superpixels: how they fit, how fast they are, what is drawn from them."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slicekit.data.episodes import Regions
from slicekit.data.slices import CachedScan
from slicekit.recipes import FewShotRecipe

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Open benchmark scripts as Python would, without running their ``main``."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    yield lambda name: runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name=name)
    for name in {file.stem for file in BENCHMARKS.glob("*.py")} & (set(sys.modules) - before):
        sys.modules.pop(name)


def test_fit_of_regions_is_that_of_the_best_and_of_all_mostly_inside(scripts: Any) -> None:
    quality = scripts("superpixel_quality")
    organs = np.zeros((20, 20), np.uint8)
    organs[:10] = 3
    labels = np.repeat([[1], [2], [3]], [8, 4, 8], axis=0).repeat(20, axis=1).astype(np.int32)
    assert list(quality["fits"](labels, organs)) == [(2 * 160 / 360, 2 * 160 / 360)]
    halves = np.where(np.arange(20) < 10, labels, labels + 3).astype(np.int32)
    assert list(quality["fits"](halves, organs)) == [(2 * 80 / 280, 2 * 160 / 360)]
    assert list(quality["fits"](labels, np.zeros_like(organs))) == []


def test_speed_is_told_as_ratios_to_the_peers(scripts: Any) -> None:
    speed = scripts("superpixel_speed")
    rates = dict.fromkeys(speed["METHODS"], (10.0, 10.0))
    rates["ours, 2 threads"] = (400.0, 200.0)
    rates["ours, 1 thread"] = (200.0, 200.0)
    rates["ours, masked, 1 thread"] = (160.0, 160.0)
    figures = speed["ratios"](rates)
    assert figures["times_felzenszwalb"] == figures["times_skimage_slic"] == 40
    assert (figures["two_threads_over_one"], figures["masked_costs_times"]) == (2.0, 1.25)
    assert figures["two_threads_over_one_by_cpu_time"] == 1.0
    assert figures["body_and_slic_times_felzenszwalb"] == 1.0


def test_memory_is_told_as_a_difference_between_few_and_many(scripts: Any) -> None:
    memory = scripts("superpixel_memory")
    few, many = memory["FEW"], memory["MANY"]
    peaks = {("whole", few): 90.0, ("whole", many): 92.5}
    assert memory["told"](peaks) == {
        "whole_50_slices_mb": 90.0,
        "whole_400_slices_mb": 92.5,
        "whole_mb_more_for_8_times_the_slices": 2.5,
    }
    assert memory["peak_mb"]("Name:\tpython\nVmHWM:\t  2048 kB\nVmRSS:\t  10 kB\n") == 2.0


def test_slices_are_repeated_in_their_order(scripts: Any) -> None:
    slices = np.arange(3, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), np.float32)
    found = scripts("superpixel_memory")["repeated"](slices, 5)
    assert found[:, 0, 0].tolist() == [0, 1, 2, 0, 1]


def test_regions_too_small_or_too_large_are_refused(scripts: Any) -> None:
    share = scripts("pseudo_regions")["refused_share"]
    settings = FewShotRecipe(least_px=10, most_share=0.5)
    fine = np.repeat([[1], [2], [3]], [1, 5, 14], axis=0).repeat(5, axis=1)[None]  # 5, 25, 70 px
    regions = Regions.of([fine, np.where(fine == 1, 2, fine)])  # then 30 and 70
    assert share([regions], settings=settings, size=(10, 10)) == (2 + 1) / 5
    assert np.isnan(share([], settings=settings, size=(10, 10)))


def test_the_published_rule_draws_numbers_that_no_pixel_bears(scripts: Any) -> None:
    drawn = scripts("pseudo_regions")["pixels_as_published"]
    rng = np.random.default_rng(0)
    scan = CachedScan("one", np.full((1, 48, 64), 8000, np.int16), None, 5.0)
    plane = np.zeros((48, 64), np.uint16)
    plane[10:30, 20:40] = 2  # 1 lay outside
    pairs = [drawn(scan, plane, 0, size=(48, 64), rng=rng) for _ in range(40)]
    empty = [pair for pair in pairs if pair == (0, 0)]
    assert 8 < len(empty) < 32
    assert all(200 < pixels < 800 for pair in pairs if any(pair) for pixels in pair)


def test_pairs_with_an_empty_or_tiny_mask_are_counted(scripts: Any) -> None:
    counted = scripts("pseudo_regions")["counted"]
    assert counted([(0, 0), (0, 300), (63, 300), (64, 300), (500, 400)]) == {
        "pairs": 5, "empty": 2, "tiny": 1, "smallest_px": 0, "median_px": 182.0,
    }  # fmt: skip


def test_both_ways_of_drawing_are_told_by_source(scripts: Any) -> None:
    draws = scripts("pseudo_organ_draws")
    row = {"source": "slic-25", "pairs": 200, "empty": 0, "tiny": 1}
    rows = [row | {"way": draws["OURS"]}, row | {"way": draws["PUBLISHED"], "empty": 5}]
    assert draws["figures_of"](rows) == {
        "slic-25_ours_empty_percent": 0.0,
        "slic-25_ours_tiny_percent": 0.5,
        "slic-25_as_published_empty_percent": 2.5,
        "slic-25_as_published_tiny_percent": 0.5,
    }


def test_our_rule_never_draws_below_what_is_allowed(scripts: Any, make_recipe: Any) -> None:
    shots = {"segments": 60, "regions": [12], "least_px": 30, "most_share": 0.5}
    recipe = make_recipe("fewshot", batch=1, fewshot=shots)
    slices = (np.random.default_rng(0).random((4, 48, 64)) * 1000 + 4000).astype(np.int16)
    slices[:, 10:30, 12:36] = 12000
    draws = scripts("pseudo_organ_draws")
    scan = CachedScan("one", slices, None, 5.0)
    rows = draws["draw_both"]([scan], "slic-merged", recipe, draws=20)
    assert [row["way"] for row in rows] == [draws["OURS"], draws["PUBLISHED"]]
    assert rows[0]["empty"] == 0 and rows[0]["smallest_px"] >= 30
    assert all(row["pairs"] == 20 for row in rows)
