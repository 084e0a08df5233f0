"""Attention U-Net: a U-Net whose skip connections are weighed by what lies deeper.

Oktay et al. 2018, "Attention U-Net: Learning Where to Look for the Pancreas"; here in 2D and
without deep supervision.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slicekit.checks import suggest
from slicekit.errors import RecipeError
from slicekit.networks.blocks import ConvNormAct, UpBlock
from slicekit.networks.slicewise import SlicewiseNetwork

STRIDE = 16
LEAST = 32  # a coarsest map of one place would leave batch norm nothing to average over


@dataclass(frozen=True)
class AttentionUNetConfig:
    """How large an Attention U-Net is."""

    widths: tuple[int, int, int, int, int]
    """Channels at full size, 1/2, 1/4, 1/8 and 1/16."""


PRESETS: dict[str, AttentionUNetConfig] = {
    "tiny": AttentionUNetConfig((8, 8, 16, 16, 32)),
    "small": AttentionUNetConfig((32, 64, 128, 256, 256)),
    "paper": AttentionUNetConfig((64, 128, 256, 512, 1024)),
}


class AttentionGate(nn.Module):
    """Weigh every place of a skip connection by how well it fits the coarser map (section 2).

    Args:
        skip: Channels of the skip connection.
        coarse: Channels of the coarser map, the gating signal.
    """

    def __init__(self, skip: int, coarse: int) -> None:
        super().__init__()
        inner = max(skip // 2, 1)
        self.of_skip = nn.Conv2d(skip, inner, 2, stride=2, bias=False)
        self.of_coarse = nn.Conv2d(coarse, inner, 1)
        self.weigh = nn.Conv2d(inner, 1, 1)

    def forward(
        self,
        skip: Tensor,  # (b, skip, 2 y, 2 x)
        coarse: Tensor,  # (b, coarse, y, x)
    ) -> Tensor:  # (b, skip, 2 y, 2 x)
        """Return the skip connection times weights in [0, 1], one a place (equations 1 and 2)."""
        fit = self.weigh(F.relu(self.of_skip(skip) + self.of_coarse(coarse)))
        weights = F.interpolate(
            torch.sigmoid(fit), scale_factor=2, mode="bilinear", align_corners=False
        )
        return skip * weights


class AttentionUNet(SlicewiseNetwork):
    """Slices in, class logits out, for slices of any size.

    The skip connection at full size has no gate: what it holds is too simple to be chosen from
    (section 2).

    Args:
        config: How large.
        classes: Channels that come out, background included.
    """

    def __init__(self, config: AttentionUNetConfig, *, classes: int) -> None:
        super().__init__(multiple=STRIDE, least=LEAST)
        self.config, self.classes = config, classes
        self.encoder = nn.ModuleList(
            nn.Sequential(ConvNormAct(inputs, outputs), ConvNormAct(outputs, outputs))
            for inputs, outputs in pairwise((3, *config.widths))
        )
        steps = list(pairwise(config.widths[::-1]))  # (coarse, fine), the deepest first
        self.gates = nn.ModuleList(AttentionGate(fine, coarse) for coarse, fine in steps[:-1])
        self.decoder = nn.ModuleList(UpBlock(coarse, fine, fine) for coarse, fine in steps)
        self.head = nn.Conv2d(config.widths[0], classes, 1)

    def score(
        self,
        padded: Tensor,  # (b, 3, y, x), 16 divides y and x
    ) -> Tensor:  # (b, classes, y, x) logits
        """Compute the logits of ``prepare``'s slices: the network without its preparations."""
        features, skips = padded, []
        for depth, stage in enumerate(self.encoder):
            features = stage(F.max_pool2d(features, 2) if depth else features)
            skips.append(features)
        skips.pop()
        for block, gate in zip(self.decoder, [*self.gates, None], strict=True):
            skip = skips.pop()
            features = block(features, skip if gate is None else gate(skip, features))
        logits: Tensor = self.head(features)
        return logits


def attention_unet(preset: str, *, classes: int) -> AttentionUNet:
    """Build an Attention U-Net with random weights.

    Args:
        preset: ``"tiny"`` (tests), ``"small"`` (CPU) or ``"paper"``.
        classes: Channels that come out, background included.

    Raises:
        RecipeError: No such preset.
    """
    if preset not in PRESETS:
        hint = suggest(preset, PRESETS)
        raise RecipeError(f"unknown preset {preset!r} of attention-unet; {hint}")
    return AttentionUNet(PRESETS[preset], classes=classes)
