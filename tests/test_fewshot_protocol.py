"""The few-shot benchmark shares patients out, leaves slices out, and goes on where it stopped."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from slicekit.data.cases import Dataset
from slicekit.data.slices import CachedScan
from slicekit.labels import LabelSet
from slicekit.runtime import Runtime

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
ORGANS = LabelSet({"liver": 1, "right_kidney": 2, "left_kidney": 3, "spleen": 4, "aorta": 5})


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield runpy.run_path(str(BENCHMARKS / "fewshot_protocol.py"), run_name="fewshot_protocol")
    sys.modules.pop("results_io", None)


def dataset(count: int) -> Dataset:
    return Dataset(Path(), ORGANS, (), {"train": tuple(f"p{n}" for n in range(count))})


def scan(name: str, seed: int = 0) -> CachedScan:
    """Eight slices with a bright block; 1 is on slices 2 to 5, 2 on 4 to 7."""
    rng = np.random.default_rng(seed)
    slices = (rng.random((8, 48, 64)) * 1000 + 4000).astype(np.int16)
    slices[:, 10:30, 12:36] = 12000
    labels = np.zeros((8, 48, 64), np.uint8)
    labels[2:6, 10:30, 12:24] = 1
    labels[4:8, 10:30, 26:36] = 2
    return CachedScan(name, slices, labels, 5.0)


def test_every_patient_is_tested_once(script: dict[str, Any]) -> None:
    names = [f"p{n:02d}" for n in range(14)]
    folds = script["folds_of"](names)
    assert sorted(name for fold in folds for name in fold) == names
    assert sorted(map(len, folds)) == [2, 3, 3, 3, 3]


def test_setting_2_trains_once_a_group(script: dict[str, Any]) -> None:
    assert script["groups_of"](ORGANS.names) == [
        ("left_kidney", "right_kidney"), ("liver", "spleen"), ("aorta",),
    ]  # fmt: skip
    options = {"sources": ["none", "slic-25"], "settings": [1, 2], "folds": [0, 4]}
    runs = script["runs_of"](dataset(5), **options)
    assert len(runs) == 2 + 2 + 2 * 3  # nothing leaks where nothing is learnt
    assert len({run.name for run in runs}) == len(runs)


def test_slices_with_any_of_the_organs_are_left_out(script: dict[str, Any]) -> None:
    left = script["without"](scan("p"), frozenset({1, 2}))
    assert left.labels is None
    assert np.flatnonzero(left.slices.any(axis=(1, 2))).tolist() == [0, 1]
    one = script["without"](scan("p"), frozenset({1}))
    assert np.flatnonzero(one.slices.any(axis=(1, 2))).tolist() == [0, 1, 6, 7]
    assert np.array_equal(script["without"](scan("p"), frozenset()).slices, scan("p").slices)


def test_means_and_deviations_are_over_folds(script: dict[str, Any]) -> None:
    run = script["Run"]
    scores = {
        run("slic-25", 1, 0, ("liver", "spleen")): {"liver": 0.6, "spleen": 0.4},
        run("slic-25", 1, 1, ("liver", "spleen")): {"liver": 0.8, "spleen": 0.4},
        run("slic-25", 2, 0, ("liver",)): {"liver": 0.5},
        run("slic-25", 2, 0, ("spleen",)): {"spleen": 0.1},
    }
    rows = {(r["setting"], r["organ"]): r for r in script["table_of"](scores)}
    assert rows[1, "liver"]["dsc"] == pytest.approx(0.7)
    assert rows[1, "liver"]["deviation"] == pytest.approx(0.1)
    assert rows[1, "mean"]["dsc"] == pytest.approx(0.55)
    assert rows[1, "mean"]["deviation"] == pytest.approx(0.05)
    assert rows[2, "mean"]["dsc"] == pytest.approx(0.3)
    assert rows[2, "mean"]["folds"] == 1


def test_a_run_is_trained_scored_and_then_remembered(
    script: dict[str, Any], make_recipe: Any, tmp_path: Path
) -> None:
    shots = {"segments": 40, "regions": [12], "least_px": 20, "most_share": 0.5}
    made = make_recipe("fewshot", steps=1, batch=1, fewshot=shots)
    recipe = made.model_copy(update={"organs": {}})
    scans = {f"p{n}": scan(f"p{n}", n) for n in range(6)}
    runtime = Runtime(torch.device("cpu"), bf16=False, threads=1)
    options = {"scans": scans, "dataset": dataset(6), "recipe": recipe, "runtime": runtime}
    for source, setting in (("felzenszwalb", 1), ("slic-25", 2), ("none", 1)):
        run = script["Run"](source, setting, 0, ("liver",))
        found = script["one"](run, out=tmp_path, **options)
        assert found.keys() == {"liver"} and 0 <= found["liver"] <= 1
        kept = tmp_path / run.name / "scores.json"
        content = json.loads(kept.read_text())
        kept.write_text(json.dumps(content | {"dsc": {"liver": 0.123}}))
        assert script["one"](run, out=tmp_path, **options) == {"liver": 0.123}
