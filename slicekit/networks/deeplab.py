"""DeepLabV3+ of segmentation-models-pytorch, for slices of any size and batches of one.

Chen et al. 2018, "Encoder-Decoder with Atrous Separable Convolution for Semantic Image
Segmentation".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from segmentation_models_pytorch import DeepLabV3Plus as Smp
from torch import Tensor, nn

from slicekit.checks import suggest
from slicekit.errors import RecipeError
from slicekit.networks.slicewise import SlicewiseNetwork

STRIDE = 16
LEAST = 32  # a coarsest map of one place would leave batch norm nothing to average over


@dataclass(frozen=True)
class DeepLabConfig:
    """How large a DeepLabV3+ is."""

    encoder: str
    """Name of an encoder of segmentation-models-pytorch; ``tu-`` ones are timm's."""
    encoder_depth: Literal[4, 5]
    """Stages of the encoder; the fifth is dilated and stays at 1/16."""
    atrous_rates: tuple[int, int, int]
    """Dilations of the pyramid; more than the coarsest map's side sees only padding."""
    channels: int
    """Channels of pyramid and decoder."""
    separable: bool
    """Depthwise-separable convolutions in the pyramid, as in the paper; else plain ones."""
    dropout: float
    """Share of the pyramid's channels that training drops."""


PRESETS: dict[str, DeepLabConfig] = {
    "tiny": DeepLabConfig("tu-test_resnet", 4, (1, 2, 3), 16, separable=False, dropout=0.0),
    "small": DeepLabConfig("tu-resnet18", 4, (6, 12, 18), 128, separable=False, dropout=0.1),
    "paper": DeepLabConfig("efficientnet-b3", 5, (12, 24, 36), 256, separable=True, dropout=0.5),
}


class PooledNorm(nn.BatchNorm2d):
    """Batch norm after global pooling: a batch of one has no spread, so it uses the running one."""

    def forward(self, pooled: Tensor) -> Tensor:
        """Return the normalised ``(b, c, 1, 1)`` features."""
        if not self.training or pooled.shape[0] > 1:
            return super().forward(pooled)
        return F.batch_norm(
            pooled, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


class DeepLabV3Plus(SlicewiseNetwork):
    """Slices in, class logits out, for slices of any size.

    Args:
        config: How large.
        classes: Channels that come out, background included.
    """

    def __init__(self, config: DeepLabConfig, *, classes: int) -> None:
        super().__init__(multiple=STRIDE, least=LEAST)
        self.config, self.classes = config, classes
        self.network = Smp(
            config.encoder,
            encoder_depth=config.encoder_depth,
            encoder_weights=None,  # else it would be downloaded
            decoder_channels=config.channels,
            decoder_atrous_rates=config.atrous_rates,
            decoder_aspp_separable=config.separable,
            decoder_aspp_dropout=config.dropout,
            classes=classes,
        )
        pooling = self.network.decoder.aspp[0].convs[-1]
        pooling[2] = PooledNorm(config.channels)

    def score(
        self,
        padded: Tensor,  # (b, 3, y, x), 16 divides y and x
    ) -> Tensor:  # (b, classes, y, x) logits
        """Compute the logits of ``prepare``'s slices: the network without its preparations."""
        logits: Tensor = self.network(padded)
        return logits


def deeplabv3plus(preset: str, *, classes: int) -> DeepLabV3Plus:
    """Build a DeepLabV3+ with random weights.

    Args:
        preset: ``"tiny"`` (tests), ``"small"`` (CPU) or ``"paper"`` (11,683,526 parameters
            at 14 classes).
        classes: Channels that come out, background included.

    Raises:
        RecipeError: No such preset.
    """
    if preset not in PRESETS:
        raise RecipeError(f"unknown preset {preset!r} of deeplabv3plus; {suggest(preset, PRESETS)}")
    return DeepLabV3Plus(PRESETS[preset], classes=classes)
