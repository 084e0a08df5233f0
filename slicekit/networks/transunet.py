"""TransUNet: a convolutional network, a transformer on its coarsest map, and a decoder with skips.

Chen et al. 2021, "TransUNet: Transformers Make Strong Encoders for Medical Image Segmentation".
The encoder of the ``paper`` preset is timm's ``vit_base_r50_s16_224``, parameter for parameter;
its relative slice position is an extra plane before the head (Pham et al., FLARE22). The
``published`` presets have its parameters and answer as the authors' own code does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import (
    BatchNormAct2d,
    GroupNormAct,
    StdConv2d,
    StdConv2dSame,
    create_conv2d,
    resample_abs_pos_embed,
)
from timm.models.resnetv2 import ResNetV2
from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer_hybrid import HybridEmbed
from torch import Tensor, nn

from slicekit.checks import suggest
from slicekit.errors import RecipeError
from slicekit.networks.blocks import ConvNormAct, CropBox, UpBlock
from slicekit.networks.slicewise import SlicewiseNetwork

STRIDE = 16
LEAST = 32  # a coarsest map of one place would leave batch norm nothing to average over


@dataclass(frozen=True)
class TransUNetConfig:
    """How large a TransUNet is."""

    standardised: bool
    """Weight-standardised convolutions with group norm, as in the paper; else batch norm."""
    stem: int
    """Channels of the 7x7 convolution at 1/2."""
    layers: tuple[int, int, int]
    """Blocks of the residual stages at 1/4, 1/8 and 1/16."""
    channels: tuple[int, int, int]
    """What those stages put out."""
    width: int
    """Numbers in a token of the transformer."""
    depth: int
    """Transformer blocks."""
    heads: int
    """Attention heads in each."""
    grid: int
    """Side of the learned position embeddings, in tokens; resampled for any other grid."""
    bridge: int
    """Channels between transformer and decoder."""
    decoder: tuple[int, int, int, int]
    """Channels of the decoder at 1/8, 1/4, 1/2 and full size.

    With 16 at full size training from scratch is slow to tell classes apart; 32 costs a tenth more.
    """
    position: bool
    """Whether the relative slice position is a plane before the head."""
    published: bool = False
    """Pad, pool, normalise and enlarge as the authors' code does, for weights trained with it."""


PRESETS: dict[str, TransUNetConfig] = {
    "tiny": TransUNetConfig(
        standardised=False, stem=8, layers=(1, 1, 1), channels=(16, 16, 32), width=32, depth=1,
        heads=2, grid=4, bridge=32, decoder=(16, 8, 8, 8), position=False,
    ),
    "small": TransUNetConfig(
        standardised=False, stem=32, layers=(2, 2, 2), channels=(128, 256, 512), width=192,
        depth=4, heads=3, grid=16, bridge=256, decoder=(128, 64, 32, 32), position=False,
    ),
    "paper": TransUNetConfig(
        standardised=True, stem=64, layers=(3, 4, 9), channels=(256, 512, 1024), width=768,
        depth=12, heads=12, grid=32, bridge=512, decoder=(256, 128, 64, 16), position=True,
    ),
}  # fmt: skip
PRESETS |= {
    f"published-{side}": replace(
        PRESETS["paper"], grid=side // STRIDE, position=False, published=True
    )
    for side in (224, 512)
}


class TransUNet(SlicewiseNetwork):
    """Slices in, class logits out, for slices of any size.

    Args:
        config: How large.
        classes: Channels that come out, background included.
    """

    def __init__(self, config: TransUNetConfig, *, classes: int) -> None:
        super().__init__(multiple=STRIDE, least=LEAST)
        self.config, self.classes = config, classes
        self.encoder = hybrid_encoder(config)
        self.bridge = ConvNormAct(config.width, config.bridge)
        s4, s8, _ = config.channels
        ways_in = (config.bridge, *config.decoder[:-1])
        skips = (s8, s4, config.stem, 0)
        block = partial(UpBlock, corners=config.published)
        self.decoder = nn.ModuleList(map(block, ways_in, skips, config.decoder))
        planes = config.decoder[-1] + int(config.position)
        self.head = nn.Conv2d(planes, classes, 3, padding=1)

    def prepare(
        self, slices: Tensor, position: Tensor | None = None
    ) -> tuple[tuple[Tensor, ...], CropBox]:
        """Return what ``score`` takes, and where the slices lie in what it gives.

        Without the option ``position`` the argument of that name is ignored; with it, a missing
        one counts as 0.5, the middle of the scan.

        Raises:
            ShapeError: As ``forward``.
        """
        (padded,), box = super().prepare(slices, position)
        rows, columns = (side // STRIDE for side in padded.shape[-2:])
        places = resample_abs_pos_embed(
            self.encoder.pos_embed, [rows, columns], num_prefix_tokens=0
        )
        places = places.transpose(1, 2).unflatten(2, (rows, columns))
        if not self.config.position:
            return (padded, places), box
        b = len(slices)
        if position is None:
            position = slices.new_full((b,), 0.5)
        plane = position.to(slices)[:, None, None, None].expand(b, 1, *padded.shape[-2:])
        return (padded, places, plane), box

    def score(
        self,
        padded: Tensor,  # (b, 3, y, x), 16 divides y and x
        places: Tensor,  # (1, width, y/16, x/16) position embeddings for such a grid
        plane: Tensor | None = None,  # (b, 1, y, x) the position, with the option of that name
    ) -> Tensor:  # (b, classes, y, x) logits
        """Compute the logits of ``prepare``'s slices: the network without its preparations."""
        coarse, skips = self.encode(padded, places)
        features = self.bridge(coarse)
        for block, skip in zip(self.decoder, [*skips, None], strict=True):
            features = block(features, skip)
        if plane is not None:
            features = torch.cat([features, plane.to(features.dtype)], dim=1)
        logits: Tensor = self.head(features)
        return logits

    def encode(self, slices: Tensor, places: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the transformer's map at 1/16 and the skips at 1/8, 1/4 and 1/2."""
        embed = self.encoder.patch_embed
        stem = embed.backbone.stem
        half = stem.norm(stem.conv(slices))
        maps = [half]
        features = stem.pool(half)
        for stage in embed.backbone.stages:
            features = stage(features)
            maps.append(features)
        if self.config.published:  # pooled without padding, the map at 1/4 is one place short
            maps[1] = F.pad(maps[1], (0, 1, 0, 1))
        grid = embed.proj(embed.backbone.norm(maps.pop()))
        rows, columns = grid.shape[-2:]
        tokens = (grid + places).flatten(2).transpose(1, 2)
        tokens = self.encoder.norm(self.encoder.blocks(tokens))
        return tokens.transpose(1, 2).unflatten(2, (rows, columns)), maps[::-1]


def hybrid_encoder(config: TransUNetConfig) -> VisionTransformer:
    """Return timm's hybrid of ResNetV2 and vision transformer, without head and class token."""
    options: dict[str, Any] = {"conv_layer": partial(StdConv2dSame, eps=1e-8), "stem_type": "same"}
    if config.published:
        norm = partial(GroupNormAct, num_groups=32, eps=1e-6)
        options = {"conv_layer": partial(StdConv2d, eps=1e-5), "norm_layer": norm}
    elif not config.standardised:
        options = {"conv_layer": partial(create_conv2d, bias=False), "norm_layer": BatchNormAct2d}
    backbone = ResNetV2(
        layers=list(config.layers), channels=config.channels, stem_chs=config.stem, num_classes=0,
        global_pool="", preact=False, **options,
    )  # fmt: skip
    if config.published:
        backbone.stem.pool = nn.MaxPool2d(3, stride=2)
        for stage, width in zip(backbone.stages, config.channels, strict=True):
            shortcut = stage.get_submodule("blocks.0.downsample")
            shortcut.norm = GroupNormAct(width, num_groups=width, apply_act=False)
    side = config.grid * STRIDE
    embed = partial(HybridEmbed, backbone=backbone)
    return VisionTransformer(
        img_size=side, patch_size=1, embed_layer=embed, embed_dim=config.width,
        depth=config.depth, num_heads=config.heads, num_classes=0, class_token=False,
        global_pool="",
    )  # fmt: skip


def transunet(preset: str, *, classes: int, position: bool | None = None) -> TransUNet:
    """Build a TransUNet with random weights.

    Args:
        preset: ``"tiny"`` (tests), ``"small"`` (CPU), ``"paper"`` (105,913,836 parameters
            at 14 classes), or ``"published-224"`` and ``"published-512"`` for weights that the
            authors' own code made.
        classes: Channels that come out, background included.
        position: Give the head the relative slice position; ``None`` does as the preset says.

    Raises:
        RecipeError: No such preset.
    """
    if preset not in PRESETS:
        raise RecipeError(f"unknown preset {preset!r} of transunet; {suggest(preset, PRESETS)}")
    config = PRESETS[preset]
    if position is not None:
        config = replace(config, position=position)
    return TransUNet(config, classes=classes)
