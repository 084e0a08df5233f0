"""Benchmarks keep their figures, and the page of numbers is made from them."""

from __future__ import annotations

import argparse
import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from slicekit.runtime import openvino_is_installed

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Open benchmark scripts as Python would, without running their ``main``."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield lambda name: runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name=name)
    for name in ("abdomen_val", "plain_training", "results_io", "textbook_loop"):
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


@pytest.fixture
def trained(phantoms: Any, make_recipe: Any) -> Any:
    """What a step of the smallest pair needs: recipe, labelled and unlabelled scans."""
    from slicekit.data.slices import cache_scan

    recipe = make_recipe(batch_unlabelled=2, cps={"weight": 0.5})
    cached = [
        cache_scan(f"phantom {n}", made.image, made.labels, recipe=recipe.input)
        for n, made in enumerate(phantoms)
    ]
    return recipe, cached[:2], cached[2:]


def test_the_plain_loop_minimises_the_same_loss_as_ours(scripts: Any, trained: Any) -> None:
    import torch

    from slicekit.inference.model import build_network
    from slicekit.training.cps import cps_step
    from slicekit.training.two_stream import TwoStreamBatches

    plain = scripts("plain_training")
    recipe, labelled, free = trained
    torch.manual_seed(0)
    network = build_network(recipe).eval()
    batch = TwoStreamBatches(labelled, phantoms=(), unlabelled=free, recipe=recipe)(3)
    ours = cps_step(network, batch, progress=0.1, average=network, training=recipe.training)
    weight = plain["weight_at"](0.1, recipe.training)
    assert weight == pytest.approx(float(ours.parts["weight"]))
    theirs = plain["PlainLoss"](14)(network, plain["plain_batch"](batch), weight)
    torch.testing.assert_close(theirs, ours.loss)


def test_the_plain_loop_averages_as_ours_does(scripts: Any, trained: Any) -> None:
    import torch

    from slicekit.inference.model import build_network
    from slicekit.training.average import follow

    network, one, other = (build_network(trained[0]) for _ in range(3))
    other.load_state_dict(one.state_dict())
    follow(one, network, decay=0.9)
    scripts("plain_training")["follow_plainly"](other, network, 0.9)
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], tensor)


def test_the_plain_loop_makes_batches_of_the_same_kind(scripts: Any, trained: Any) -> None:
    from slicekit.labels import IGNORE_ID

    recipe, labelled, free = trained
    batch = scripts("plain_training")["PlainBatches"](labelled, free, recipe)(0)
    assert batch.slices.shape == (4, 3, 48, 64)
    assert (batch.slices.min(), batch.slices.max()) == (0, 1)
    assert batch.labels.shape == (2, 48, 64)
    assert set(batch.labels.unique().tolist()) <= {*range(14), IGNORE_ID}
    assert (batch.labels > 0).any()
    assert batch.outside.shape == (2, 48, 64)
    assert not batch.outside.all()


@pytest.mark.filterwarnings("ignore:the pseudo labels hold")
def test_training_steps_are_timed_in_turn(scripts: Any, trained: Any) -> None:
    import torch

    from slicekit.runtime import Runtime

    step = scripts("training_step")
    runtimes = [Runtime(torch.device("cpu"), bf16=False, threads=1)]
    ways = step["ways_of"](*trained, runtimes, step["Block"](1, 1))
    assert list(ways) == [
        "ours float32", "ours float32, batches given", "peer", "peer, batches given",
    ]  # fmt: skip
    seconds = step["measure"](ways, 2)
    assert all(len(taken) == 2 and min(taken) > 0 for taken in seconds.values())


def test_a_way_of_training_is_compared_with_the_peer_of_its_kind(scripts: Any) -> None:
    seconds = {
        "ours bf16": [0.5, 9.0, 0.4], "ours bf16, batches given": [0.4],
        "peer": [2.0], "peer, batches given": [1.0],
    }  # fmt: skip
    rows = {row["way"]: row for row in scripts("training_step")["rows_of"](seconds, 8)}
    assert rows["ours bf16"]["slices_a_second"] == 16
    assert rows["ours bf16"]["times_faster"] == 4
    assert rows["ours bf16, batches given"]["times_faster"] == 2.5
    assert rows["peer"]["times_faster"] == rows["peer, batches given"]["times_faster"] == 1


def test_every_selector_and_the_control_are_scored(
    scripts: Any, trial_models: Path, phantoms: Any, tmp_path: Path
) -> None:
    import numpy as np
    import torch

    from slicekit.data.cases import Case
    from slicekit.inference.model import load_model
    from slicekit.inference.selection import SELECTORS
    from slicekit.io import write_labels, write_volume
    from slicekit.runtime import Runtime

    image, labels = phantoms[0].image, phantoms[0].labels.array
    scan = write_volume(tmp_path / "one.nii.gz", image)
    few = np.where(labels <= 3, labels, 0)
    case = Case("one", scan, write_labels(tmp_path / "truth.nii.gz", few, like=image))
    runtime = Runtime(torch.device("cpu"), bf16=False, threads=1)
    model = load_model(trial_models / "trial_reference.toml", runtime)
    script = scripts("guide_selectors")
    rows = script["rows_of"](script["score_selectors"](model, (case,)), ("liver", "spleen"))
    assert [row["selector"] for row in rows] == [*SELECTORS, "reference alone"]
    guides = {row["selector"]: row["guides_a_scan"] for row in rows}
    assert guides["uniform"] == guides["random"] > guides["reference alone"] == 0
    assert all(0 <= row["dsc_13_organs"] <= 1 for row in rows)
    figures = script["figures_of"](rows, "uniform")
    ahead = figures["uniform: dsc_8_organs"] - rows[-1]["dsc_8_organs"]
    assert figures["uniform minus reference alone: dsc_8_organs"] == ahead


def test_every_organ_is_kept_in_two_cases_that_hold_it(scripts: Any) -> None:
    import numpy as np

    draw = scripts("partial_labels")["draw_kept"]
    organs = ["liver", "spleen", "aorta", "stomach"]
    held = {f"case {n}": frozenset(organs) for n in range(5)}
    held["case 0"] = held["case 1"] = frozenset(organs[:3])  # two without a stomach
    drawn = draw(held, organs, count=2, rng=np.random.default_rng(0))
    assert drawn == draw(held, organs, count=2, rng=np.random.default_rng(0))
    assert drawn != draw(held, organs, count=2, rng=np.random.default_rng(1))
    assert all(len(set(names)) == 2 for names in drawn.values())
    for organ in organs:
        assert sum(organ in held[case] & set(names) for case, names in drawn.items()) >= 2
    with pytest.raises(ValueError, match="1 organs a case do not show each of 4 organs in 2 of 5"):
        draw(held, organs, count=1, rng=np.random.default_rng(0))


def test_withheld_organs_are_unknown_and_the_held_out_scans_whole(
    scripts: Any, phantoms: Any, tmp_path: Path
) -> None:
    import numpy as np

    from slicekit.data.cases import find_cases
    from slicekit.data.phantom import PHANTOM_LABELS
    from slicekit.io import read_labels, write_labels, write_volume

    data, folder = tmp_path / "data", tmp_path / "runs" / "data"
    for name, made in zip("abcd", phantoms, strict=True):
        write_volume(data / "imagesTr" / f"{name}_0000.nii.gz", made.image)
        write_labels(data / "labelsTr" / f"{name}.nii.gz", made.labels, like=made.image)
    organs = {"labels": {"background": 0, **PHANTOM_LABELS.ids}}
    (data / "dataset.json").write_text(json.dumps(organs))
    (data / "splits.json").write_text(json.dumps({"train": ["a", "b", "c"], "val": ["d"]}))
    script = scripts("partial_labels")
    chosen = {"group": "train", "held_out": "val", "count": 11, "seed": 0}
    kept = script["withhold"](data, folder, **chosen)
    assert script["withhold"](data, folder, **chosen) == kept  # made once
    dataset = find_cases(folder)
    for case, made in zip(dataset.cases, phantoms, strict=True):
        known = kept.get(case.name, PHANTOM_LABELS.names)
        assert case.labels_present == (frozenset(known) if case.name in kept else None)
        shown = np.isin(made.labels.array, [PHANTOM_LABELS.id_of(name) for name in known])
        wanted = np.where(shown, made.labels.array, 0)
        assert (read_labels(case.labels).array == wanted).all()
    plain = find_cases(script["without_note"](folder))
    assert all(case.labels_present is None for case in plain.cases)


def test_the_recipes_of_partial_labels_differ_in_the_loss_alone(scripts: Any) -> None:
    make = scripts("partial_labels")["recipe_of"]
    recipes = [make(way, steps=5, held_out="val") for way in ("marginal", "masked", "dice-only")]
    assert [one.training.partial for one in recipes] == ["marginal", "masked", "dice-only"]
    first, *others = [one.model_dump() for one in recipes]
    for other in others:
        assert other["training"].pop("partial") != first["training"]["partial"]
        assert other["training"] == {k: v for k, v in first["training"].items() if k != "partial"}
    assert recipes[0].training.phantoms == 0
    assert recipes[0].weights is None
