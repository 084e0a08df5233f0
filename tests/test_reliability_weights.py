"""Weights that are damaged or foreign, one test a case.

The numbers are those of the project's list of fault cases.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from slicekit.checkpoint import Weights, load_weights, retrieve, save_weights, store
from slicekit.errors import CheckpointError
from slicekit.inference.model import build_network, load_model
from slicekit.recipes import Recipe
from slicekit.runtime import Runtime

RUNTIME = Runtime(torch.device("cpu"), bf16=False, threads=1)


@pytest.fixture
def recipe(make_recipe: Callable[..., Recipe]) -> Recipe:
    return make_recipe("propagator")


@pytest.fixture
def weights(tmp_path: Path, recipe: Recipe) -> Path:
    """A real, untrained weights file."""
    path = tmp_path / "tiny_propagator.safetensors"
    torch.manual_seed(0)
    save_weights(path, build_network(recipe).state_dict(), recipe, card={})
    return path


def refusal(path: Path) -> str:
    """Load weights that must be refused, quickly; the path leads the message."""
    started = time.perf_counter()
    with pytest.raises(CheckpointError) as caught:
        load_weights(path)
    assert time.perf_counter() - started < 2
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def header_of(path: Path) -> tuple[dict[str, object], int]:
    """The JSON at the head of a safetensors file, and where its tensors begin."""
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), end


@pytest.mark.parametrize("keep", [0, 4, 8, 9, 100, 0.5, -1])
def test_case_30_truncated_and_empty_weights(weights: Path, keep: float) -> None:
    whole = weights.read_bytes()
    weights.write_bytes(whole[: round(keep * len(whole)) if 0 < keep < 1 else int(keep)])
    said = refusal(weights)
    assert "cut short" in said or "damaged" in said


@pytest.mark.parametrize(
    "content", [b"<!DOCTYPE html><title>404</title>", b"\x1f\x8b" + bytes(40), b"\0" * 64]
)
def test_case_30_wrong_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    assert "not a safetensors file" in refusal(path)


def test_case_30_absent_file_folder_and_foreign_weights(tmp_path: Path, weights: Path) -> None:
    assert "No such file" in refusal(tmp_path / "absent.safetensors")
    assert "cannot be read" in refusal(tmp_path)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.ones(1)}, foreign)
    assert "its header says format None, wanted 'slicekit-1'" in refusal(foreign)
    store(foreign, {"a": torch.ones(1)}, {"run": "{}"})
    assert "holds no recipe; it may be the state of a training run" in refusal(foreign)


def test_case_30_wrong_architecture_names_the_tensors(
    tmp_path: Path, make_recipe: Callable[..., Recipe]
) -> None:
    path = tmp_path / "tiny_reference.safetensors"
    other = build_network(make_recipe("propagator")).state_dict()
    save_weights(path, other, make_recipe("reference"), card={})
    with pytest.raises(
        CheckpointError, match=r"does not fit the network: \d+ tensors missing: a\."
    ):
        load_model(path, RUNTIME, propagator=False)


@pytest.mark.parametrize("fault", ["extra", "missing", "shape"])
def test_case_30_extra_missing_and_misshapen_keys_are_named(
    weights: Path, make_recipe: Callable[..., Recipe], fault: str
) -> None:
    reference = make_recipe("reference")
    state = dict(build_network(reference).state_dict())
    name = next(iter(state))
    if fault == "extra":
        state["a.new_layer.weight"] = torch.ones(2)
    elif fault == "missing":
        del state[name]
    else:
        state[name] = torch.ones(2, 2)
    save_weights(weights, state, reference, card={})
    wanted = {
        "extra": "1 tensors not known to the network: a.new_layer.weight",
        "missing": f"1 tensors missing: {name}",
        "shape": rf"1 tensors of another shape: {name} \(file \(2, 2\)",
    }
    with pytest.raises(CheckpointError, match=wanted[fault]):
        load_model(weights, RUNTIME, propagator=False)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_case_30_nan_in_a_file_that_is_otherwise_right(
    weights: Path, recipe: Recipe, value: float
) -> None:
    state = {name: tensor.clone() for name, tensor in retrieve(weights).tensors.items()}
    name = next(name for name, tensor in state.items() if tensor.dim() == 4)
    state[name][0, 0, 0, 0] = value
    store(weights, state, {"recipe": recipe.to_json(), "card": "{}"})
    assert f"1 tensors not finite: {name}" in refusal(weights)


def test_case_30_bit_flips_in_the_tensors(weights: Path) -> None:
    whole, (_, begin) = weights.read_bytes(), header_of(weights)
    for position in np.random.default_rng(1).integers(begin, len(whole), 20):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(position % 8)
        weights.write_bytes(damaged)
        assert "is damaged: its tensors have SHA-256" in refusal(weights)


def test_case_30_bit_flips_in_the_header(weights: Path) -> None:
    """Even one that leaves good JSON behind, such as another window."""
    whole, (_, begin) = weights.read_bytes(), header_of(weights)
    spacing = whole.index(b"spacing_mm") + len(b'spacing_mm\\":')
    assert whole[spacing : spacing + 1] == b"6"
    for position in (spacing, *np.random.default_rng(1).integers(8, begin, 40)):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        weights.write_bytes(damaged)
        try:
            loaded = load_weights(weights)
        except CheckpointError:
            continue
        assert is_the_same(loaded, whole, weights)


def is_the_same(loaded: Weights, whole: bytes, path: Path) -> bool:
    """A flip may hit what means nothing, such as padding or the name of the digest itself."""
    path.write_bytes(whole)
    right = load_weights(path)
    return (loaded.recipe, loaded.card, loaded.sha256) == (right.recipe, right.card, right.sha256)


def write_toml(path: Path, recipe: Recipe, *, organs: dict[str, int], more: str = "") -> Path:
    """Write the recipe file of a tiny model."""
    lines = [f'name = "{recipe.name}"', f'role = "{recipe.role}"', more]
    lines += ["[input]", f'windows = "{recipe.input.windows}"', "spacing_mm = 6.0"]
    lines += ["[training]", "steps = 6"]
    for network in recipe.networks:
        lines += ["[[networks]]", f'kind = "{network.kind}"', f'preset = "{network.preset}"']
    lines += ["[organs]", *(f"{name} = {number}" for name, number in organs.items())]
    path.write_text("\n".join(lines))
    return path


def test_case_33_weights_of_another_label_map(
    tmp_path: Path, make_recipe: Callable[..., Recipe]
) -> None:
    theirs = make_recipe("reference")
    path = tmp_path / "tiny_reference.safetensors"
    save_weights(path, build_network(theirs).state_dict(), theirs, card={})
    file = write_toml(path.with_suffix(".toml"), theirs, organs=theirs.organs)
    assert load_model(file, RUNTIME).recipe.organs == theirs.organs
    swapped = {"liver": "spleen", "spleen": "liver"}
    organs = {swapped.get(name, name): number for name, number in theirs.organs.items()}
    with pytest.raises(CheckpointError) as caught:
        load_model(write_toml(file, theirs, organs=organs), RUNTIME)
    assert "another recipe" in str(caught.value)
    assert "organs.liver is 6 there, 1 here; organs.spleen is 1 there, 6 here" in str(caught.value)


def test_case_33_weights_of_another_version(weights: Path, recipe: Recipe) -> None:
    header, begin = header_of(weights)
    header["__metadata__"]["format"] = "slicekit-0"
    text = json.dumps(header).encode()
    weights.write_bytes(len(text).to_bytes(8, "little") + text + weights.read_bytes()[begin:])
    assert "format 'slicekit-0', wanted 'slicekit-1'" in refusal(weights)
    values = json.loads(recipe.to_json()) | {"teacher": "b"}
    store(weights, {"a": torch.ones(1)}, {"recipe": json.dumps(values), "card": "{}"})
    assert "unknown key 'teacher'" in refusal(weights)


def test_case_33_weights_that_the_recipe_does_not_ask_for(
    tmp_path: Path, make_recipe: Callable[..., Recipe]
) -> None:
    recipe = make_recipe("reference")
    path = tmp_path / "tiny_reference.safetensors"
    sha256 = save_weights(path, build_network(recipe).state_dict(), recipe, card={})
    for asked in (sha256, "0123456789abcdef"):
        more = f'weights = {{file = "{path.name}", sha256 = "{asked}"}}'
        file = write_toml(path.with_suffix(".toml"), recipe, organs=recipe.organs, more=more)
        if asked == sha256:
            assert load_model(file, RUNTIME).sha256 == {recipe.name: sha256}
    with pytest.raises(CheckpointError, match=r"asks for 0123456789ab\.*; they are other weights"):
        load_model(file, RUNTIME)
