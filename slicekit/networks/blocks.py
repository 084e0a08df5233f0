"""Parts that several networks are made of: padding to a grid, residual blocks, attention gates."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from slicekit.errors import ShapeError


class CropBox(NamedTuple):
    """Where the original slice lies inside a padded one, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, padded: Tensor) -> Tensor:
        """Return the original part of a padded ``(..., y, x)`` tensor, without a copy."""
        rows = slice(self.top, self.top + self.height)
        columns = slice(self.left, self.left + self.width)
        return padded[..., rows, columns]


def pad_to_multiple(slices: Tensor, multiple: int, *, least: int = 1) -> tuple[Tensor, CropBox]:
    """Pad the last two axes with zeros on both sides until a grid of ``multiple`` divides them.

    Args:
        slices: ``(..., y, x)``, y and x at least 1.
        multiple: What the padded y and x are multiples of.
        least: Smallest padded y and x, itself a multiple.

    Returns:
        The padded tensor (the same one where nothing was missing) and the box to cut its
        original part, or that of anything computed at its size, out again. An odd number of
        missing pixels puts the smaller half before, as in STCN.

    Raises:
        ShapeError: y or x is 0.

    Example:
        >>> padded, box = pad_to_multiple(torch.ones(1, 3, 30, 32), 16)
        >>> tuple(padded.shape), tuple(box.cut(padded).shape)
        ((1, 3, 32, 32), (1, 3, 30, 32))
    """
    height, width = slices.shape[-2:]
    if not height or not width:
        raise ShapeError(f"a slice must have at least one pixel, got {tuple(slices.shape)}")
    rows = max(-height % multiple, least - height)
    columns = max(-width % multiple, least - width)
    box = CropBox(rows // 2, columns // 2, height, width)
    if not rows and not columns:
        return slices, box
    sides = (box.left, columns - box.left, box.top, rows - box.top)
    return F.pad(slices, sides), box


class ConvNormAct(nn.Sequential):
    """A 3x3 convolution without bias, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        super().__init__(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class UpBlock(nn.Module):
    """Double the size, join the skip connection, convolve twice (TransUNet's decoder).

    Args:
        inputs: Channels of the coarse map.
        skip: Channels of the skip connection; 0 without one.
        outputs: Channels that come out.
        corners: Enlarge so that the corners' centres stay where they are, not their edges.
    """

    def __init__(self, inputs: int, skip: int, outputs: int, *, corners: bool = False) -> None:
        super().__init__()
        self.corners = corners
        self.conv1 = ConvNormAct(inputs + skip, outputs)
        self.conv2 = ConvNormAct(outputs, outputs)

    def forward(
        self,
        coarse: Tensor,  # (b, inputs, y, x)
        skip: Tensor | None,  # (b, skip, 2 y, 2 x)
    ) -> Tensor:  # (b, outputs, 2 y, 2 x)
        """Return the finer map."""
        fine = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=self.corners)
        joined = fine if skip is None else torch.cat([fine, skip], dim=1)
        result: Tensor = self.conv2(self.conv1(joined))
        return result


def residual_stage(
    block: type[BasicBlock | Bottleneck], inputs: int, width: int, *, blocks: int, stride: int
) -> nn.Sequential:
    """Return one stage of a ResNet; it puts out ``width * block.expansion`` channels.

    Args:
        block: torchvision's ``BasicBlock`` or ``Bottleneck``.
        inputs: Channels that come in.
        width: Channels of the 3x3 convolutions.
        blocks: Number of blocks.
        stride: Stride of the first block.
    """
    outputs = width * block.expansion
    shortcut = None
    if stride != 1 or inputs != outputs:
        shortcut = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
        )
    first = block(inputs, width, stride, shortcut)
    stage = nn.Sequential(first, *(block(outputs, width) for _ in range(blocks - 1)))
    for module in stage.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return stage


class ResBlock(nn.Module):
    """Two pre-activated 3x3 convolutions with bias around a shortcut, without any norm.

    The input may come in two parts, a map an object and one map that the objects share: the
    first convolutions are then split, and the shared half is computed once (the sum is the same).
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.downsample: nn.Conv2d | None = None
        if inputs != outputs:
            self.downsample = nn.Conv2d(inputs, outputs, 3, padding=1)
            nn.init.kaiming_normal_(self.downsample.weight, nonlinearity="linear")
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(
        self,
        own: Tensor,  # (b * k, c, y, x)
        shared: Tensor | None = None,  # (b, inputs - c, y, x)
    ) -> Tensor:  # (b * k, outputs, y, x)
        """Return ``shortcut(x) + conv2(relu(conv1(relu(x))))`` of x = (own, shared)."""
        if shared is None or self.downsample is None:
            joined = own if shared is None else torch.cat([own, every(shared, own)], dim=1)
            shortcut = joined if self.downsample is None else self.downsample(joined)
            inner = self.conv1(F.relu(joined))
        else:
            shortcut = split_conv(self.downsample, own, shared)
            inner = split_conv(self.conv1, F.relu(own), F.relu(shared))
        result: Tensor = shortcut + self.conv2(F.relu(inner))
        return result


def split_conv(
    conv: nn.Conv2d,
    own: Tensor,  # (b * k, c, y, x)
    shared: Tensor,  # (b, conv.in_channels - c, y, x)
) -> Tensor:  # (b * k, conv.out_channels, y, x)
    """Convolve ``(own, shared)`` joined along channels, the shared part once for k objects."""
    channels, weight = own.shape[1], conv.weight
    once = F.conv2d(shared, weight[:, channels:], conv.bias, padding=conv.padding)
    each = F.conv2d(own, weight[:, :channels], padding=conv.padding)
    return each + repeat(once, each)


def repeat(shared: Tensor, own: Tensor) -> Tensor:
    """Return ``(b, ...)`` so that it adds to ``(b * k, ...)`` of the objects.

    One slice is left to broadcasting; k copies of each are made only where there are several.
    """
    slices = shared.shape[0]
    if slices == 1:
        return shared
    return shared.repeat_interleave(own.shape[0] // slices, dim=0)


def every(shared: Tensor, own: Tensor) -> Tensor:
    """Return the ``(b, ...)`` tensor k times over, to join ``(b * k, ...)`` of the objects."""
    return repeat(shared, own).expand(own.shape[0], -1, -1, -1)


class ChannelGate(nn.Module):
    """Weigh every channel by what its mean and its maximum say."""

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 4)
        self.mlp = nn.Sequential(
            nn.Flatten(), nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return the weighted ``(b, c, y, x)`` features."""
        mean, peak = features.mean(dim=(2, 3)), features.amax(dim=(2, 3))
        gate = torch.sigmoid(self.mlp(mean) + self.mlp(peak))
        return features * gate[:, :, None, None]


class SpatialGate(nn.Module):
    """Weigh every place by what the mean and the maximum over its channels say."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial = nn.Sequential()
        self.spatial.add_module("conv", nn.Conv2d(2, 1, 7, padding=3))

    def forward(self, features: Tensor) -> Tensor:
        """Return the weighted ``(b, c, y, x)`` features."""
        views = [features.amax(dim=1, keepdim=True), features.mean(dim=1, keepdim=True)]
        gate = torch.sigmoid(self.spatial(torch.cat(views, dim=1)))
        return features * gate


class Cbam(nn.Module):
    """Channel gate, then spatial gate (Woo et al. 2018, CBAM), with STCN's parameter names."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ChannelGate = ChannelGate(channels)
        self.SpatialGate = SpatialGate()

    def forward(self, features: Tensor) -> Tensor:
        """Return the weighted ``(b, c, y, x)`` features."""
        result: Tensor = self.SpatialGate(self.ChannelGate(features))
        return result
