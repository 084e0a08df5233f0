"""Published weights of a TransUNet, or of its encoder alone, under our names.

Two namings are known: that of the authors' torch code (Chen et al. 2021), and that of the
ImageNet weights R50+ViT-B_16 (Dosovitskiy et al. 2021), numpy arrays of a JAX program.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn

from slicekit.checkpoint import misfits
from slicekit.errors import CheckpointError, LabelError
from slicekit.networks import build
from slicekit.networks.transunet import PRESETS, STRIDE
from slicekit.published.opening import WANTED

log = logging.getLogger(__name__)

OF_JAX = ("paper",)
"""Presets that pad as the JAX program did."""
OF_TORCH = ("published-224", "published-512")
"""Presets that answer as the authors' torch code does, by the size they were trained at."""

Rules = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]

_EMBEDDINGS = "transformer.embeddings."
_RESNET = f"{_EMBEDDINGS}hybrid_model."
_POSITIONS = "encoder.pos_embed"
_HEAD = "head.weight"
_CLASSIFIER = r"cls|head/.*|pre_logits/.*"
"""Arrays of the ImageNet classifier that a segmentation has no use for."""
_JAX_TO_TORCH: Rules = (
    (r"/", "."),
    (r"\b(kernel|scale)$", "weight"),
    (r"^(conv|gn)_root\.", rf"{_RESNET}root.\1."),
    (r"^block", f"{_RESNET}body.block"),
    (r"\.conv_proj\.", ".downsample."),
    (r"^embedding\.", f"{_EMBEDDINGS}patch_embeddings."),
    (r"^Transformer\.posembed_input\.pos_embedding$", f"{_EMBEDDINGS}position_embeddings"),
    (r"^Transformer\.encoderblock_", "transformer.encoder.layer."),
    (r"^Transformer\.encoder_norm\.", "transformer.encoder.encoder_norm."),
    (r"\.LayerNorm_0\.", ".attention_norm."),
    (r"\.LayerNorm_2\.", ".ffn_norm."),
    (r"\.MultiHeadDotProductAttention_1\.", ".attn."),
    (r"\.MlpBlock_3\.Dense_(\d)\.", lambda found: f".ffn.fc{int(found[1]) + 1}."),
)
_TORCH_TO_OURS: Rules = (
    (rf"^{_RESNET}root\.conv\.", "encoder.patch_embed.backbone.stem.conv."),
    (rf"^{_RESNET}root\.gn\.", "encoder.patch_embed.backbone.stem.norm."),
    (
        rf"^{_RESNET}body\.block(\d+)\.unit(\d+)\.",
        lambda found: (
            f"encoder.patch_embed.backbone.stages.{int(found[1]) - 1}.blocks.{int(found[2]) - 1}."
        ),
    ),
    (r"\.downsample\.weight$", ".downsample.conv.weight"),
    (r"\.gn_proj\.", ".downsample.norm."),
    (r"\.gn(\d)\.", r".norm\1."),
    (rf"^{_EMBEDDINGS}patch_embeddings\.", "encoder.patch_embed.proj."),
    (rf"^{_EMBEDDINGS}position_embeddings$", _POSITIONS),
    (r"^transformer\.encoder\.encoder_norm\.", "encoder.norm."),
    (r"^transformer\.encoder\.layer\.", "encoder.blocks."),
    (r"\.attention_norm\.", ".norm1."),
    (r"\.ffn_norm\.", ".norm2."),
    (r"\.ffn\.", ".mlp."),
    (r"\.attn\.out\.", ".attn.proj."),
    (r"^decoder\.conv_more\.", "bridge."),
    (r"^decoder\.blocks\.", "decoder."),
    (r"^segmentation_head\.0\.", "head."),
)


def is_jax(state: Mapping[str, Tensor]) -> bool:
    """Tell whether names are those of a JAX program."""
    return any("/" in name for name in state)


def is_transunet(state: Mapping[str, Tensor]) -> bool:
    """Tell whether names are those of the authors' torch code."""
    return any(name.startswith(_EMBEDDINGS) for name in state)


def from_jax(arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the encoder's arrays as the torch code names and lays them out.

    Classifier and class token are left out, and so is the class token's position.
    """
    state = {}
    for name, array in arrays.items():
        if re.fullmatch(_CLASSIFIER, name):
            continue
        renamed = _renamed(name, _JAX_TO_TORCH)
        kernel, axes = name.endswith("/kernel"), array.dim()
        if name.endswith("/pos_embedding") and axes == 3:
            state[renamed] = array[:, 1:]
        elif kernel and axes == 4:  # (y, x, in, out)
            state[renamed] = array.permute(3, 2, 0, 1)
        elif kernel and axes == 3 and "/out/" in name:  # (heads, numbers, out)
            state[renamed] = array.flatten(0, 1).T
        elif kernel and axes in (2, 3):  # (in, out), or (in, heads, numbers)
            state[renamed] = array.flatten(1).T
        else:
            state[renamed] = array.flatten()
    return state


def of_transunet(
    published: Mapping[str, Tensor],
    *,
    presets: Sequence[str],
    organs: Sequence[str],
    file: Path,
) -> tuple[dict[str, Tensor], dict[str, Any], tuple[str, ...]]:
    """Return the weights of a reference of one network, its recipe, and what was left random.

    The encoder must fit; position embeddings of another size are resampled. Of the rest is
    taken what fits, and the log says what does not.

    Args:
        published: A state dict as the torch code names it.
        presets: Networks to choose from, the last where none has the file's grid of positions.
        organs: What the classes are, but for the background; ``class_1``, ... when empty.
        file: Where it came from.

    Raises:
        CheckpointError: The encoder is another one.
        LabelError: There are other organs than classes.
    """
    found = _joined({_renamed(name, _TORCH_TO_OURS): value for name, value in published.items()})
    preset = _preset_for(found, presets)
    head = found.get(_HEAD)
    classes = len(head) if head is not None and head.dim() == 4 else len(organs) + 1
    if organs and len(organs) + 1 != classes:
        raise LabelError(
            f"{file}: has {classes} classes, background included, got {len(organs)} organs: "
            f"{', '.join(organs)}"
        )
    classes = max(classes, 2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build("transunet", preset, classes=classes)
    _expect_encoder(network, found, file)
    state = network.state_dict()
    fitting = {
        name: value
        for name, value in found.items()
        if name in state
        and value.shape == state[name].shape
        and value.is_floating_point() == state[name].is_floating_point()
    }
    random = tuple(sorted({_part(name) for name in state if name not in fitting}))
    if random:
        log.warning("%s: left random, so train before use: %s", file, ", ".join(random))
    if surplus := sorted(set(found) - set(fitting)):
        log.warning("%s: not taken, since nothing here is so: %s", file, ", ".join(surplus[:5]))
    whole = state | {n: value.to(state[n].dtype) for n, value in fitting.items()}
    names = organs or [f"class_{number}" for number in range(1, classes)]
    return (
        {f"a.{name}": value.contiguous().clone() for name, value in whole.items()},
        _recipe(preset, names),
        random,
    )


def _recipe(preset: str, organs: Sequence[str]) -> dict[str, Any]:
    """Describe the reference; which windows and pixels it learnt from the file does not say."""
    small = PRESETS[preset].grid * STRIDE <= 256
    return {
        "role": "reference",
        "about": "Published TransUNet weights",
        "input": {
            "modality": "CT",
            "windows": ((-125.0, 275.0),) * 3,
            "spacing_mm": 1.75 if small else 0.75,
            "body_above_hu": None,
        },
        "organs": {organ: number for number, organ in enumerate(organs, start=1)},
        "networks": [{"kind": "transunet", "preset": preset}],
        "training": {"steps": 1, "method": "supervised"},  # more is not known
    }


def _renamed(name: str, rules: Rules) -> str:
    for pattern, new in rules:
        name = re.sub(pattern, new, name)
    return name


def _joined(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Join queries, keys and values, which are one matrix in our encoder."""
    joined = dict(state)
    for name in state:
        if ".attn.query." in name:
            parts = [name.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
            shapes = {state[part].shape for part in parts if part in state}
            if all(part in state for part in parts) and len(shapes) == 1 and state[name].dim():
                joined[name.replace(".query.", ".qkv.")] = torch.cat([state[p] for p in parts])
                for part in parts:
                    del joined[part]
    return joined


def _preset_for(found: dict[str, Tensor], presets: Sequence[str]) -> str:
    """Choose the network with the file's grid of positions, else resample them, in place."""
    positions = found.get(_POSITIONS)
    if positions is None or positions.dim() != 3:
        return presets[-1]
    for preset in presets:
        if PRESETS[preset].grid ** 2 == positions.shape[1]:
            return preset
    side = math.isqrt(positions.shape[1])
    if side and side**2 == positions.shape[1]:
        grid = [PRESETS[presets[-1]].grid] * 2
        found[_POSITIONS] = resample_abs_pos_embed(
            positions.float(), grid, [side, side], 0, interpolation="bilinear", antialias=False
        )
    return presets[-1]


def _expect_encoder(network: nn.Module, found: Mapping[str, Tensor], file: Path) -> None:
    """Refuse another encoder than ours, name by name."""
    prefix = "encoder."
    encoder = {n.removeprefix(prefix): v for n, v in found.items() if n.startswith(prefix)}
    if faults := misfits(network.get_submodule("encoder"), encoder):
        raise CheckpointError(
            f"{file}: its encoder is not that of TransUNet R50-ViT-B_16: {'; '.join(faults)}; "
            f"{WANTED}"
        )


def _part(name: str) -> str:
    """Name the part of a network that a tensor belongs to."""
    first, second, *_ = name.split(".")
    return f"{first}.{second}" if first == "decoder" else first
