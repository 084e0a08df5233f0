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
from slicekit.volume import Volume

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
ORGANS = LabelSet({"liver": 1, "right_kidney": 2, "left_kidney": 3, "spleen": 4, "aorta": 5})


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield runpy.run_path(str(BENCHMARKS / "fewshot_protocol.py"), run_name="fewshot_protocol")
    for name in ("fewshot_table", "pseudo_regions", "results_io"):
        sys.modules.pop(name, None)


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Open the benchmark of whole scans."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield runpy.run_path(str(BENCHMARKS / "fewshot_scans.py"), run_name="fewshot_scans")
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


def test_chosen_organs_bring_their_groups(script: dict[str, Any]) -> None:
    groups = script["chosen_groups"]
    assert groups(ORGANS.names, ()) == script["groups_of"](ORGANS.names)
    assert groups(ORGANS.names, ("spleen", "aorta")) == [("liver", "spleen"), ("aorta",)]
    options = {"sources": ["slic-25"], "folds": [0], "chosen": ("aorta",)}
    first, second = script["runs_of"](dataset(5), settings=[1, 2], **options)
    assert first.organs == ORGANS.names  # the same training, whatever is asked of it
    assert second.organs == ("aorta",)


def test_refused_regions_are_told_by_source(script: dict[str, Any], make_recipe: Any) -> None:
    def refused(source: str, **limits: Any) -> float:
        shots = {"segments": 40, "regions": [12], **limits}
        recipe = make_recipe("fewshot", fewshot=shots)
        return float(script["refused_of"](source, [scan("p")], recipe))

    assert np.isnan(refused("none"))
    assert refused("slic-25", least_px=1, most_share=1.0) == 0
    assert refused("slic-25", least_px=3000, most_share=1.0) == 1
    assert 0 < refused("felzenszwalb", least_px=600, most_share=1.0) <= 1


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


def test_cases_that_a_network_has_practised_on_are_refused(scans: dict[str, Any]) -> None:
    cards = {
        "one": {"trained_on": ["a_01"], "unlabelled": ["a_02"]},
        "other": {"trained_on": [], "unlabelled": []},
    }
    scans["expect_unseen"](["a_03", "b_01"], cards)
    for case in ("a_01", "a_02"):
        with pytest.raises(SystemExit, match=f"one has practised on {case}; choose other cases"):
            scans["expect_unseen"](["a_03", case], cards)
    with pytest.raises(SystemExit, match="card of third does not tell"):
        scans["expect_unseen"](["a_03"], {"third": {}})


def test_notes_say_what_was_practised_on(scans: dict[str, Any]) -> None:
    assert scans["series_of"]("chaos_t2_34") == "chaos_t2"
    assert scans["series_of"]("patient082_frame02") == "patient"
    card = {"trained_on": ["a_01", "a_02", "b_01"], "unlabelled": []}
    said = scans["practice_of"]("one", card, ["a_07", "a_08"])
    assert "practised on 3 scans (2 a, 1 b) with labels and no scan without" in said
    assert "Of those with labels 2 scans (2 a) are of the same series" in said
    free = {"trained_on": [], "unlabelled": ["a_01"]}
    assert "None with labels is of the same series" in scans["practice_of"]("o", free, ["a_07"])


def test_labels_are_laid_over_body_by_body(scans: dict[str, Any]) -> None:
    drawn = np.zeros((4, 20, 20), np.uint8)
    drawn[1:3, 6:8, 4:8] = 7  # in the body of rows 4 to 11, columns 4 to 11
    laid = scans["lay_over"](drawn, (8, 30, 30), ((4, 12, 4, 12), (10, 26, 8, 24)))
    wanted = np.zeros((8, 30, 30), np.uint8)
    wanted[2:6, 14:18, 8:16] = 7
    assert np.array_equal(laid, wanted)


def test_an_organ_that_the_query_lacks_counts_where_it_is_found(scans: dict[str, Any]) -> None:
    truth, found = np.zeros((2, 3, 8, 8), np.uint8)
    truth[1, :4, :4] = 1
    found[1, :4, :2] = 1
    found[1, 6:, 6:] = 2
    asked = ORGANS.subset(["liver", "right_kidney", "spleen", "aorta"])
    one, other = (Volume(array, np.eye(4)) for array in (found, truth))
    marks = scans["marks_of"](one, other, asked, known=["liver", "right_kidney", "spleen"])
    assert marks.dsc == {"liver": pytest.approx(2 * 8 / 24)}
    assert marks.absent == {"right_kidney": True, "spleen": False}  # nobody drew aortas


def test_the_published_protocol_stands_apart(scans: dict[str, Any]) -> None:
    marks, ways = scans["Marks"], scans["WAYS"]
    pair = {way: marks({"liver": 0.5, "spleen": 0.3}, {"aorta": True}) for way in ways}
    pair[scans["CARRIED"]] = marks({"liver": 0.7, "spleen": 0.3}, {"aorta": False})
    pair[scans["PROTOCOL"]] = marks({"liver": 0.9, "spleen": 0.7})
    second = {way: marks({"liver": 0.5}, {}) for way in pair}
    rows = scans["rows_of"]([pair, second])
    by_way = {row["way"]: row for row in rows}
    assert len({tuple(row) for row in rows}) == 1
    carried, last = by_way[scans["CARRIED"]], by_way[scans["PROTOCOL"]]
    assert carried["dsc"] == pytest.approx((0.6 + 0.3) / 2)
    assert (carried["absent_organs_found"], carried["absent_organs"]) == (0, 1)
    assert by_way[scans["ALONE"]]["absent_organs_found"] == 1
    assert last["absent_organs"] is None
    figures = scans["figures_of"](rows)
    assert figures["propagation_minus_alone"] == pytest.approx(0.05)
    assert figures["extent_known_dsc_of_its_slices_on_the_models_grid"] == pytest.approx(0.7)
