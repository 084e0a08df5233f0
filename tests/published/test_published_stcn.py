"""Published STCN checkpoints become weights files of ours."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import saved
from torch import Tensor

from slicekit.checkpoint import fill, load_weights, save_weights
from slicekit.errors import CheckpointError, LabelError, RecipeError, WriteError
from slicekit.inference.model import build_network, load_model, load_propagator
from slicekit.networks import STCN, build
from slicekit.published import import_published
from slicekit.recipes import parse_recipe
from slicekit.runtime import Runtime

KEYS = Path(__file__).resolve().parents[1] / "fixtures" / "stcn_state_dict_keys.txt"
FIRST = "value_encoder.conv1.weight"
State = dict[str, Tensor]


@torch.inference_mode()
def answer(network: STCN) -> Tensor:
    """Probabilities of two objects, carried from one slice to its mirror image."""
    random = torch.Generator().manual_seed(3)
    frames = torch.rand(1, 3, 32, 48, generator=random)
    masks = torch.zeros(1, 2, 32, 48)
    masks[:, 0, 3:14, 5:20] = masks[:, 1, 15:30, 18:40] = 1
    seen, asked = network.encode_key(frames), network.encode_key(frames.flip(-1))
    value = network.encode_value(frames, masks, seen.s16)
    return torch.sigmoid(network.decode(value.roll(1, dims=-1), asked))


def opened(path: Path) -> STCN:
    """The network of a weights file."""
    weights = load_weights(path)
    network = build_network(weights.recipe)
    fill(network, weights.state, source=str(path))
    assert isinstance(network, STCN)
    return network.eval()


def state_of_the_list(*, channels: int) -> State:
    """Random weights under the published names, of a size at which signals neither die nor grow."""
    random = torch.Generator().manual_seed(7)
    state: State = {}
    for line in KEYS.read_text(encoding="utf-8").splitlines():
        name, written = line.split(" ", 1)
        shape = [int(word) for word in re.findall(r"\d+", written)]
        if name == FIRST:
            shape[1] = channels
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(12_000)
        elif name.endswith("running_var"):
            state[name] = 0.5 + torch.rand(shape, generator=random)
        elif len(shape) == 1:
            state[name] = 0.5 + 0.1 * torch.randn(shape, generator=random)
        else:
            fan = torch.Size(shape[1:]).numel()
            state[name] = torch.randn(shape, generator=random) * fan**-0.5
    return state


@pytest.mark.slow
@pytest.mark.parametrize("channels", [5, 4])
def test_a_file_of_the_published_names_is_imported_whole(tmp_path: Path, channels: int) -> None:
    state = state_of_the_list(channels=channels)
    file = saved(tmp_path, state)
    state[FIRST] = torch.nn.functional.pad(state[FIRST], (0, 0, 0, 0, 0, 5 - channels))
    path = import_published(file, tmp_path / "new" / "stcn_paper.safetensors")
    weights = load_weights(path)
    assert list(weights.state) == sorted(state)
    assert all(torch.equal(weights.state[name], state[name].half()) for name in state)
    recipe = weights.recipe
    assert (recipe.name, recipe.role, recipe.organs) == ("stcn_paper", "propagator", {})
    assert [network.preset for network in recipe.networks] == ["paper"]
    source = {"file": "stcn.pth", "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    assert weights.card["imported_from"] == source
    assert source["sha256"] in recipe.about
    assert path.stat().st_size < 0.6 * file.stat().st_size  # float16
    original = build("stcn", "paper").eval()
    original.load_state_dict(state)
    torch.testing.assert_close(answer(opened(path)), answer(original), atol=5e-3, rtol=0)


@pytest.mark.parametrize("nest", [[], ["state_dict"], ["model"], ["network"], ["model", "network"]])
@pytest.mark.parametrize("prefix", ["", "module.", "module.module."])
def test_prefixes_and_nests_are_taken_away(
    tiny_published: STCN, tmp_path: Path, nest: list[str], prefix: str
) -> None:
    content: dict[str, Any] = {
        prefix + name: value for name, value in tiny_published.state_dict().items()
    }
    for key in nest:
        content = {"it": 150_000, key: content, "optimizer": {"lr": [0.1]}}
    path = import_published(saved(tmp_path, content), tmp_path / "out.safetensors", name="mine")
    assert load_weights(path).recipe.name == "mine"
    torch.testing.assert_close(answer(opened(path)), answer(tiny_published), atol=1e-3, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("zipped", [True, False])
def test_other_precisions_and_the_older_form_are_read(
    tiny_published: STCN, tmp_path: Path, dtype: torch.dtype, zipped: bool
) -> None:
    tiny_published = tiny_published.half().float()  # so that all but bfloat16 hold it exactly
    state = {
        name: value.to(dtype) if value.is_floating_point() else value
        for name, value in tiny_published.state_dict().items()
    }
    file = saved(tmp_path, state, _use_new_zipfile_serialization=zipped)
    found = load_weights(import_published(file, tmp_path / "out.safetensors")).state
    exact = 0.0 if dtype != torch.bfloat16 else 1e-2
    for name, value in tiny_published.state_dict().items():
        torch.testing.assert_close(found[name], value, atol=1e-6, rtol=exact)


def test_weights_of_one_object_are_padded_with_zeros(tiny_published: STCN, tmp_path: Path) -> None:
    state = dict(tiny_published.state_dict())
    state[FIRST] = state[FIRST][:, :4].clone()
    path = import_published(saved(tmp_path, state), tmp_path / "out.safetensors")
    tiny_published.value_encoder.conv1.weight.data[:, 4] = 0
    assert not load_weights(path).state[FIRST][:, 4].any()
    torch.testing.assert_close(answer(opened(path)), answer(tiny_published), atol=1e-3, rtol=0)


def test_absent_batch_counters_count_as_zero(tiny_published: STCN, tmp_path: Path) -> None:
    state = {
        n: v
        for n, v in tiny_published.state_dict().items()
        if not n.endswith("num_batches_tracked")
    }
    assert len(state) < len(tiny_published.state_dict())
    path = import_published(saved(tmp_path, state), tmp_path / "out.safetensors")
    torch.testing.assert_close(answer(opened(path)), answer(tiny_published), atol=1e-3, rtol=0)


def test_tensors_that_share_memory_are_stored_apart(tiny_published: STCN, tmp_path: Path) -> None:
    state = dict(tiny_published.half().state_dict())
    state[FIRST] = torch.zeros(1, dtype=torch.float16).expand(state[FIRST].shape)
    state["key_encoder.bn1.bias"] = state["key_encoder.bn1.weight"]
    path = import_published(saved(tmp_path, state), tmp_path / "out.safetensors")
    assert not load_weights(path).state[FIRST].any()


def test_an_imported_propagator_serves_alone_and_a_reference(
    tiny_published: STCN, tmp_path: Path
) -> None:
    path = import_published(
        saved(tmp_path, tiny_published.state_dict()), tmp_path / "out.safetensors"
    )
    entry = load_weights(path).recipe.input
    kinds = ("transunet", "deeplabv3plus")
    reference = parse_recipe(
        {
            "name": "ref", "role": "reference", "input": entry.model_dump(),
            "organs": {"liver": 1}, "training": {"steps": 1},
            "networks": [{"kind": kind, "preset": "tiny"} for kind in kinds],
        },
        source="test",
    )  # fmt: skip
    beside = tmp_path / "ref.safetensors"
    save_weights(beside, build_network(reference).state_dict(), reference, card={})
    runtime = Runtime(torch.device("cpu"), bf16=False, threads=1)
    model = load_model(beside, runtime, propagator=path)
    assert isinstance(model.propagator, STCN)
    assert model.sha256["out"] == load_weights(path).sha256
    assert load_propagator(path, runtime).sha256 == model.sha256["out"]


def test_outputs_are_chosen_with_care(tiny_published: STCN, tmp_path: Path) -> None:
    file, out = saved(tmp_path, tiny_published.state_dict()), tmp_path / "out.safetensors"
    with pytest.raises(CheckpointError, match=r"cannot be read \(No such file"):
        import_published(tmp_path / "none.pth", out)
    with pytest.raises(WriteError, match=r"end it in \.safetensors"):
        import_published(file, tmp_path / "out.pt")
    with pytest.raises(RecipeError, match="name"):
        import_published(file, out, name="a b")
    with pytest.raises(LabelError, match="an STCN follows anything"):
        import_published(file, out, organs=["liver"])
    assert not out.exists()
    import_published(file, out)
    before = out.read_bytes()
    with pytest.raises(WriteError, match="--overwrite"):
        import_published(file, out)
    assert out.read_bytes() == before
    again = load_weights(import_published(file, out, overwrite=True, name="again"))
    assert again.recipe.name == "again"
    with pytest.raises(WriteError, match="is the input itself"):
        import_published(out, out, overwrite=True)


def test_the_command_says_where_the_weights_went(
    tiny_published: STCN, tmp_path: Path, door: Callable[..., Any]
) -> None:
    file, out = saved(tmp_path, tiny_published.state_dict()), tmp_path / "out.safetensors"
    done = door("slicekit", "import-weights", file, "-o", out, "--name", "mine")
    assert (done.code, done.out) == (0, f"{out}\n")
    assert load_weights(out).recipe.name == "mine"
    again = door("slicekit", "import-weights", file, "-o", out)
    assert (again.code, again.out) == (1, "")
    assert "exists already" in again.err
    assert door("slicekit", "import-weights", file, "-o", out, "--overwrite").code == 0
    missing = door(
        "slicekit", "import-weights", tmp_path / "x.pth", "-o", tmp_path / "y.safetensors"
    )
    assert "x.pth: cannot be read" in missing.err
