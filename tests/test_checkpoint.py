"""Weights come back as they were stored, with the recipe that made them."""

from __future__ import annotations

import json
import os
import stat

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from slicekit.checkpoint import (
    digest,
    fill,
    load_weights,
    retrieve,
    save_weights,
    store,
)
from slicekit.errors import CheckpointError, WriteError
from slicekit.inference.model import build_network
from slicekit.recipes.weights_header import read_header

CARD = {"trained_on": ["case_1"], "scores": {"dsc": 0.5}}


def some_tensors():
    random = torch.Generator().manual_seed(0)
    return {
        "weight": torch.randn(4, 3, generator=random),
        "half": torch.randn(5, generator=random).half(),
        "bf16": torch.randn(5, generator=random).bfloat16(),
        "count": torch.tensor(7),
        "flags": torch.tensor([True, False]),
        "empty": torch.zeros(0, 3),
        "strided": torch.randn(6, 4, generator=random).T,
        "last": torch.randn(1, 3, 4, 5, generator=random).to(memory_format=torch.channels_last),
    }


def test_tensors_of_every_type_and_layout_come_back_bit_for_bit(tmp_path):
    path, tensors = tmp_path / "a.safetensors", some_tensors()
    sha256 = store(path, tensors, {"run": "{}"})
    back = retrieve(path)
    assert back.sha256 == sha256 == digest(tensors)
    assert back.header["run"] == "{}"
    assert back.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert back.tensors[name].dtype == tensor.dtype
        assert torch.equal(back.tensors[name], tensor), name


def test_the_digest_knows_names_types_shapes_and_bytes():
    plain = {"a": torch.zeros(4)}
    others = [
        {"b": torch.zeros(4)},
        {"a": torch.zeros(2, 2)},
        {"a": torch.zeros(4, dtype=torch.int32)},
        {"a": torch.tensor([0, 0, 0, -0.0])},
        {"a": torch.zeros(4), "b": torch.zeros(0)},
    ]
    assert len({digest(tensors) for tensors in (plain, *others)}) == 6
    assert digest({"b": others[0]["b"], "a": plain["a"]}) == digest({**plain, **others[0]})


@pytest.mark.parametrize("size", [640, 896, 1152, 1408, 0x4B50, 0x14B50])
def test_a_header_whose_length_begins_like_a_pickle_or_a_zip_is_read(tmp_path, size):
    """The length of the header is the first number of the file: 640 is ``80 02`` on disk."""
    path = tmp_path / "a.safetensors"
    store(path, {"a": torch.zeros(2)}, {"about": ""})
    short = int.from_bytes(path.read_bytes()[:8], "little")
    store(path, {"a": torch.zeros(2)}, {"about": "x" * (size - short)})
    assert int.from_bytes(path.read_bytes()[:8], "little") == size
    assert len(retrieve(path).header["about"]) == size - short


def test_weights_are_halves_on_disk_and_floats_in_memory(tmp_path, make_recipe):
    recipe, path = make_recipe(), tmp_path / "tiny.safetensors"
    state = build_network(recipe).state_dict()
    sha256 = save_weights(path, state, recipe, card=CARD)
    loaded = load_weights(path)
    assert loaded.recipe == recipe
    assert loaded.card == CARD
    assert loaded.sha256 == sha256
    assert path.stat().st_size < 2.2 * sum(tensor.numel() for tensor in state.values())
    for name, tensor in state.items():
        assert loaded.state[name].dtype == tensor.dtype
        torch.testing.assert_close(loaded.state[name], tensor, atol=1e-4, rtol=1e-3)
    network = build_network(recipe)
    fill(network, loaded.state, source="tiny")
    assert torch.equal(network.state_dict()[name], loaded.state[name])


def test_the_file_is_readable_by_others_and_by_the_library(tmp_path, make_recipe):
    path, plain = tmp_path / "tiny.safetensors", tmp_path / "plain"
    plain.touch()
    save_weights(path, {"a": torch.ones(3)}, make_recipe(), card=CARD)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    with safe_open(path, framework="pt") as opened:
        assert json.loads(opened.metadata()["card"]) == CARD
        assert opened.get_tensor("a").dtype == torch.float16


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 70_000.0])
def test_weights_that_are_not_finite_as_halves_are_not_written(tmp_path, make_recipe, value):
    path = tmp_path / "tiny.safetensors"
    with pytest.raises(CheckpointError, match="1 tensors not finite: b"):
        save_weights(path, {"a": torch.ones(1), "b": torch.tensor([value])}, make_recipe(), card={})
    assert not path.exists()


def test_a_full_disk_leaves_the_old_weights(tmp_path, make_recipe, monkeypatch):
    path = tmp_path / "tiny.safetensors"
    sha256 = save_weights(path, {"a": torch.ones(1)}, make_recipe(), card={})

    def full(*_args, **_options):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("slicekit.checkpoint.save_file", full)
    with pytest.raises(WriteError, match="No space left"):
        save_weights(path, {"a": torch.zeros(1)}, make_recipe(), card={})
    assert load_weights(path).sha256 == sha256


def test_a_disk_that_gives_back_other_bytes_is_found_before_the_old_file_goes(
    tmp_path, monkeypatch
):
    path = tmp_path / "a.safetensors"
    sha256 = store(path, {"a": torch.ones(4)}, {})

    def forgetful(tensors, file, metadata):
        save_file({"a": tensors["a"] + 1}, file, metadata=metadata)

    monkeypatch.setattr("slicekit.checkpoint.save_file", forgetful)
    with pytest.raises(WriteError, match="reads back wrong"):
        store(path, {"a": torch.zeros(4)}, {})
    assert retrieve(path).sha256 == sha256


def test_weights_that_do_not_fit_are_refused_by_name_and_change_nothing():
    network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = {name: tensor + 1 for name, tensor in before.items()}
    state["head.weight"] = state.pop("0.weight")
    state["1.bias"] = torch.zeros(4)
    with pytest.raises(CheckpointError) as caught:
        fill(network, state, source="w.safetensors")
    assert str(caught.value) == (
        "w.safetensors: does not fit the network: 1 tensors missing: 0.weight; "
        "1 tensors not known to the network: head.weight; "
        "1 tensors of another shape: 1.bias (file (4,), network (3,))"
    )
    assert all(torch.equal(tensor, before[n]) for n, tensor in network.state_dict().items())


def test_of_many_misfits_the_first_are_named():
    network = torch.nn.Sequential(*(torch.nn.Linear(1, 1) for _ in range(10)))
    with pytest.raises(CheckpointError, match=r"20 tensors missing: 0\.bias, .* and 15 more"):
        fill(network, {}, source="w")


def test_the_header_alone_is_read_with_its_own_checks(tmp_path):
    path = tmp_path / "a.safetensors"
    store(path, {"x": torch.ones(3)}, {"run": "{}"})
    assert read_header(path)["run"] == "{}"
    changed = path.read_bytes().replace(b'"run":"{}"', b'"run":"[]"')
    path.write_bytes(changed)
    with pytest.raises(CheckpointError, match="its header was changed"):
        read_header(path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_header(tmp_path / "none")
