"""A network starts from what of a file fits it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from slicekit.checkpoint import load_weights, save_weights
from slicekit.errors import CheckpointError, RecipeError
from slicekit.inference.model import build_network
from slicekit.recipes import Recipe, parse_recipe, recipe_to_toml
from slicekit.training.run import train
from slicekit.training.start import start_networks

HEADS = ("head.weight", "head.bias", "head.0.weight", "head.0.bias")


def stored(recipe: Recipe, file: Path, *, seed: int) -> dict[str, torch.Tensor]:
    """Write random weights that float16 holds exactly."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(recipe).half().float()
    save_weights(file, network.state_dict(), recipe, card={})
    return network.state_dict()


def starting(recipe: Recipe, *files: Path | None) -> Recipe:
    entries = tuple(
        entry.model_copy(update={"start": None if file is None else str(file)})
        for entry, file in zip(recipe.networks, files, strict=True)
    )
    return recipe.model_copy(update={"networks": entries})


def test_only_the_network_that_asks_for_it_is_filled(tmp_path: Path, make_recipe) -> None:
    file = tmp_path / "old.safetensors"
    old = stored(make_recipe(), file, seed=1)
    recipe = starting(make_recipe(), None, file)
    network = build_network(recipe)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    start_networks(network, recipe)
    for name, value in network.state_dict().items():
        assert torch.equal(value, (before if name.startswith("a.") else old)[name])


@pytest.mark.parametrize(
    "before",
    [
        {"liver": 1, "spleen": 2},
        {"femur": 1, "spleen": 2, "lung": 3},  # as many, but others
        {"femur": 1, "lung": 2},
    ],
)
def test_a_head_for_other_organs_keeps_what_it_knew(
    before: dict[str, int], tmp_path: Path, make_recipe
) -> None:
    file, now = tmp_path / "old.safetensors", {"spleen": 1, "aorta": 2, "liver": 3}
    old = stored(make_recipe().model_copy(update={"organs": before}), file, seed=1)
    recipe = starting(make_recipe().model_copy(update={"organs": now}), file, file)
    network = build_network(recipe)
    own = {name: value.clone() for name, value in network.state_dict().items()}
    start_networks(network, recipe)
    for name, value in network.state_dict().items():
        if not name.endswith(HEADS):
            assert torch.equal(value, old[name])
            continue
        assert torch.equal(value[0], old[name][0])  # background
        for organ, row in now.items():
            same = old[name][before[organ]] if organ in before else own[name][row]
            assert torch.equal(value[row], same)


def test_a_network_without_a_head_needs_no_organs(tmp_path: Path, make_recipe) -> None:
    file = tmp_path / "old.safetensors"
    old = stored(make_recipe("propagator"), file, seed=1)
    other = make_recipe("propagator").model_copy(update={"organs": {"femur": 4}})
    recipe = starting(other, file)
    network = build_network(recipe)
    start_networks(network, recipe)
    assert all(torch.equal(value, old[name]) for name, value in network.state_dict().items())


def test_what_does_not_fit_stays_random_and_is_told(
    tmp_path: Path, make_recipe, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "old.safetensors"
    old = stored(make_recipe(), file, seed=1)
    halved = load_weights(file)
    state = {name: t[:, :1] if name == "a.head.weight" else t for name, t in old.items()}
    save_weights(file, state, halved.recipe, card={})
    recipe = starting(make_recipe(), file, None)
    network = build_network(recipe)
    own = {name: value.clone() for name, value in network.a.state_dict().items()}
    with caplog.at_level(logging.INFO):
        start_networks(network, recipe)
    for name, value in network.a.state_dict().items():
        assert torch.equal(value, own[name] if name == "head.weight" else old[f"a.{name}"])
    assert f"{len(own) - 1} of {len(own)} tensors; random: head.weight" in caplog.text


def test_a_model_may_be_meant_by_its_name(
    tmp_path: Path, make_recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    old = stored(make_recipe(), tmp_path / "models" / "tiny_reference.safetensors", seed=1)
    text = recipe_to_toml(make_recipe())
    (tmp_path / "models" / "tiny_reference.toml").write_text(text)
    recipe = starting(make_recipe(), Path("tiny_reference"), Path("tiny_reference"))
    network = build_network(recipe)
    start_networks(network, recipe)
    assert all(torch.equal(value, old[name]) for name, value in network.state_dict().items())
    with pytest.raises(RecipeError, match="there is no model 'tiny_refrence'; did you mean"):
        start_networks(network, starting(make_recipe(), Path("tiny_refrence"), None))


def test_heads_of_encoders_that_count_while_they_are_built_are_found(
    tmp_path: Path, make_recipe
) -> None:
    entry = {"kind": "smp", "architecture": "Unet", "encoder": "mit_b0", "preset": "small"}
    plain = make_recipe(method="supervised").model_dump() | {"networks": [entry]}
    few = parse_recipe(plain | {"organs": {"liver": 1}}, source="test")
    file = tmp_path / "old.safetensors"
    old = stored(few, file, seed=1)
    recipe = starting(parse_recipe(plain | {"organs": {"aorta": 1, "liver": 2}}, source="t"), file)
    network = build_network(recipe)
    start_networks(network, recipe)
    head = "a.network.segmentation_head.0.weight"
    assert torch.equal(network.state_dict()[head][2], old[head][1])


def test_members_of_one_kind_start_from_the_member_in_their_place(
    tmp_path: Path, make_recipe
) -> None:
    twins = make_recipe(method="side-by-side")
    twins = twins.model_copy(update={"networks": twins.networks[:1] * 3})
    file = tmp_path / "old.safetensors"
    old = stored(twins, file, seed=1)
    recipe = starting(twins, file, file, file)
    network = build_network(recipe)
    start_networks(network, recipe)
    assert all(torch.equal(value, old[name]) for name, value in network.state_dict().items())
    alone = recipe.model_copy(update={"networks": recipe.networks[:1]})
    network = build_network(alone)
    start_networks(network, alone)
    assert all(torch.equal(value, old[name]) for name, value in network.state_dict().items())


def test_a_propagator_starts_from_another(tmp_path: Path, make_recipe) -> None:
    file = tmp_path / "old.safetensors"
    old = stored(make_recipe("propagator"), file, seed=1)
    recipe = starting(make_recipe("propagator"), file)
    network = build_network(recipe)
    start_networks(network, recipe)
    assert all(torch.equal(value, old[name]) for name, value in network.state_dict().items())


def test_a_file_in_which_nothing_fits_is_refused(tmp_path: Path, make_recipe) -> None:
    file = tmp_path / "old.safetensors"
    stored(make_recipe("propagator"), file, seed=1)
    recipe = starting(make_recipe(), file, None)
    with pytest.raises(
        CheckpointError, match="nothing that fits the transunet of 'tiny_reference'"
    ):
        start_networks(build_network(recipe), recipe)
    recipe = starting(make_recipe(), tmp_path / "gone.safetensors", None)
    with pytest.raises(CheckpointError, match="gone"):
        start_networks(build_network(recipe), recipe)


def test_a_run_starts_from_it(tmp_path: Path, dataset: Path, make_recipe, runtime) -> None:
    file = tmp_path / "old.safetensors"
    old = stored(make_recipe(), file, seed=1)
    still = make_recipe(steps=1, learning_rate=1e-9, weight_decay=0.0)
    weights = train(
        starting(still, None, file), data=dataset, out=tmp_path / "run", runtime=runtime
    )
    found = load_weights(weights).state
    heads = ("a.head.weight", "b.network.segmentation_head.0.weight")
    same = [torch.allclose(found[name], old[name], atol=1e-3) for name in heads]
    assert same == [False, True]


def test_a_run_that_goes_on_needs_the_file_no_longer(
    tmp_path: Path, dataset: Path, make_recipe, runtime
) -> None:
    file = tmp_path / "old.safetensors"
    stored(make_recipe("propagator"), file, seed=1)
    recipe, run = starting(make_recipe("propagator", steps=1), file), tmp_path / "run"
    weights = train(recipe, data=dataset, out=run, runtime=runtime)
    before = load_weights(weights).sha256
    file.rename(tmp_path / "moved.safetensors")
    moved = run.rename(tmp_path / "elsewhere")
    again = train(recipe, data=dataset, out=moved, runtime=runtime)
    assert load_weights(again).sha256 == before
    with pytest.raises(CheckpointError, match="old"):  # a new run does
        train(recipe, data=dataset, out=tmp_path / "new", runtime=runtime)
