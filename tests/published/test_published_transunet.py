"""Published TransUNet weights answer as their formulas say (``textbook_transunet``)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from checkpoints import saved
from textbook_transunet import (
    GRID,
    TRIAL,
    WIDTH,
    Arrays,
    State,
    jax_arrays,
    jax_encoder,
    torch_network,
    torch_state,
)

from slicekit.checkpoint import load_weights
from slicekit.errors import CheckpointError, LabelError
from slicekit.inference.model import load_model
from slicekit.networks import TransUNet, build
from slicekit.networks.transunet import PRESETS
from slicekit.published import import_published, transunet
from slicekit.runtime import Runtime

SIZE = 16 * GRID


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small networks of the same structure stand for the published ones."""
    monkeypatch.setitem(PRESETS, "trial", TRIAL)
    bound = replace(TRIAL, position=False, published=True)
    monkeypatch.setitem(PRESETS, "bound", bound)
    monkeypatch.setitem(PRESETS, "wider", replace(bound, grid=2 * GRID))
    monkeypatch.setattr(transunet, "OF_JAX", ("trial",))
    monkeypatch.setattr(transunet, "OF_TORCH", ("bound", "wider"))


def archived(folder: Path, arrays: Arrays) -> Path:
    np.savez(folder / "R50+ViT-B_16.npz", **arrays)
    return folder / "R50+ViT-B_16.npz"


def opened(path: Path) -> TransUNet:
    """The one network of a weights file, as it is used."""
    runtime = Runtime(torch.device("cpu"), bf16=False, threads=1)
    (network,) = load_model(path, runtime, propagator=False).reference.members
    return network


def slices(size: int = SIZE) -> torch.Tensor:
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(3))


@torch.inference_mode()
def test_imagenet_weights_answer_as_their_formula_does(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arrays = jax_arrays()
    path = import_published(archived(tmp_path, arrays), tmp_path / "start.safetensors")
    network = opened(path)
    coarse, skips = network.encode(*network.prepare(slices())[0][:2])
    wanted, wanted_skips = jax_encoder(arrays, slices())
    torch.testing.assert_close(coarse, wanted, atol=1e-4, rtol=1e-4)
    for mine, theirs in zip(skips, wanted_skips, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)
    parts = "bridge, decoder.0, decoder.1, decoder.2, decoder.3, head"
    assert f"left random, so train before use: {parts}" in caplog.text
    weights = load_weights(path)
    assert weights.card["left_random"] == parts.split(", ")
    assert weights.recipe.organs == {"class_1": 1}
    assert weights.recipe.networks[0].preset == "trial"


@torch.inference_mode()
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_whole_network_answers_as_its_formula_does(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, prefix: str
) -> None:
    state = torch_state()
    file = saved(tmp_path, {prefix + name: value for name, value in state.items()})
    with caplog.at_level(logging.WARNING):
        path = import_published(file, tmp_path / "out.safetensors", organs=["liver", "spleen"])
    torch.testing.assert_close(
        opened(path)(slices()), torch_network(state, slices()), atol=1e-4, rtol=1e-4
    )
    assert not caplog.text
    weights = load_weights(path)
    assert weights.card["left_random"] == []
    assert weights.recipe.organs == {"liver": 1, "spleen": 2}
    assert weights.recipe.networks[0].preset == "bound"
    assert weights.state["a.decoder.0.conv1.1.num_batches_tracked"] == 7


@torch.inference_mode()
def test_an_imported_network_takes_any_size(tmp_path: Path) -> None:
    path = import_published(saved(tmp_path, torch_state()), tmp_path / "out.safetensors")
    network = opened(path)
    for size in ((1, 1), (33, 70), (96, 48)):
        logits = network(torch.rand(1, 3, *size))
        assert logits.shape == (1, 3, *size)
        assert logits.isfinite().all()


def test_presets_for_published_weights_have_the_shapes_of_the_paper() -> None:
    with torch.device("meta"):
        paper = build("transunet", "paper", classes=9, position=False).state_dict()
        for side in (224, 512):
            network = build("transunet", f"published-{side}", classes=9)
            state = network.state_dict()
            assert state.pop("encoder.pos_embed").shape == (1, (side // 16) ** 2, 768)
            assert {n: v.shape for n, v in state.items()} == {
                n: v.shape for n, v in paper.items() if n != "encoder.pos_embed"
            }


def test_the_grid_of_positions_chooses_the_network_or_is_resampled(tmp_path: Path) -> None:
    name, state = "transformer.embeddings.position_embeddings", torch_state()
    for grid, preset in ((GRID, "bound"), (2 * GRID, "wider"), (3, "wider")):
        state[name] = torch.randn(1, grid**2, WIDTH).half().float()
        file = saved(tmp_path, state)
        weights = load_weights(import_published(file, tmp_path / "out.safetensors", overwrite=True))
        assert weights.recipe.networks[0].preset == preset
        side = PRESETS[preset].grid
        wanted = F.interpolate(
            state[name].transpose(1, 2).unflatten(2, (grid, grid)), (side, side), mode="bilinear"
        )
        found = weights.state["a.encoder.pos_embed"].transpose(1, 2).unflatten(2, (side, side))
        torch.testing.assert_close(found, wanted, atol=2e-3, rtol=0)


def test_what_of_a_decoder_does_not_fit_is_left_random_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = torch_state()
    state["decoder.blocks.1.conv1.0.weight"] = torch.zeros(8, 16, 3, 3)  # without skip connections
    state["decoder.extra.weight"] = torch.zeros(1)
    path = import_published(saved(tmp_path, state), tmp_path / "out.safetensors")
    assert "left random, so train before use: decoder.1\n" in caplog.text
    assert (
        "not taken, since nothing here is so: decoder.1.conv1.0.weight, decoder.ex" in caplog.text
    )
    assert load_weights(path).card["left_random"] == ["decoder.1"]
    again = import_published(saved(tmp_path, state), tmp_path / "again.safetensors")
    one, other = (load_weights(file).state for file in (path, again))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_organs_name_the_classes_and_must_be_as_many(tmp_path: Path) -> None:
    file, out = saved(tmp_path, torch_state(classes=4)), tmp_path / "out.safetensors"
    with pytest.raises(LabelError, match="has 4 classes, background included, got 1 organs: liver"):
        import_published(file, out, organs=["liver"])
    recipe = load_weights(import_published(file, out)).recipe
    assert recipe.organs == {"class_1": 1, "class_2": 2, "class_3": 3}
    start = archived(tmp_path, jax_arrays())
    path = import_published(start, out, organs=["liver", "spleen"], overwrite=True)
    assert load_weights(path).state["a.head.weight"].shape[0] == 3


def test_the_command_takes_the_classes(tmp_path: Path, door: Callable[..., Any]) -> None:
    file, out = saved(tmp_path, torch_state(classes=3)), tmp_path / "out.safetensors"
    done = door("slicekit", "import-weights", file, "-o", out, "--classes", "liver", "spleen")
    assert done.code == 0, done.err
    assert load_weights(out).recipe.organs == {"liver": 1, "spleen": 2}


NORM = "Transformer/encoder_norm/scale"
KEYS = "Transformer/encoderblock_0/MultiHeadDotProductAttention_1/key/kernel"
PLACES = "Transformer/posembed_input/pos_embedding"


@pytest.mark.parametrize(
    ("name", "replaced", "said"),
    [
        ("conv_root/kernel", None, "missing: patch_embed.backbone.stem.conv.weight"),
        ("block1/unit9/conv1/kernel", torch.zeros(1, 1, 2, 2), "not known to the network: "),
        ("embedding/bias", torch.zeros(3), "of another shape: patch_embed.proj.bias (file (3,)"),
        (KEYS, torch.zeros(2), "missing: blocks.0.attn.qkv.weight"),
        (NORM, torch.zeros(WIDTH, dtype=torch.int32), "of another kind of number: norm.weight"),
        (NORM, torch.full((WIDTH,), torch.nan), "not finite: a.encoder.norm.weight"),
        (PLACES, torch.zeros(1, 8, WIDTH), "of another shape: pos_embed (file (1, 7, 32)"),
    ],
)
def test_another_encoder_is_refused_by_name(
    tmp_path: Path, name: str, replaced: torch.Tensor | None, said: str
) -> None:
    arrays = jax_arrays()
    arrays.pop(name, None)
    if replaced is not None:
        arrays[name] = replaced.numpy()
    file = archived(tmp_path, arrays)
    with pytest.raises(CheckpointError) as caught:
        import_published(file, tmp_path / "out.safetensors")
    assert str(caught.value).startswith(str(file))
    assert said in str(caught.value)
    assert not (tmp_path / "out.safetensors").exists()


def test_an_encoder_of_the_torch_naming_must_fit_as_well(tmp_path: Path) -> None:
    state: State = torch_state()
    del state["transformer.encoder.layer.0.attn.query.bias"]
    with pytest.raises(CheckpointError, match=r"missing: blocks\.0\.attn\.qkv\.bias"):
        import_published(saved(tmp_path, state), tmp_path / "out.safetensors")


def test_arrays_that_hold_programs_are_never_opened(tmp_path: Path) -> None:
    trap = tmp_path / "trap.npz"
    np.savez(trap, **{"conv_root/kernel": np.array([Path], dtype=object)})
    with pytest.raises(CheckpointError, match="holds more than numbers"):
        import_published(trap, tmp_path / "out.safetensors")
