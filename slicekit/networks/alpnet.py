"""ALPNet: names what a few drawn slices show, on slices it has never seen and without training.

Ouyang et al. 2020, "Self-Supervision with Superpixels: Training Few-shot Medical Image
Segmentation without Annotation".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slicekit.checks import expect_shape, suggest
from slicekit.errors import RecipeError
from slicekit.networks.blocks import CropBox, pad_to_multiple

STRIDE = 8
SHARPNESS = 20.0
"""What cosines are multiplied by."""
FULL = 0.95
"""A window lies in a class when more than so much of it does."""
_SPECK = 1e-3
"""A class on less of a support than so many places of the features is not on it."""


@dataclass(frozen=True)
class ALPNetConfig:
    """How large an ALPNet is."""

    encoder: str
    """A ResNet of timm; its last stages are dilated, so that features stay at 1/8."""
    channels: int
    """Channels of the features that are compared."""
    window: int = 4
    """Side, in features, of the window of a local prototype while the network is trained."""
    window_in_use: int = 2
    """The same afterwards."""


PRESETS: dict[str, ALPNetConfig] = {
    "tiny": ALPNetConfig("test_resnet", 16),
    "small": ALPNetConfig("resnet18", 256),
    "resnet50": ALPNetConfig("resnet50", 256),
    "paper": ALPNetConfig("resnet101", 256),
}


class Prototypes(NamedTuple):
    """What the classes look like, background first."""

    vectors: Tensor
    """``(b, m, c)``, of length 1: all windows of all supports, then one mean a class and support.
    """
    used: Tensor
    """``(b, 1 + k, m)`` bool: which of them stand for which class."""


class ALPNet(nn.Module):
    """Drawn slices and others in, class logits of the others out.

    A logit is a mean of cosines, from -20 to 20, weighed by a softmax over the prototypes of the
    class. A class that no support shows has the lowest there is.

    Args:
        config: How large.
    """

    def __init__(self, config: ALPNetConfig) -> None:
        super().__init__()
        self.config = config
        encoder: Any = timm.create_model(
            config.encoder, pretrained=False, features_only=True, output_stride=STRIDE,
            out_indices=(4,),
        )  # fmt: skip
        self.encoder = encoder
        (width,) = encoder.feature_info.channels()
        self.project = nn.Conv2d(width, config.channels, 1)

    def forward(
        self,
        support: Tensor,  # (b, s, 3, y, x) windows in [0, 1]
        masks: Tensor,  # (b, s, k, y, x) in [0, 1], one channel a class
        query: Tensor,  # (b, 3, y, x) windows in [0, 1]
    ) -> Tensor:  # (b, 1 + k, y, x) logits, background first
        """Return one logit a class and pixel of the query slices.

        Raises:
            ShapeError: Axes disagree, or there is no support.
        """
        b, s, y, x = expect_shape("support", support, "b s 3 y x").values()
        expect_shape("masks", masks, f"{b} {s} k {y} {x}")
        expect_shape("query", query, f"{b} 3 y x")
        features = self.encode(support.flatten(0, 1))
        seen = features.view(b, s, *features.shape[1:])
        asked = self.encode(query)
        return self.draw(self.compare(self.prototypes(seen, masks), asked), query)

    def encode(
        self,
        slices: Tensor,  # (n, 3, y, x) windows in [0, 1], y and x at least 1
    ) -> Tensor:  # (n, c, y/8, x/8), of the slices padded to whole windows
        """Return features, to be told apart by their direction.

        Raises:
            ShapeError: The slices have not four axes and 3 channels.
        """
        expect_shape("slices", slices, "n 3 y x")
        padded, _ = self._pad(slices)
        (features,) = self.encoder(2 * padded - 1)
        result: Tensor = self.project(features)
        return result

    def prototypes(
        self,
        features: Tensor,  # (b, s, c, h, w) of ``encode``
        masks: Tensor,  # (b, s, k, y, x) of the slices, in [0, 1]; no pixel in two of them
        known: Tensor | None = None,  # (b, s, y, x) bool; all of it
    ) -> Prototypes:
        """Sum up what the classes look like on their supports.

        Each window of which more than 0.95 lies in a class is a prototype of it. Every class but
        the background has one more a support: the mean over its mask. The background has its own
        mean where it has no window. It is what is in no class, as far as somebody looked: what is
        not ``known`` stands for nothing.

        Raises:
            ShapeError: Axes disagree.
        """
        b, s, c, h, w = expect_shape("features", features, "b s c h w").values()
        expect_shape("masks", masks, f"{b} {s} k y x")
        padded, _ = self._pad(masks.flatten(0, 1))
        shares = F.adaptive_avg_pool2d(padded.float(), (h, w))  # (b * s, k, h, w)
        looked: Tensor | float = 1.0
        if known is not None:
            expect_shape("known", known, f"{b} {s} y x")
            seen, _ = self._pad(known.flatten(0, 1)[:, None].float())
            looked = F.adaptive_avg_pool2d(seen, (h, w))
        rest = looked - shares.sum(dim=1, keepdim=True)
        shares = torch.cat([rest, shares], dim=1).clamp(0, 1)
        side = self.config.window if self.training else self.config.window_in_use
        flat = features.flatten(0, 1).float()
        pooled, full = F.avg_pool2d(flat, side), F.avg_pool2d(shares, side) > FULL
        total = shares.sum(dim=(2, 3))  # (b * s, 1 + k)
        classes = total.shape[1]
        local = full.reshape(b, s, classes, -1).transpose(1, 2).flatten(2)  # (b, 1 + k, m)
        with torch.autocast(features.device.type, enabled=False):
            sums = shares.flatten(2) @ flat.flatten(2).transpose(1, 2)  # (b * s, 1 + k, c)
        means = sums / total.clamp_min(1e-6)[..., None]
        of_means = self._own(total.view(b, s, classes) > _SPECK, ~local[:, 0].any(dim=1))
        vectors = torch.cat(
            [pooled.flatten(2).transpose(1, 2).reshape(b, -1, c), means.reshape(b, -1, c)], dim=1
        )
        used = torch.cat([local, of_means], dim=2)
        return Prototypes(F.normalize(vectors, dim=2, eps=1e-4), used)

    @staticmethod
    def _own(
        shown: Tensor,  # (b, s, 1 + k) bool: which class lies on which support
        bare: Tensor,  # (b,) bool: nothing else stands for the background
    ) -> Tensor:  # (b, 1 + k, s * (1 + k)) bool
        """Tell which means stand for which class."""
        wanted = shown.clone()
        wanted[..., 0] &= bare[:, None]
        own = torch.eye(shown.shape[2], dtype=torch.bool, device=shown.device)
        return (wanted[:, None] & own[None, :, None]).flatten(2)

    def compare(
        self,
        known: Prototypes,
        features: Tensor,  # (b, c, h, w) of ``encode``
    ) -> Tensor:  # (b, 1 + k, h, w) logits
        """Compare every place with the prototypes; in float32."""
        h, w = features.shape[-2:]
        with torch.autocast(features.device.type, enabled=False):
            places = F.normalize(features.float().flatten(2), dim=1, eps=1e-4)
            logits = SHARPNESS * (known.vectors.float() @ places)  # (b, m, h * w)
            classes = []
            for used in known.used.unbind(dim=1):
                there = used.any(dim=1)[:, None]
                # of a class without prototypes any weights do: its logits are not looked at
                kept = (used | ~there)[..., None]
                weights = torch.softmax(logits.masked_fill(~kept, -torch.inf), dim=1)
                said = (weights * logits).sum(dim=1)
                classes.append(torch.where(there, said, -SHARPNESS))
        return torch.stack(classes, dim=1).view(len(features), -1, h, w)

    def draw(
        self,
        logits: Tensor,  # (b, 1 + k, h, w) of ``compare``
        slices: Tensor,  # (b, ..., y, x) that ``encode`` took
    ) -> Tensor:  # (b, 1 + k, y, x)
        """Enlarge logits to the slices they are of."""
        h, w = logits.shape[-2:]
        _, box = self._pad(slices[:1, :1])
        fine = F.interpolate(logits, (h * STRIDE, w * STRIDE), mode="bilinear", align_corners=False)
        return box.cut(fine)

    def _pad(self, slices: Tensor) -> tuple[Tensor, CropBox]:
        """Pad to whole windows, in training and out of it alike."""
        side = STRIDE * self.config.window
        return pad_to_multiple(slices, side, least=side)


def alpnet(preset: str) -> ALPNet:
    """Build an ALPNet with random weights.

    Args:
        preset: ``"tiny"`` (tests), ``"small"`` (ResNet-18, CPU), ``"resnet50"`` or ``"paper"``
            (ResNet-101).

    Raises:
        RecipeError: No such preset.
    """
    if preset not in PRESETS:
        raise RecipeError(f"unknown preset {preset!r} of alpnet; {suggest(preset, PRESETS)}")
    return ALPNet(PRESETS[preset])
