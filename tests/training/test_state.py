"""A state brings back all that changes in a run, or is refused with the reason."""

from __future__ import annotations

import copy
import json
import warnings
from dataclasses import replace

import pytest
import torch
from torch import nn

from slicekit.checkpoint import retrieve, save_weights, store
from slicekit.errors import CheckpointError, DataWarning
from slicekit.training.state import RunState, read_state, write_state


def fresh(seed=0, *, width=4):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))
    network = network.to(memory_format=torch.channels_last)
    average = copy.deepcopy(network).eval()
    return RunState(network, average, torch.optim.AdamW(network.parameters(), lr=0.01))


def learn(state, steps=2):
    for step in range(steps):
        random = torch.Generator().manual_seed(step)
        images = torch.rand(2, 3, 6, 6, generator=random)
        state.optimiser.zero_grad()
        state.network(images).square().mean().backward()
        state.optimiser.step()
    return state


def same(one, other):
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


@pytest.fixture
def saved(tmp_path, make_recipe, runtime):
    """A state after two steps, and what it belongs to."""
    path, recipe, state = tmp_path / "state.safetensors", make_recipe(), learn(fresh())
    write_state(
        path,
        state,
        step=2,
        scores={"dsc": 0.5, "liver": float("nan")},
        recipe=recipe,
        runtime=runtime,
    )
    return path, recipe, state


def test_nothing_saved_is_step_0(tmp_path, make_recipe, runtime):
    absent = tmp_path / "state.safetensors"
    assert read_state(absent, fresh(), recipe=make_recipe(), runtime=runtime) == (0, {})


def test_network_average_moments_step_and_scores_come_back(saved, runtime):
    path, recipe, state = saved
    other = fresh(seed=1)
    step, scores = read_state(path, other, recipe=recipe, runtime=runtime)
    assert step == 2
    assert scores["dsc"] == 0.5
    assert same(other.network, state.network)
    assert same(other.average, state.average)
    assert not same(other.average, other.network)
    moments, wanted = (s.optimiser.state_dict()["state"] for s in (other, state))
    assert moments.keys() == wanted.keys() != set()
    for number, parts in wanted.items():
        for name, part in parts.items():
            assert torch.equal(moments[number][name], part)
            assert moments[number][name].stride() == part.stride()  # as quick as before


def test_what_was_counted_comes_back_and_need_not_be_there(saved, runtime):
    path, recipe, state = saved
    state.census.add({"labelled": torch.tensor([3, 1])})
    write_state(path, state, step=2, scores={}, recipe=recipe, runtime=runtime)
    other = fresh()
    read_state(path, other, recipe=recipe, runtime=runtime)
    assert other.census.counts == {"labelled": [3, 1]}
    stored = retrieve(path)
    facts = json.loads(stored.header["run"])
    del facts["census"]  # of a version that did not count
    store(path, stored.tensors, {**stored.header, "run": json.dumps(facts)})
    older = fresh()
    assert read_state(path, older, recipe=recipe, runtime=runtime)[0] == 2
    assert older.census.counts == {}


def test_going_on_is_as_if_nothing_had_happened(saved, runtime):
    path, recipe, state = saved
    other = fresh(seed=1)
    read_state(path, other, recipe=recipe, runtime=runtime)
    assert same(learn(other).network, learn(state).network)


def test_other_conditions_are_told(saved, runtime):
    path, recipe, _ = saved
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_state(path, fresh(), recipe=recipe, runtime=runtime)
    elsewhere = replace(runtime, threads=7, bf16=True)
    with pytest.warns(DataWarning, match=r"threads 1 -> 7, precision float32 -> bf16.*last bit"):
        read_state(path, fresh(), recipe=recipe, runtime=elsewhere)


def test_case_33_a_state_of_another_recipe_is_refused_with_the_difference(
    saved, make_recipe, runtime
):
    path, _, _ = saved
    changed = make_recipe(batch=3, learning_rate=0.5)
    before = fresh(seed=1)
    with pytest.raises(CheckpointError) as caught:
        read_state(path, before, recipe=changed, runtime=runtime)
    said = str(caught.value)
    assert said.startswith(f"{path}: belongs to another recipe; choose another --out, or undo")
    assert said.endswith(": training.batch 2 -> 3; training.learning_rate 0.001 -> 0.5")
    assert same(before.network, fresh(seed=1).network)


def test_case_33_a_state_of_another_label_map_is_refused_with_the_difference(
    saved, make_recipe, runtime
):
    path, recipe, _ = saved
    organs = dict(recipe.organs) | {
        "liver": recipe.organs["spleen"],
        "spleen": recipe.organs["liver"],
    }
    other = recipe.model_copy(update={"organs": organs})
    with pytest.raises(CheckpointError, match=r"organs\.liver 6 -> 1; organs\.spleen 1 -> 6"):
        read_state(path, fresh(), recipe=other, runtime=runtime)


def starting(recipe, file):
    entries = tuple(entry.model_copy(update={"start": file}) for entry in recipe.networks)
    return recipe.model_copy(update={"networks": entries})


def test_where_a_run_started_from_and_where_its_teacher_lies_may_move(saved, make_recipe, runtime):
    path, _, state = saved
    recipe = make_recipe(teacher={"weights": "old/teacher.safetensors"})
    write_state(path, state, step=2, scores={}, recipe=starting(recipe, "/old/a"), runtime=runtime)
    moved = make_recipe(teacher={"weights": "new/teacher.safetensors"})
    for other in (starting(moved, "/new/a"), starting(moved, None)):
        assert read_state(path, fresh(), recipe=other, runtime=runtime)[0] == 2


def test_case_33_of_other_networks_the_difference_is_told(saved, runtime):
    path, recipe, _ = saved
    first, second = recipe.networks
    paper = recipe.model_copy(
        update={"networks": (first, second.model_copy(update={"preset": "paper"}))}
    )
    with pytest.raises(CheckpointError, match=r": networks\.1\.preset 'tiny' -> 'paper'$"):
        read_state(path, fresh(), recipe=paper, runtime=runtime)
    fewer = recipe.model_copy(update={"networks": (first,)})
    with pytest.raises(CheckpointError, match=r"networks\.1\.kind 'deeplabv3plus' -> None"):
        read_state(path, fresh(), recipe=fewer, runtime=runtime)


def test_case_33_a_state_remembers_its_scans(saved, runtime):
    path, recipe, state = saved
    theirs, others = ({"labelled": [["one", digest]]} for digest in ("ab", "cd"))
    known = replace(state, scans=theirs)
    read_state(path, known, recipe=recipe, runtime=runtime)  # it named none
    write_state(path, known, step=2, scores={}, recipe=recipe, runtime=runtime)
    assert read_state(path, known, recipe=recipe, runtime=runtime)[0] == 2
    before = fresh(seed=1)
    with pytest.raises(CheckpointError, match=r"other scans; put .*--out: labelled: 'one' changed"):
        read_state(path, replace(before, scans=others), recipe=recipe, runtime=runtime)
    assert same(before.network, fresh(seed=1).network)


def test_case_33_a_state_of_an_unknown_version_is_refused(saved, runtime):
    path, recipe, _ = saved
    stored = retrieve(path)
    values = json.loads(recipe.to_json()) | {"teacher": 1}
    store(path, stored.tensors, {**stored.header, "recipe": json.dumps(values)})
    with pytest.raises(CheckpointError, match=r"cannot read.*unknown key 'teacher'"):
        read_state(path, fresh(), recipe=recipe, runtime=runtime)


def test_a_single_training_may_become_the_first_of_several_rounds(saved, make_recipe, runtime):
    path, recipe, state = saved
    write_state(path, state, step=2, scores={}, recipe=recipe, runtime=runtime)
    more = make_recipe(rounds={"count": 3, "rules": ["voxels"]})
    assert read_state(path, fresh(), recipe=more, runtime=runtime)[0] == 2


def test_a_recipe_written_before_a_setting_had_a_name_is_still_the_same(saved, runtime):
    """Keys that were left out have their usual values."""
    path, recipe, state = saved
    stored = retrieve(path)
    values = json.loads(recipe.to_json())
    del values["training"]["clips"], values["weights"]
    store(path, stored.tensors, {**stored.header, "recipe": json.dumps(values)})
    other = fresh(seed=1)
    assert read_state(path, other, recipe=recipe, runtime=runtime)[0] == 2
    assert same(other.network, state.network)


def test_case_33_a_state_remembers_its_teacher(saved, runtime):
    path, recipe, state = saved
    theirs = [replace(state, teacher_sha256=digest * 32) for digest in ("ab", "cd")]
    read_state(path, replace(fresh(), teacher_sha256="ab"), recipe=recipe, runtime=runtime)
    write_state(path, theirs[0], step=2, scores={}, recipe=recipe, runtime=runtime)
    assert read_state(path, theirs[0], recipe=recipe, runtime=runtime)[0] == 2
    for other in (theirs[1], state):
        with pytest.raises(CheckpointError, match=r"had SHA-256 abababababab\.\.\., now .*--out"):
            read_state(path, other, recipe=recipe, runtime=runtime)


def test_weights_are_no_state(tmp_path, make_recipe, runtime):
    path = tmp_path / "state.safetensors"
    save_weights(path, fresh().network.state_dict(), make_recipe(), card={})
    with pytest.raises(CheckpointError, match="holds no run state; it may be a weights file"):
        read_state(path, fresh(), recipe=make_recipe(), runtime=runtime)


def test_a_state_of_other_networks_names_the_tensors(saved, runtime):
    path, recipe, _ = saved
    with pytest.raises(CheckpointError, match=r"of another shape: 0\.bias \(file \(4,\), network"):
        read_state(path, fresh(width=5), recipe=recipe, runtime=runtime)
    stored = retrieve(path)
    some = {name: t for name, t in stored.tensors.items() if not name.startswith("average.")}
    store(path, some, stored.header)
    with pytest.raises(CheckpointError, match="tensors missing"):
        read_state(path, fresh(), recipe=recipe, runtime=runtime)
