"""STCN: masks of a few slices carried to the others through a memory of keys and values.

Written anew from its description (Cheng, Tai and Tang 2021, "Rethinking Space-Time Networks with
Improved Memory Coverage", sections 3 and 4). Parameter names and shapes of the ``paper`` preset
equal the published ones, so published weights load strictly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from slicekit.checks import expect_shape, suggest
from slicekit.errors import RecipeError, ShapeError
from slicekit.networks.stcn_parts import (
    Decoder,
    Features,
    KeyEncoder,
    KeyProjection,
    STCNConfig,
    ValueEncoder,
    full_precision,
)

__all__ = ["PRESETS", "STCN", "Features", "STCNConfig", "dense_read", "soft_aggregate", "stcn"]

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)

PRESETS: dict[str, STCNConfig] = {
    "tiny": STCNConfig(
        bottleneck=False, key_stem=8, key_widths=(8, 8, 16), key_layers=(1, 1, 1),
        value_widths=(8, 8, 8), value_layers=(1, 1, 1), key_dim=8, value_dim=16,
        decoder_widths=(16, 8, 8),
    ),
    "small": STCNConfig(
        bottleneck=False, key_stem=64, key_widths=(64, 128, 256), key_layers=(2, 2, 2),
        value_widths=(32, 64, 128), value_layers=(1, 2, 2), key_dim=64, value_dim=128,
        decoder_widths=(128, 64, 32),
    ),
    "region": STCNConfig(
        bottleneck=False, key_stem=64, key_widths=(64, 128, 256), key_layers=(2, 2, 2),
        value_widths=(32, 64, 128), value_layers=(1, 2, 2), key_dim=64, value_dim=128,
        decoder_widths=(128, 64, 32), prior=True,
    ),
    "paper": STCNConfig(
        bottleneck=True, key_stem=64, key_widths=(64, 128, 256), key_layers=(3, 4, 6),
        value_widths=(64, 128, 256), value_layers=(2, 2, 2), key_dim=64, value_dim=512,
        decoder_widths=(512, 256, 256),
    ),
}  # fmt: skip


class STCN(nn.Module):
    """The space-time correspondence network.

    Slices come as windows in [0, 1]; the ImageNet mean and deviation that published weights
    expect are applied inside. y and x must be multiples of 16: see
    ``slicekit.networks.blocks.pad_to_multiple``.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: STCNConfig) -> None:
        super().__init__()
        self.config = config
        self.key_encoder = KeyEncoder(config)
        s4, s8, s16 = self.key_encoder.channels
        self.value_encoder = ValueEncoder(config, key_channels=s16)
        self.key_proj = KeyProjection(s16, config.key_dim)
        self.key_comp = nn.Conv2d(s16, config.value_dim, 3, padding=1)
        self.decoder = Decoder(config, s8=s8, s4=s4)
        for name, numbers in (("mean", MEAN), ("deviation", DEVIATION)):
            self.register_buffer(name, torch.tensor(numbers)[:, None, None], persistent=False)

    def encode_key(
        self,
        frames: Tensor,  # (b, 3, y, x) windows in [0, 1]
    ) -> Features:
        """Look at slices without any mask.

        Raises:
            ShapeError: There are not 3 channels, or 16 does not divide y and x.
        """
        expect_grid("frames", frames, "b 3 y x")
        s4, s8, s16 = self.key_encoder((frames - self.mean) / self.deviation)
        return Features(self.key_proj(s16), self.key_comp(s16), s16, s8, s4)

    def encode_value(
        self,
        frames: Tensor,  # (b, 3, y, x) windows in [0, 1]
        masks: Tensor,  # (b, k, y, x) one channel an object, in [0, 1]
        s16: Tensor,  # (b, c, y/16, x/16) of ``encode_key`` for the same frames
    ) -> Tensor:  # (b, k, value_dim, y/16, x/16)
        """Look at slices with the masks of k objects.

        Raises:
            ShapeError: Slices and masks disagree, there is no object, or y and x are no multiples
                of 16.
        """
        b, k, y, x = expect_grid("masks", masks, "b k y x")
        expect_shape("frames", frames, f"{b} 3 {y} {x}")
        masks = masks.to(frames.dtype)
        others = masks.sum(dim=1, keepdim=True) - masks
        normal = ((frames - self.mean) / self.deviation)[:, None].expand(b, k, 3, y, x)
        views = torch.cat([normal, masks[:, :, None], others[:, :, None]], dim=2).flatten(0, 1)
        values: Tensor = self.value_encoder(in_order_of(frames, views), s16)
        return values.reshape(b, k, *values.shape[1:])

    def decode(
        self,
        readout: Tensor,  # (b, k, value_dim, h, w) of ``dense_read`` or a memory bank
        features: Features,  # of the slices that are asked about
        prior: Tensor | None = None,  # (b, k, 16 h, 16 w) -1 outside, 0 unknown, 1 inside
    ) -> Tensor:  # (b, k, 16 h, 16 w) logits, one sigmoid an object
        """Turn what was read from memory into one logit map an object.

        Args:
            readout: What the memory says.
            features: What the slices look like.
            prior: Where the objects were in the neighbouring slice, for a network that takes it.

        Raises:
            ShapeError: The readout has other axes, or no object.
        """
        b, _, h, w = features.thin.shape
        k = expect_shape("readout", readout, f"{b} k {self.config.value_dim} {h} {w}")["k"]
        if not k:
            raise ShapeError(f"readout must hold at least one object, got {tuple(readout.shape)}")
        folded = in_order_of(features.s16, readout.flatten(0, 1))
        if prior is not None and self.config.prior:
            expect_shape("prior", prior, f"{b} {k} {16 * h} {16 * w}")
            prior = in_order_of(folded, prior.to(folded.dtype).flatten(0, 1)[:, None])
        else:
            prior = None
        logits: Tensor = self.decoder(folded, features, prior)
        return logits.reshape(b, k, *logits.shape[2:])


def expect_grid(name: str, array: Tensor, axes: str) -> tuple[int, int, int, int]:
    """Return the sizes of four axes of which the last two are multiples of 16 and none is 0."""
    expect_shape(name, array, axes)
    b, c, y, x = array.shape
    if not array.numel() or y % 16 or x % 16:
        raise ShapeError(
            f"{name} must not be empty and have y and x in multiples of 16, got "
            f"{tuple(array.shape)}; pad with slicekit.networks.blocks.pad_to_multiple(slices, 16)"
        )
    return b, c, y, x


def in_order_of(model: Tensor, tensor: Tensor) -> Tensor:
    """Lay a tensor of four axes out channels last where ``model`` is."""
    last = model.is_contiguous(memory_format=torch.channels_last) and not model.is_contiguous()
    return tensor.contiguous(memory_format=torch.channels_last) if last else tensor


def soft_aggregate(
    probabilities: Tensor,  # (b, k, y, x) one sigmoid an object, in [0, 1]
) -> Tensor:  # (b, k + 1, y, x) float32, background first, summing to 1
    """Let the objects of a slice compete with one another and with the background.

    The background is what no object claims, the product of (1 - p); then a softmax over the log
    odds of all (Cheng et al. 2021, after Oh et al. 2019). No object leaves all to the background.

    Raises:
        ShapeError: There are not four axes.
    """
    expect_shape("probabilities", probabilities, "b k y x")
    p = probabilities.float()
    background = (1 - p).prod(dim=1, keepdim=True)
    odds = torch.cat([background, p], dim=1).clamp(1e-7, 1 - 1e-7)
    return torch.softmax(torch.logit(odds), dim=1)


def dense_read(
    memory_keys: Tensor,  # (b, ck, t, h, w)
    memory_values: Tensor,  # (b, k, cv, t, h, w)
    query_key: Tensor,  # (b, ck, hq, wq)
    *,
    top_k: int | None = None,
) -> Tensor:  # (b, k, cv, hq, wq) in the values' own precision
    """Read the values of the most similar memorised places; one affinity serves all objects.

    The score is the negative squared distance without the part that the softmax cancels,
    ``(2 k.q - |k|^2) / sqrt(ck)``, in float32 (Cheng et al. 2021, section 3.2).

    Args:
        memory_keys: Keys of t memorised slices.
        memory_values: Values of k objects in them.
        query_key: Keys of the slices that are asked about.
        top_k: Weigh only so many best places; all where ``None`` or more than there are.

    Raises:
        ShapeError: Axes disagree, or the memory is empty.
        ValueError: ``top_k`` is less than 1.
    """
    b, ck, t, h, w = expect_shape("memory_keys", memory_keys, "b ck t h w").values()
    sizes = expect_shape("memory_values", memory_values, f"{b} k cv {t} {h} {w}")
    query = expect_shape("query_key", query_key, f"{b} {ck} hq wq")
    if not t * h * w:
        raise ShapeError(f"memory_keys holds nothing to read, got {tuple(memory_keys.shape)}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}; None reads all places")
    with full_precision(query_key):
        keys = memory_keys.float().flatten(2)  # (b, ck, m)
        queries = query_key.float().flatten(2).transpose(1, 2)  # (b, n, ck)
        scores = torch.baddbmm(-keys.square().sum(dim=1, keepdim=True), queries, keys, alpha=2)
        weights = weigh(scores / ck**0.5, top_k)  # (b, n, m)
        values = memory_values.flatten(1, 2).flatten(2)  # (b, k * cv, m)
        read = values @ weights.transpose(1, 2).to(values.dtype)
    return read.reshape(b, sizes["k"], sizes["cv"], query["hq"], query["wq"])


def weigh(scores: Tensor, top_k: int | None) -> Tensor:
    """Return the softmax over the last axis of ``scores``, zero outside the ``top_k`` best."""
    if top_k is None or top_k >= scores.shape[-1]:
        return torch.softmax(scores, dim=-1)
    best, where = scores.topk(top_k, dim=-1)
    return torch.zeros_like(scores).scatter(-1, where, torch.softmax(best, dim=-1))


def stcn(preset: str) -> STCN:
    """Build an STCN with random weights.

    Args:
        preset: ``"tiny"`` (tests), ``"small"`` (CPU), ``"region"`` (the same, but told where the
            object was in the neighbouring slice) or ``"paper"`` (54,434,180 numbers).

    Raises:
        RecipeError: No such preset.
    """
    if preset not in PRESETS:
        raise RecipeError(f"unknown preset {preset!r} of stcn; {suggest(preset, PRESETS)}")
    return STCN(PRESETS[preset])
