"""The parts of STCN: two encoders, the key projection, the decoder."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from slicekit.networks.blocks import Cbam, ResBlock, repeat, residual_stage


@dataclass(frozen=True)
class STCNConfig:
    """How large an STCN is."""

    bottleneck: bool
    """Key encoder of bottleneck blocks (four times the width comes out) or of basic ones."""
    key_stem: int
    """Channels of the key encoder's first convolution."""
    key_widths: tuple[int, int, int]
    """Widths of the key encoder's stages at 1/4, 1/8 and 1/16."""
    key_layers: tuple[int, int, int]
    """Blocks in each of them."""
    value_widths: tuple[int, int, int]
    """Widths of the value encoder's stages; its first convolution has the first of them."""
    value_layers: tuple[int, int, int]
    """Blocks in each of them."""
    key_dim: int
    """Channels by which places are compared."""
    value_dim: int
    """Channels of what the memory holds an object, and of the slice's own thin features."""
    decoder_widths: tuple[int, int, int]
    """Channels of the decoder at 1/16, 1/8 and 1/4."""
    prior: bool = False
    """Whether the decoder is also told where each object was in the neighbouring slice (ours)."""


class Features(NamedTuple):
    """What the key encoder sees in one slice; the number is the stride."""

    key: Tensor  # (b, key_dim, y/16, x/16) always float32: scores decide by small differences
    thin: Tensor  # (b, value_dim, y/16, x/16)
    s16: Tensor
    s8: Tensor
    s4: Tensor


class KeyEncoder(nn.Module):
    """A ResNet up to 1/16."""

    def __init__(self, config: STCNConfig) -> None:
        super().__init__()
        block = Bottleneck if config.bottleneck else BasicBlock
        stem, (w4, w8, w16), (n4, n8, n16) = config.key_stem, config.key_widths, config.key_layers
        many = block.expansion
        self.conv1 = nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.res2 = residual_stage(block, stem, w4, blocks=n4, stride=1)
        self.layer2 = residual_stage(block, w4 * many, w8, blocks=n8, stride=2)
        self.layer3 = residual_stage(block, w8 * many, w16, blocks=n16, stride=2)
        self.channels = (w4 * many, w8 * many, w16 * many)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the maps at 1/4, 1/8 and 1/16 of ``(b, 3, y, x)``."""
        half = F.relu(self.bn1(self.conv1(frames)))
        s4 = self.res2(F.max_pool2d(half, 3, stride=2, padding=1))
        s8 = self.layer2(s4)
        return s4, s8, self.layer3(s8)


class Fuser(nn.Module):
    """Join what the value encoder and the key encoder see."""

    def __init__(self, own: int, shared: int, outputs: int) -> None:
        super().__init__()
        self.block1 = ResBlock(own + shared, outputs)
        self.attention = Cbam(outputs)
        self.block2 = ResBlock(outputs, outputs)

    def forward(self, own: Tensor, shared: Tensor) -> Tensor:
        """Return ``(b * k, outputs, h, w)`` of ``(b * k, own, h, w)`` and ``(b, shared, h, w)``."""
        joined = self.block1(own, shared)
        result: Tensor = self.block2(joined + self.attention(joined))
        return result


class ValueEncoder(nn.Module):
    """A light ResNet that sees a slice, one mask and the sum of the other masks."""

    def __init__(self, config: STCNConfig, *, key_channels: int) -> None:
        super().__init__()
        (w4, w8, w16), (n4, n8, n16) = config.value_widths, config.value_layers
        self.conv1 = nn.Conv2d(5, w4, 7, stride=2, padding=3)
        self.bn1 = nn.BatchNorm2d(w4)
        self.layer1 = residual_stage(BasicBlock, w4, w4, blocks=n4, stride=1)
        self.layer2 = residual_stage(BasicBlock, w4, w8, blocks=n8, stride=2)
        self.layer3 = residual_stage(BasicBlock, w8, w16, blocks=n16, stride=2)
        for module in self.modules():  # unlike the key encoder's, every convolution has a bias
            if isinstance(module, nn.Conv2d) and module.bias is None:
                module.bias = nn.Parameter(torch.zeros(module.out_channels))
        self.fuser = Fuser(w16, key_channels, config.value_dim)

    def forward(self, views: Tensor, s16: Tensor) -> Tensor:
        """Return ``(b * k, c, y/16, x/16)`` of ``(b * k, 5, y, x)`` and the shared features."""
        half = F.relu(self.bn1(self.conv1(views)))
        s4 = self.layer1(F.max_pool2d(half, 3, stride=2, padding=1))
        result: Tensor = self.fuser(self.layer3(self.layer2(s4)), s16)
        return result


class KeyProjection(nn.Module):
    """The 3x3 convolution that makes keys; it starts orthogonal."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.key_proj = nn.Conv2d(inputs, outputs, 3, padding=1)
        nn.init.orthogonal_(self.key_proj.weight)
        nn.init.zeros_(self.key_proj.bias)  # type: ignore[arg-type]

    def forward(self, s16: Tensor) -> Tensor:
        """Return float32 keys, whatever the precision around."""
        with full_precision(s16):
            result: Tensor = self.key_proj(s16.float())
        return result


class UpSample(nn.Module):
    """Double the size and add the skip connection, which the objects of a slice share."""

    def __init__(self, skip: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.skip_conv = nn.Conv2d(skip, inputs, 3, padding=1)
        self.out_conv = ResBlock(inputs, outputs)

    def forward(self, skip: Tensor, coarse: Tensor) -> Tensor:
        """Return ``(b * k, outputs, 2h, 2w)``; skip, ``(b, inputs, 2h, 2w)``, convolved already."""
        fine = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
        result: Tensor = self.out_conv(fine + repeat(skip, fine))
        return result


class Decoder(nn.Module):
    """From what was read to one logit map an object."""

    def __init__(self, config: STCNConfig, *, s8: int, s4: int) -> None:
        super().__init__()
        w16, w8, w4 = config.decoder_widths
        self.compress = ResBlock(2 * config.value_dim, w16)
        self.up_16_8 = UpSample(s8, w16, w8)
        self.up_8_4 = UpSample(s4, w8, w4)
        self.pred = nn.Conv2d(w4, 1, 3, padding=1)
        nn.init.constant_(self.pred.bias, -2.0)  # type: ignore[arg-type] # most of a slice is no object
        self.prior = Prior(w16, w8) if config.prior else None

    def forward(self, readout: Tensor, features: Features, prior: Tensor | None = None) -> Tensor:
        """Return ``(b * k, 1, y, x)`` logits of ``(b * k, value_dim, y/16, x/16)``."""
        told = None if self.prior is None or prior is None else self.prior(prior)
        s8, s4 = self.skips(features.s8, features.s4)
        return enlarge(self.draw(readout, features.thin, s8, s4, told))

    def skips(self, s8: Tensor, s4: Tensor) -> tuple[Tensor, Tensor]:
        """Return the skip connections of ``(b, c, ...)`` features, which know of no object yet."""
        return self.up_16_8.skip_conv(s8), self.up_8_4.skip_conv(s4)

    def draw(
        self,
        readout: Tensor,  # (b * k, value_dim, h, w)
        thin: Tensor,  # (b, value_dim, h, w)
        s8: Tensor,  # (b, w16, 2 h, 2 w) of ``skips``
        s4: Tensor,  # (b, w8, 4 h, 4 w) of ``skips``
        told: tuple[Tensor, Tensor] | None,  # (b * k, w16, h, w) and (b * k, w8, 2 h, 2 w)
    ) -> Tensor:  # (b * k, 1, 4 h, 4 w)
        """Return logits at a quarter of the size; ``told`` is what ``Prior`` says, if asked."""
        at_16 = self.compress(readout, thin)
        at_8 = self.up_16_8(s8, at_16 if told is None else at_16 + told[0])
        at_4 = self.up_8_4(s4, at_8 if told is None else at_8 + told[1])
        result: Tensor = self.pred(F.relu(at_4))
        return result


def enlarge(logits: Tensor) -> Tensor:
    """Bring logits from a quarter of the size to the full one."""
    return F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)


class Prior(nn.Module):
    """Where an object was in the neighbouring slice, for the decoder; ours, not published."""

    def __init__(self, w16: int, w8: int) -> None:
        super().__init__()
        self.at_4 = nn.Conv2d(16, 32, 3, padding=1)
        self.at_8 = nn.Conv2d(32, w8, 3, stride=2, padding=1)
        self.at_16 = nn.Conv2d(w8, w16, 3, stride=2, padding=1)

    def forward(self, prior: Tensor) -> tuple[Tensor, Tensor]:
        """Return maps at 1/16 and 1/8 of ``(b * k, 1, y, x)``: -1 outside, 0 unknown, 1 inside."""
        s4 = F.relu(self.at_4(F.pixel_unshuffle(prior, 4)))
        s8 = self.at_8(s4)
        return self.at_16(F.relu(s8)), s8


def full_precision(tensor: Tensor) -> AbstractContextManager[object]:
    """Return a context without autocast for the device of ``tensor``."""
    kind = tensor.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()
