"""Weights and run states on disk: safetensors, a card in the header, and a digest.

Nothing is ever unpickled. The header holds the recipe (so a weights file alone is enough to
predict), a card (what it was trained on, by what, how well it did) and the SHA-256 of all
tensors and of the header's own texts, which catch a flipped bit that the format itself would
load in silence.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from slicekit.errors import CheckpointError, RecipeError, WriteError
from slicekit.io.atomic import write_atomically
from slicekit.recipes import Recipe, recipe_from_json
from slicekit.recipes.weights_header import (
    FORMAT,
    digest_of_texts,
    expect_container,
    expect_format,
    expect_own_texts,
)

log = logging.getLogger(__name__)

_NAMED = 5


@dataclass(frozen=True, eq=False)
class Stored:
    """What a file of ours holds."""

    tensors: dict[str, Tensor]
    header: dict[str, str]
    sha256: str
    """Of all tensors, with their names, types and shapes."""


@dataclass(frozen=True, eq=False)
class Weights:
    """A trained network as a file holds it."""

    state: dict[str, Tensor]
    recipe: Recipe
    card: dict[str, Any]
    sha256: str
    path: Path


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over names, types, shapes and bytes of tensors."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def store(path: str | Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> str:
    """Write tensors and a header whole or not at all, and read them back to be sure.

    Returns:
        The SHA-256 of the tensors.

    Raises:
        WriteError: The file could not be written; what stood there before still stands.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    sha256 = digest(plain)
    texts = {**header, "format": FORMAT, "sha256": sha256}
    texts["header_sha256"] = digest_of_texts(texts)

    def write(file: Path) -> None:
        try:
            save_file(plain, file, metadata=texts)
        except SafetensorError as fault:
            raise WriteError(
                file, f"could not be written whole ({fault}); is the disk full?"
            ) from fault

    write_atomically(
        path,
        write,
        verify=lambda file: _verify(file, sha256),
    )
    return sha256


def retrieve(path: str | Path) -> Stored:
    """Read a file that ``store`` wrote.

    Raises:
        CheckpointError: It is missing, truncated, of another format or damaged.
    """
    file = Path(path)
    expect_container(file)
    try:
        with safe_open(file, framework="pt") as opened:
            header = dict(opened.metadata() or {})
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError) as fault:
        raise CheckpointError(f"{file}: is damaged or not a safetensors file ({fault})") from fault
    expect_format(file, header)
    found = digest(tensors)
    if found != header.get("sha256"):
        raise CheckpointError(
            f"{file}: is damaged: its tensors have SHA-256 {found[:12]}..., the header says "
            f"{str(header.get('sha256'))[:12]}...; fetch the file again"
        )
    expect_own_texts(file, header)
    return Stored(tensors, header, found)


def save_weights(
    path: str | Path, state: Mapping[str, Tensor], recipe: Recipe, *, card: Mapping[str, Any]
) -> str:
    """Write a network's weights as float16, with the recipe and a card in the header.

    Args:
        path: ``NAME.safetensors``.
        state: The network's state dict.
        recipe: What the network is.
        card: JSON-ready facts: data, steps, hardware, scores.

    Returns:
        The SHA-256 of the tensors.

    Raises:
        CheckpointError: A weight is not finite, in float32 or as float16.
        WriteError: The file could not be written.
    """
    halves = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in state.items()
    }
    expect_finite(halves, source=str(path))
    texts = {"recipe": recipe.to_json(), "card": json.dumps(dict(card), sort_keys=True)}
    return store(path, halves, texts)


def load_weights(path: str | Path) -> Weights:
    """Read a network's weights, as float32, with their recipe and card.

    Raises:
        CheckpointError: The file is missing, damaged, of another kind, or holds NaN.
    """
    stored = retrieve(path)
    if "recipe" not in stored.header:
        raise CheckpointError(
            f"{path}: holds no recipe; it may be the state of a training run, whose weights lie "
            "beside it under the name of the model"
        )
    try:
        recipe = recipe_from_json(stored.header["recipe"], source=str(path))
        card = json.loads(stored.header.get("card", "{}"))
    except (RecipeError, ValueError, RecursionError) as fault:
        raise CheckpointError(f"{path}: its header cannot be understood ({fault})") from fault
    expect_finite(stored.tensors, source=str(path))
    state = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in stored.tensors.items()
    }
    log.info("loaded %s (%s, sha256 %.12s)", path, recipe.name, stored.sha256)
    return Weights(state, recipe, card, stored.sha256, Path(path))


def fill(network: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Put weights into a network; every name and shape must fit.

    Raises:
        CheckpointError: Names are missing or too many, or shapes differ; the first are named.
    """
    if faults := misfits(network, state):
        raise CheckpointError(f"{source}: does not fit the network: " + "; ".join(faults))
    network.load_state_dict(dict(state))


def misfits(network: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """Say in which names, shapes and kinds of numbers weights differ from a network's.

    Returns:
        One phrase a kind of fault, which names the first tensors; empty where all fit.
    """
    want = network.state_dict()
    both = sorted(set(state) & set(want))
    return [
        *_named("missing", sorted(set(want) - set(state))),
        *_named("not known to the network", sorted(set(state) - set(want))),
        *_named(
            "of another shape",
            [
                f"{name} (file {tuple(state[name].shape)}, network {tuple(want[name].shape)})"
                for name in both
                if state[name].shape != want[name].shape
            ],
        ),
        *_named(
            "of another kind of number",
            [
                f"{name} (file {state[name].dtype}, network {want[name].dtype})"
                for name in both
                if state[name].is_floating_point() != want[name].is_floating_point()
            ],
        ),
    ]


def _verify(file: Path, sha256: str) -> None:
    if retrieve(file).sha256 != sha256:
        raise CheckpointError(f"{file}: reads back other than it was written; the disk is faulty")


def expect_finite(tensors: Mapping[str, Tensor], *, source: str) -> None:
    """Refuse NaN and infinity.

    Raises:
        CheckpointError: Some tensors hold them; the first are named.
    """
    bad = [
        name
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and not math.isfinite(float(tensor.double().abs().sum()))
    ]
    if bad:
        raise CheckpointError(f"{source}: {'; '.join(_named('not finite', bad))}")


def _named(what: str, names: list[str]) -> list[str]:
    if not names:
        return []
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [f"{len(names)} tensors {what}: {', '.join(names[:_NAMED])}{rest}"]
