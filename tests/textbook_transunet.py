"""TransUNet as its formulas say, on weights under the names of others.

Slow and explicit, and no part of the library: what imported weights are compared with.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from slicekit.networks.transunet import TransUNetConfig

WIDTH, HEADS, GRID = 32, 2, 4
UNITS = (2, 1, 1)
TRIAL = TransUNetConfig(
    standardised=True, stem=32, layers=UNITS, channels=(128, 256, 512), width=WIDTH, depth=2,
    heads=HEADS, grid=GRID, bridge=32, decoder=(16, 8, 8, 8), position=True,
)  # fmt: skip
State = dict[str, Tensor]
Arrays = dict[str, np.ndarray[Any, Any]]


def numbers() -> Callable[..., Tensor]:
    """Random weights that float16 holds exactly; norms are near 1."""
    random = torch.Generator().manual_seed(5)

    def draw(*shape: int, fan: int = 0) -> Tensor:
        drawn = torch.randn(shape, generator=random)
        return (drawn * fan**-0.5 if fan else 1 + 0.1 * drawn).half().float()

    return draw


def units() -> list[tuple[int, int, int, int, int]]:
    """Block, unit, channels in, channels within and out of every residual unit."""
    found, inputs = [], 32
    for block, (count, outputs) in enumerate(zip(UNITS, TRIAL.channels, strict=True), start=1):
        for unit in range(1, count + 1):
            found.append((block, unit, inputs, outputs // 4, outputs))
            inputs = outputs
    return found


def jax_arrays() -> Arrays:
    """The encoder in the naming and layout of the ImageNet weights."""
    draw, each = numbers(), WIDTH // HEADS
    state = {"conv_root/kernel": draw(7, 7, 3, 32, fan=147), "cls": draw(1, 1, WIDTH)}
    state |= {f"gn_root/{name}": draw(1, 1, 1, 32) for name in ("scale", "bias")}
    for block, unit, inputs, within, outputs in units():
        shapes = {"1": (1, inputs, within), "2": (3, within, within), "3": (1, within, outputs)}
        shapes |= {"_proj": (1, inputs, outputs)} if unit == 1 else {}
        for which, (side, c, k) in shapes.items():
            at = f"block{block}/unit{unit}/"
            state[f"{at}conv{which}/kernel"] = draw(side, side, c, k, fan=side * side * c)
            state |= {f"{at}gn{which}/{name}": draw(1, 1, 1, k) for name in ("scale", "bias")}
    state["embedding/kernel"], state["embedding/bias"] = (
        draw(1, 1, 512, WIDTH, fan=512),
        draw(WIDTH),
    )
    state["Transformer/posembed_input/pos_embedding"] = draw(1, 1 + GRID**2, WIDTH)
    for n in range(TRIAL.depth):
        at = f"Transformer/encoderblock_{n}/"
        heads, mlp = f"{at}MultiHeadDotProductAttention_1/", f"{at}MlpBlock_3/Dense_"
        for norm in ("LayerNorm_0", "LayerNorm_2"):
            state |= {f"{at}{norm}/{name}": draw(WIDTH) for name in ("scale", "bias")}
        for name in ("query", "key", "value"):
            state[f"{heads}{name}/kernel"] = draw(WIDTH, HEADS, each, fan=WIDTH)
            state[f"{heads}{name}/bias"] = draw(HEADS, each)
        state[f"{heads}out/kernel"] = draw(HEADS, each, WIDTH, fan=WIDTH)
        state[f"{heads}out/bias"] = draw(WIDTH)
        state[f"{mlp}0/kernel"], state[f"{mlp}0/bias"] = draw(WIDTH, 128, fan=WIDTH), draw(128)
        state[f"{mlp}1/kernel"], state[f"{mlp}1/bias"] = draw(128, WIDTH, fan=128), draw(WIDTH)
    state |= {f"Transformer/encoder_norm/{name}": draw(WIDTH) for name in ("scale", "bias")}
    state |= {"head/kernel": draw(WIDTH, 10), "head/bias": draw(10), "pre_logits/bias": draw(WIDTH)}
    return {name: value.numpy() for name, value in state.items()}


def torch_state(classes: int = 3) -> State:
    """The whole network in the naming of the authors' code."""
    draw, root = numbers(), "transformer.embeddings.hybrid_model."
    state = {f"{root}root.conv.weight": draw(32, 3, 7, 7, fan=147)}

    def norm(at: str, width: int) -> None:
        state.update({f"{at}.{name}": draw(width) for name in ("weight", "bias")})

    def linear(at: str, outputs: int, inputs: int) -> None:
        state.update(
            {f"{at}.weight": draw(outputs, inputs, fan=inputs), f"{at}.bias": draw(outputs)}
        )

    def conv_norm(at: str, outputs: int, inputs: int) -> None:
        state[f"{at}.0.weight"] = draw(outputs, inputs, 3, 3, fan=9 * inputs)
        norm(f"{at}.1", outputs)
        state[f"{at}.1.running_mean"], state[f"{at}.1.running_var"] = draw(outputs), draw(outputs)
        state[f"{at}.1.num_batches_tracked"] = torch.tensor(7)

    norm(f"{root}root.gn", 32)
    for block, unit, inputs, within, outputs in units():
        at = f"{root}body.block{block}.unit{unit}."
        for n, (side, c, k) in enumerate(
            ((1, inputs, within), (3, within, within), (1, within, outputs))
        ):
            state[f"{at}conv{n + 1}.weight"] = draw(k, c, side, side, fan=side * side * c)
            norm(f"{at}gn{n + 1}", k)
        if unit == 1:
            state[f"{at}downsample.weight"] = draw(outputs, inputs, 1, 1, fan=inputs)
            norm(f"{at}gn_proj", outputs)
    state["transformer.embeddings.patch_embeddings.weight"] = draw(WIDTH, 512, 1, 1, fan=512)
    state["transformer.embeddings.patch_embeddings.bias"] = draw(WIDTH)
    state["transformer.embeddings.position_embeddings"] = draw(1, GRID**2, WIDTH)
    for n in range(TRIAL.depth):
        at = f"transformer.encoder.layer.{n}."
        norm(f"{at}attention_norm", WIDTH)
        norm(f"{at}ffn_norm", WIDTH)
        for name in ("query", "key", "value", "out"):
            linear(f"{at}attn.{name}", WIDTH, WIDTH)
        linear(f"{at}ffn.fc1", 128, WIDTH)
        linear(f"{at}ffn.fc2", WIDTH, 128)
    norm("transformer.encoder.encoder_norm", WIDTH)
    conv_norm("decoder.conv_more", 32, WIDTH)
    ways = zip((32, 16, 8, 8), (256, 128, 32, 0), TRIAL.decoder, strict=True)
    for n, (inputs, skip, outputs) in enumerate(ways):
        conv_norm(f"decoder.blocks.{n}.conv1", outputs, inputs + skip)
        conv_norm(f"decoder.blocks.{n}.conv2", outputs, outputs)
    state["segmentation_head.0.weight"] = draw(classes, 8, 3, 3, fan=72)
    state["segmentation_head.0.bias"] = draw(classes)
    return state


def grouped(
    x: Tensor, weight: Tensor, bias: Tensor, *, groups: int = 32, eps: float = 1e-6
) -> Tensor:
    parts = x.unflatten(1, (groups, -1)).flatten(2)
    mean, var = parts.mean(-1, keepdim=True), parts.var(-1, unbiased=False, keepdim=True)
    normed = ((parts - mean) / (var + eps).sqrt()).reshape(x.shape)
    return normed * weight.reshape(1, -1, 1, 1) + bias.reshape(1, -1, 1, 1)


def layered(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    mean, var = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
    return (x - mean) / (var + 1e-6).sqrt() * weight + bias


def jax_encoder(arrays: Arrays, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The ImageNet network: weight standardisation, SAME padding, attention, all as formulas."""
    w = {name: torch.from_numpy(value) for name, value in arrays.items()}

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        kernel = w[f"{name}/kernel"]  # (y, x, in, out)
        kernel = kernel - kernel.mean((0, 1, 2))
        kernel = kernel / (kernel.var((0, 1, 2), unbiased=False).sqrt() + 1e-5)
        side, less = len(kernel), len(kernel) - stride
        if less > 0:  # the larger half of SAME padding comes last
            x = F.pad(x, (less // 2, less - less // 2) * 2)
        pieces = F.unfold(x, side, stride=stride).transpose(1, 2)
        out = pieces @ kernel.permute(2, 0, 1, 3).reshape(-1, kernel.shape[-1])
        return out.transpose(1, 2).unflatten(2, ((x.shape[-1] - side) // stride + 1,) * 2)

    def norm(x: Tensor, name: str) -> Tensor:
        return grouped(x, w[f"{name}/scale"], w[f"{name}/bias"])

    x = norm(conv(x, "conv_root", 2), "gn_root").relu()
    skips = [x]
    x = F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-math.inf), 3, 2)
    for block, unit, *_ in units():
        at, stride = f"block{block}/unit{unit}/", 2 if unit == 1 and block > 1 else 1
        y = norm(conv(x, f"{at}conv1"), f"{at}gn1").relu()
        y = norm(conv(y, f"{at}conv2", stride), f"{at}gn2").relu()
        y = norm(conv(y, f"{at}conv3"), f"{at}gn3")
        if unit == 1:
            x = norm(conv(x, f"{at}conv_proj", stride), f"{at}gn_proj")
        x = (x + y).relu()
        skips = [*skips[:block], x]
    t = torch.einsum("bcyx,cd->byxd", x, w["embedding/kernel"][0, 0]).flatten(1, 2)
    t = t + w["embedding/bias"] + w["Transformer/posembed_input/pos_embedding"][:, 1:]
    for n in range(TRIAL.depth):
        at = f"Transformer/encoderblock_{n}/"
        heads, mlp = f"{at}MultiHeadDotProductAttention_1/", f"{at}MlpBlock_3/Dense_"
        seen = layered(t, w[f"{at}LayerNorm_0/scale"], w[f"{at}LayerNorm_0/bias"])
        q, k, v = (
            torch.einsum("btd,dhn->bthn", seen, w[f"{heads}{name}/kernel"])
            + w[f"{heads}{name}/bias"]
            for name in ("query", "key", "value")
        )
        share = (torch.einsum("bthn,bshn->bhts", q, k) / math.sqrt(WIDTH / HEADS)).softmax(-1)
        read = torch.einsum("bhts,bshn->bthn", share, v)
        t = t + torch.einsum("bthn,hnd->btd", read, w[f"{heads}out/kernel"]) + w[f"{heads}out/bias"]
        seen = layered(t, w[f"{at}LayerNorm_2/scale"], w[f"{at}LayerNorm_2/bias"])
        inner = F.gelu(seen @ w[f"{mlp}0/kernel"] + w[f"{mlp}0/bias"])
        t = t + inner @ w[f"{mlp}1/kernel"] + w[f"{mlp}1/bias"]
    t = layered(t, w["Transformer/encoder_norm/scale"], w["Transformer/encoder_norm/bias"])
    return t.transpose(1, 2).unflatten(2, (GRID, GRID)), skips[2::-1]


def torch_network(w: State, x: Tensor) -> Tensor:
    """The authors' network: symmetric padding, pooling without any, enlarging by the corners."""
    root = "transformer.embeddings.hybrid_model."

    def conv(x: Tensor, name: str, *, stride: int = 1) -> Tensor:
        weight = w[f"{name}.weight"]
        weight = weight - weight.mean((1, 2, 3), keepdim=True)
        var = weight.var((1, 2, 3), unbiased=False, keepdim=True)
        return F.conv2d(x, weight / (var + 1e-5).sqrt(), None, stride, weight.shape[-1] // 2)

    def norm(x: Tensor, name: str, **options: Any) -> Tensor:
        return grouped(x, w[f"{name}.weight"], w[f"{name}.bias"], **options)

    def layer(x: Tensor, name: str) -> Tensor:
        return layered(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def conv_norm(x: Tensor, name: str) -> Tensor:
        x = F.conv2d(x, w[f"{name}.0.weight"], padding=1)
        mean, var, weight, bias = (
            w[f"{name}.1.{part}"].reshape(1, -1, 1, 1)
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return ((x - mean) / (var + 1e-5).sqrt() * weight + bias).relu()

    size = x.shape[-1]
    x = norm(conv(x, f"{root}root.conv", stride=2), f"{root}root.gn").relu()
    skips = [x]
    x = F.max_pool2d(x, 3, 2)
    for block, unit, *_, outputs in units():
        at, stride = f"{root}body.block{block}.unit{unit}.", 2 if unit == 1 and block > 1 else 1
        y = norm(conv(x, f"{at}conv1"), f"{at}gn1").relu()
        y = norm(conv(y, f"{at}conv2", stride=stride), f"{at}gn2").relu()
        y = norm(conv(y, f"{at}conv3"), f"{at}gn3")
        if unit == 1:
            shortcut = conv(x, f"{at}downsample", stride=stride)
            x = norm(shortcut, f"{at}gn_proj", groups=outputs, eps=1e-5)
        x = (x + y).relu()
        short = size // 2 ** (block + 1) - x.shape[-1]
        skips = [*skips[:block], F.pad(x, (0, short, 0, short))]
    embedding = w["transformer.embeddings.patch_embeddings.weight"][:, :, 0, 0]
    t = (
        x.flatten(2).transpose(1, 2) @ embedding.T
        + w["transformer.embeddings.patch_embeddings.bias"]
    )
    t = t + w["transformer.embeddings.position_embeddings"]
    for n in range(TRIAL.depth):
        at = f"transformer.encoder.layer.{n}."
        seen = layer(t, f"{at}attention_norm")
        q, k, v = (
            linear(seen, f"{at}attn.{name}").unflatten(2, (HEADS, -1)).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        share = (q @ k.transpose(2, 3) / math.sqrt(WIDTH / HEADS)).softmax(-1)
        t = t + linear((share @ v).transpose(1, 2).flatten(2), f"{at}attn.out")
        inner = F.gelu(linear(layer(t, f"{at}ffn_norm"), f"{at}ffn.fc1"))
        t = t + linear(inner, f"{at}ffn.fc2")
    t = layer(t, "transformer.encoder.encoder_norm")
    x = conv_norm(t.transpose(1, 2).unflatten(2, (GRID, GRID)), "decoder.conv_more")
    for n, skip in enumerate([*skips[2::-1], None]):
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        x = x if skip is None else torch.cat([x, skip], dim=1)
        x = conv_norm(conv_norm(x, f"decoder.blocks.{n}.conv1"), f"decoder.blocks.{n}.conv2")
    return F.conv2d(x, w["segmentation_head.0.weight"], w["segmentation_head.0.bias"], padding=1)
