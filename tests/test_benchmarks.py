"""Benchmarks keep their figures, and the page of numbers is made from them."""

from __future__ import annotations

import argparse
import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slicekit.runtime import openvino_is_installed

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Open benchmark scripts as Python would, without running their ``main``."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield lambda name: runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name=name)
    for name in ("results_io", "textbook_loop"):
        sys.modules.pop(name, None)


def test_figures_come_back_with_command_and_machine(scripts: Any, tmp_path: Path) -> None:
    path = scripts("results_io")["write_result"](
        "one",
        title="One",
        figures={"mean DSC": 0.123456, "unknown": float("nan")},
        rows=[{"organ": "liver", "dsc": 0.5}],
        folder=tmp_path,
    )
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["figures"] == {"mean DSC": 0.1235, "unknown": None}
    assert content["rows"] == [{"organ": "liver", "dsc": 0.5}]
    assert "cores" in content["machine"] and "torch" in content["machine"]
    assert content["command"].startswith("python ")
    assert list(tmp_path.iterdir()) == [path]


def test_page_shows_every_figure_and_its_command(scripts: Any, tmp_path: Path) -> None:
    scripts("results_io")["write_result"](
        "one",
        title="Title",
        figures={"mean DSC": 0.5},
        rows=[{"organ": "left_kidney", "dsc": float("nan")}],
        notes=["A note."],
        command="python benchmarks/one.py",
        folder=tmp_path,
    )
    numbers = scripts("make_numbers")
    page = numbers["numbers_page"](numbers["read_results"](tmp_path))
    for text in ("## Title", "| mean DSC | 0.500 |", "| left kidney | - |", "A note."):
        assert text in page
    assert "```bash\npython benchmarks/one.py\n```" in page


def test_page_in_the_docs_is_up_to_date(scripts: Any) -> None:
    numbers = scripts("make_numbers")
    page = numbers["numbers_page"](numbers["read_results"]())
    assert numbers["PAGE"].read_text(encoding="utf-8") == page, "run `make numbers`"


def test_peer_scores_what_the_truth_holds(scripts: Any) -> None:
    import torch

    dice_score = scripts("peer_unet")["dice_score"]
    truth, guess = torch.zeros(4, dtype=torch.bool), torch.ones(4, dtype=torch.bool)
    assert dice_score(truth, guess) != dice_score(truth, guess)  # not a number: not evaluated
    truth[:2] = True
    assert dice_score(truth, guess) == pytest.approx(2 * 2 / 6)


def test_memory_is_read_the_same_both_ways(scripts: Any) -> None:
    figures = scripts("memory_read")["measure"](objects=2, slices=3, side=6, turns=1)
    assert figures["times_faster"] > 0
    assert figures["largest_error_millionths"] < 10


def test_the_textbooks_loop_and_ours_are_the_same_loop(scripts: Any, tmp_path: Path) -> None:
    import torch

    if not openvino_is_installed():
        pytest.skip("openvino and onnx (the extra cpu) are not installed")
    loop = scripts("propagation_loop")
    args = argparse.Namespace(preset="tiny", precision="float32", threads=1)
    before = torch.get_num_threads()
    with torch.inference_mode():
        frames = torch.rand(3, 3, 48, 64, generator=torch.manual_seed(0))
        masks = loop["discs"](2, 64)[:, :48]
        for every in (False, True):
            steps = loop["steps_of"](frames, masks, every=every, args=args, cache=tmp_path)
            seconds, agreed = loop["measure"](steps, 2)
            assert len(seconds) == 3 and min(agreed.values()) > 0.99
    torch.set_num_threads(before)


def test_guides_lie_at_the_middles_of_equal_parts(scripts: Any) -> None:
    import numpy as np

    few = scripts("few_slices")
    organ = np.zeros((20, 2, 2), bool)
    organ[4:14] = True
    assert few["middles"](organ, 1) == [9]
    assert few["middles"](organ, 5) == [5, 7, 9, 11, 13]
    organ[9] = False
    assert few["middles"](organ, 1) == []


def test_copying_reaches_as_far_beyond_as_between(scripts: Any) -> None:
    import numpy as np

    few = scripts("few_slices")
    organ = np.zeros((20, 2, 2), bool)
    organ[6:12] = True
    scan = few["Scan"]("one", None, {"liver": organ})
    copy = few["copied"](scan, {"liver": [7, 11]})["liver"]
    assert np.flatnonzero(copy.any(axis=(1, 2))).tolist() == list(range(5, 14))
    assert few["beyond"](copy, organ) == 1.5
    assert few["beyond"](organ, copy) == 0.0


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
