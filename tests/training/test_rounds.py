"""Rounds: what is labelled in one is learnt from in the next."""

from __future__ import annotations

import json
import logging
import re
import shutil
import signal

import pytest
import torch

from slicekit.checkpoint import load_weights, retrieve
from slicekit.data.annotations import FILE_NAME
from slicekit.data.cases import find_cases
from slicekit.errors import CheckpointError, DatasetError, DataWarning, RecipeError
from slicekit.recipes import parse_recipe
from slicekit.training import rounds
from slicekit.training.interrupt import Interrupted
from slicekit.training.pseudo import labelling
from slicekit.training.rounds import train_in_rounds

pytestmark = pytest.mark.filterwarnings("ignore::slicekit.errors.DataWarning")


@pytest.fixture
def go(dataset, tmp_path, make_recipe, runtime):
    """Train in rounds of a few steps; keywords change [training.rounds] or the call."""

    def run(name="run", *, role="reference", count=2, rules=("voxels>=1",), training=None, **call):
        asked = {"count": count} | ({} if rules is None else {"rules": list(rules)})
        usual = {"steps": 4, "batch_unlabelled": 1, "checkpoint_every": 2, "evaluate_every": 4}
        recipe = make_recipe(role, rounds=asked, **usual | (training or {}))
        words = {"data": dataset, "out": tmp_path / name, "runtime": runtime} | call
        return recipe, train_in_rounds(recipe, **words)

    return run


@pytest.fixture
def copied(dataset, tmp_path):
    """The dataset, to be changed."""
    return shutil.copytree(dataset, tmp_path / "data")


def test_pseudo_labels_are_learnt_from_and_true_ones_stay(go, dataset, tmp_path):
    told, made = [], []
    recipe, path = go(progress=lambda *step: told.append(step), labelled=made.append)
    run = tmp_path / "run"
    assert path == run / "tiny_reference.safetensors"
    stages = list(dict.fromkeys(stage for stage, *_ in told))
    assert stages == ["round 1", "prior", "label", "round 2"]
    assert told[:4] == [("round 1", n, 4) for n in range(1, 5)]
    assert told[-2:] == [("round 2", n, 2) for n in (1, 2)]
    (one,) = made
    assert one.folder == run / "round-2" / "dataset"
    assert one.judgements.keys() == {"bare"}
    taken = frozenset(organ for organ, said in one.judgements["bare"].items() if said.accepted)
    assert taken
    cases = {case.name: case for case in find_cases(one.folder).cases}
    assert cases["bare"].labels_present == taken
    for name in ("one", "two", "held"):
        assert cases[name].labels.resolve() == dataset / "labelsTr" / f"{name}.nii.gz"
        assert cases[name].labels_present is None
    first, second = (load_weights(run / f"round-{n}" / path.name) for n in (1, 2))
    assert first.card["trained_on"] == ["one", "two"]
    assert second.card["trained_on"] == ["bare", "one", "two"]
    assert first.card["held_out"] == second.card["held_out"] == ["held"]
    assert second.recipe.training.steps == 2
    assert second.recipe.training.learning_rate == recipe.training.learning_rate / 2
    assert second.recipe.networks[0].start == str((run / "round-1" / path.name).resolve())


def test_the_weights_are_those_of_the_last_round_with_the_recipe_that_was_asked_for(go, tmp_path):
    recipe, path = go()
    weights, last = load_weights(path), load_weights(tmp_path / "run" / "round-2" / path.name)
    assert weights.recipe == recipe
    assert [entry.start for entry in weights.recipe.networks] == [None, None]
    assert weights.sha256 == last.sha256
    assert weights.card == last.card | {"rounds": 2}
    assert weights.sha256 != load_weights(tmp_path / "run" / "round-1" / path.name).sha256


def test_partly_annotated_cases_stay_so(go, copied, tmp_path):
    entries = {"two": {"annotated_slices": [3, 6, 9]}}
    (copied / FILE_NAME).write_text(json.dumps(entries))
    go(data=copied, training={"steps": 1})
    found = json.loads((tmp_path / "run" / "round-2" / "dataset" / FILE_NAME).read_text())
    assert found["two"] == entries["two"]
    assert found.keys() == {"two", "bare"}


def stop_at(stage, step):
    def progress(now, done, _total):
        if (now, done) == (stage, step):
            signal.raise_signal(signal.SIGTERM)

    return progress


@pytest.mark.slow
def test_interrupted_in_every_round_it_ends_with_the_same_weights(go, tmp_path, monkeypatch):
    _, wanted = go("whole")
    for step in (("round 1", 3), ("round 2", 1)):
        with pytest.raises(Interrupted, match=f"{step[0].replace(' ', '-')} - run the same"):
            go("parts", progress=stop_at(*step))
        assert not (tmp_path / "parts" / wanted.name).exists()
    monkeypatch.setattr(labelling, "predict_scan", lambda *_, **__: pytest.fail("predicted again"))
    torch.rand(17)  # randomness of others does not matter
    _, found = go("parts")
    assert load_weights(found).sha256 == load_weights(wanted).sha256
    states = [
        retrieve(tmp_path / name / "round-2" / "state.safetensors") for name in ("whole", "parts")
    ]
    assert states[0].sha256 == states[1].sha256
    one, other = (
        (tmp_path / name / "round-2" / "dataset" / "labelsTr" / "bare.nii.gz").read_bytes()
        for name in ("whole", "parts")
    )
    assert one == other


@pytest.mark.slow
def test_interrupted_while_scans_are_labelled_it_goes_on(go, tmp_path):
    def stop(stage, done, total):
        if stage == "label":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go("parts", progress=stop)
    with pytest.raises(DatasetError):
        find_cases(tmp_path / "parts" / "round-2" / "dataset")
    _, found = go("parts")
    _, wanted = go("whole")
    assert load_weights(found).sha256 == load_weights(wanted).sha256


def test_a_further_round_goes_on_from_those_that_are_done(go, tmp_path):
    go(training={"steps": 2})
    second = tmp_path / "run" / "round-2" / "tiny_reference.safetensors"
    before = load_weights(second).sha256
    told = []
    _, path = go(count=3, training={"steps": 2}, progress=lambda *step: told.append(step))
    assert load_weights(second).sha256 == before
    assert [step for step in told if step[0].startswith("round")] == [("round 3", 1, 1)]
    assert load_weights(path).card["rounds"] == 3


def test_stability_is_asked_from_the_second_labelling_on(go, monkeypatch):
    made = []
    rules = ["voxels>=1", "stability>=0.1"]
    go(count=3, rules=rules, training={"steps": 2}, labelled=made.append)
    assert [[str(rule) for rule in one.rules] for one in made] == [["voxels>=1"], rules]
    first, second = (one.facts["bare"].values() for one in made)
    assert {facts.stability for facts in first} == {None}
    assert all(facts.stability is not None for facts in second)


@pytest.mark.parametrize("method", ["cps", "mean-teacher"])
def test_where_no_scan_is_left_without_labels_labels_alone_are_learnt(go, tmp_path, method):
    """The state and the weights of such a round can be read again."""
    call = {"training": {"method": method, "steps": 2}}
    _, path = go(**call)
    last = load_weights(tmp_path / "run" / "round-2" / path.name)
    assert (last.recipe.training.method, last.recipe.training.batch_unlabelled) == (
        "side-by-side", 0
    )  # fmt: skip
    assert load_weights(path).recipe.training.method == method
    assert load_weights(go(**call)[1]).sha256 == last.sha256


def test_scans_without_labels_go_on_being_looked_at(go, dataset, tmp_path):
    """Those of which nothing was accepted, and those from elsewhere."""
    _, path = go(rules=["voxels>=1e6"], training={"steps": 2})
    refused = load_weights(tmp_path / "run" / "round-2" / path.name)
    assert refused.card["unlabelled"] == ["bare"]
    other = tmp_path / "other.nii.gz"
    other.write_bytes((dataset / "imagesTr" / "one_0000.nii.gz").read_bytes())
    _, path = go("more", training={"steps": 2}, unlabelled=[other])
    more = load_weights(tmp_path / "more" / "round-2" / path.name)
    assert more.card["unlabelled"] == ["other.nii.gz"]
    assert more.recipe.training.method == refused.recipe.training.method == "cps"


def test_a_volumetric_model_is_trained_in_rounds_too(go, tmp_path):
    _, path = go(role="volumetric", training={"steps": 2})
    assert load_weights(path).card["trained_on"] == ["bare", "one", "two"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"rules": ["volum"]}, "unknown rule 'volum'"),
        ({"rules": ["loss"]}, "'loss' needs another model"),
        ({"rules": ["both-ways"]}, "'both-ways' needs a propagator that carries whole slices"),
        ({"rules": ["stability"]}, "so nothing would be asked in the first one"),
        ({"role": "volumetric", "rules": ["confidence"]}, "'confidence' needs a committee"),
    ],
)
def test_what_would_fail_after_a_round_is_refused_before_it(go, monkeypatch, words, said):
    monkeypatch.setattr(rounds, "train", lambda *_, **__: pytest.fail("it was trained"))
    with pytest.raises(RecipeError, match=said):
        go(**words)


def test_a_propagator_is_looked_for_before_the_first_round(
    dataset, tmp_path, make_recipe, runtime, trial_models, monkeypatch
):
    seen = []

    class Stop(Exception):
        pass

    def stop(*_, **__):
        seen.append("trained")
        raise Stop

    monkeypatch.setattr(rounds, "train", stop)
    recipe = make_recipe(rounds={"count": 2, "rules": ["both-ways"]})
    name = {"propagator": "trial_propagator"}
    recipe = recipe.model_copy(update={"inference": recipe.inference.model_copy(update=name)})
    words = {"data": dataset, "out": tmp_path / "run", "runtime": runtime}
    with pytest.raises(RecipeError, match="there is no model 'trial_propagator'"):
        train_in_rounds(recipe, **words)
    file = "trial_propagator.safetensors"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / file).write_bytes((trial_models / file).read_bytes())
    with pytest.raises(RecipeError, match=r"see slices differently: input\.windows"):
        train_in_rounds(recipe, **words)
    assert seen == []
    windows = load_weights(trial_models / file).recipe.input
    with pytest.raises(Stop):
        train_in_rounds(recipe.model_copy(update={"input": windows}), **words)


def test_a_dataset_without_unlabelled_scans_is_refused(go, copied):
    groups = {"train": ["one", "two"], "val": ["held", "bare"]}
    (copied / "splits.json").write_text(json.dumps(groups))
    with pytest.raises(DatasetError, match="no scan to label"):
        go(data=copied)


def test_a_propagator_has_no_rounds(make_recipe):
    given = make_recipe("propagator").model_dump()
    given["training"]["rounds"]["count"] = 2
    del given["training"]["method"]
    with pytest.raises(RecipeError, match=r"cannot label scans for a further round; set .* to 1"):
        parse_recipe(given, source="test")


def test_finished_rounds_whose_states_were_deleted_are_gone_on_from(go, tmp_path):
    go(training={"steps": 2})
    files = [tmp_path / "run" / f"round-{n}" / "tiny_reference.safetensors" for n in (1, 2)]
    before = [file.read_bytes() for file in files]
    for file in files:
        file.with_name("state.safetensors").unlink()
    told = []
    _, path = go(count=3, training={"steps": 2}, progress=lambda *step: told.append(step))
    assert [step for step in told if step[0].startswith("round")] == [("round 3", 1, 1)]
    assert [file.read_bytes() for file in files] == before
    assert load_weights(path).card["rounds"] == 3


def test_a_finished_round_is_not_taken_for_one_of_other_pseudo_labels(go, tmp_path):
    made = []
    go(training={"steps": 2}, labelled=made.append)
    for number in (1, 2):
        (tmp_path / "run" / f"round-{number}" / "state.safetensors").unlink()
    largest = max(facts.voxels for facts in made[0].facts["bare"].values())
    with pytest.raises(CheckpointError, match=r"round-2.*began with other scans.*'bare' changed"):
        go(rules=[f"voxels>={largest}"], training={"steps": 2})


def test_usual_rules_that_cannot_be_asked_are_left_out_of_all_rounds(go, copied):
    """Nobody drew a whole scan, so nothing tells how large organs are."""
    drawn = {name: {"annotated_slices": [3, 6, 9]} for name in ("one", "two")}
    (copied / FILE_NAME).write_text(json.dumps(drawn))
    made = []
    words = {"data": copied, "training": {"steps": 1}}
    with pytest.warns(DataWarning, match="of the usual rules volume, order cannot be asked"):
        go(rules=None, labelled=made.append, **words)
    assert [str(rule) for rule in made[0].rules] == ["component>=0.9", "confidence>=0.7"]
    with pytest.raises(RecipeError, match="the rule 'volume' needs labelled scans, drawn on all"):
        go("named", rules=["component", "volume"], **words)


def test_the_log_says_which_round_it_is_and_what_was_accepted(go, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        go(training={"steps": 1})
    run = tmp_path / "run"
    assert f"round 1 of 2, in {run / 'round-1'}" in caplog.text
    assert f"round 2 of 2, in {run / 'round-2'}" in caplog.text
    assert re.search(rf"{run}/round-2/dataset: \d+ of \d+ organs accepted", caplog.text)


def test_a_round_in_which_nothing_was_accepted_says_so(go):
    with pytest.warns(DataWarning, match=r"nothing was accepted in 1 scans.*'voxels>=1e\+06'"):
        go(rules=["voxels>=1e6"], training={"steps": 1})
