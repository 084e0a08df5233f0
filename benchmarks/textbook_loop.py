"""STCN's propagation as it is written down: what ``propagation_loop.py`` compares with.

Float32, contiguous tensors, a dense affinity with its best 20 places scattered back, one decoder
run an object with the object's own copy of what objects share. Same network, same weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from slicekit.networks.blocks import ResBlock
from slicekit.networks.stcn import STCN, Features, dense_read, soft_aggregate

TOP_K = 20


class Textbook:
    """A memory that grows by tensors joined along time.

    Args:
        network: In ``eval`` mode.
        frame: The guide, ``(1, 3, y, x)``.
        masks: Its objects, ``(1, k, y, x)``.
    """

    def __init__(self, network: STCN, frame: Tensor, masks: Tensor) -> None:
        self.network = network
        features = network.encode_key(frame)
        self.memory = [self._seen(frame, masks, features)]  # the guide, then slices

    def step(self, frame: Tensor, *, keep: bool) -> Tensor:
        """Return ``(1, k + 1, y, x)`` probabilities of the next slice and memorise it.

        Args:
            frame: The slice, ``(1, 3, y, x)``.
            keep: Memorise it for good; else only until the next slice is.
        """
        features = self.network.encode_key(frame)
        keys, values = (
            torch.cat(slices, dim=axis)
            for slices, axis in zip(zip(*self.memory, strict=True), (2, 3), strict=True)
        )
        readout = dense_read(keys, values, features.key, top_k=TOP_K)
        logits = torch.cat(
            [self._decode(readout[:, k], features) for k in range(readout.shape[1])], dim=1
        )
        chances = soft_aggregate(torch.sigmoid(logits))
        seen = self._seen(frame, chances[:, 1:], features)
        self.memory = [*(self.memory if keep else self.memory[:1]), seen]
        return chances

    def _seen(self, frame: Tensor, masks: Tensor, features: Features) -> tuple[Tensor, Tensor]:
        """Return keys ``(1, ck, 1, h, w)`` and values ``(1, k, cv, 1, h, w)`` of a slice."""
        values = self._values(frame, masks, features)
        return features.key[:, :, None], values[:, :, :, None]

    def _values(self, frame: Tensor, masks: Tensor, features: Features) -> Tensor:
        """Encode the objects together, each with its own copy of slice and features."""
        net, k = self.network, masks.shape[1]
        encoder = net.value_encoder
        normal = ((frame - net.mean) / net.deviation).expand(k, -1, -1, -1)
        others = masks.sum(dim=1, keepdim=True) - masks
        views = torch.cat([normal, masks[0, :, None], others[0, :, None]], dim=1)
        half = F.relu(encoder.bn1(encoder.conv1(views)))
        own = encoder.layer1(F.max_pool2d(half, 3, stride=2, padding=1))
        own = encoder.layer3(encoder.layer2(own))
        shared = features.s16.expand(k, -1, -1, -1)
        joined = _res_block(encoder.fuser.block1, torch.cat([own, shared], dim=1))
        joined = joined + encoder.fuser.attention(joined)
        return _res_block(encoder.fuser.block2, joined)[None]

    def _decode(self, readout: Tensor, features: Features) -> Tensor:
        """Decode one object from the start, skip connections included."""
        decoder = self.network.decoder
        at_16 = _res_block(decoder.compress, torch.cat([readout, features.thin], dim=1))
        at_8 = decoder.up_16_8(decoder.up_16_8.skip_conv(features.s8), at_16)
        at_4 = decoder.up_8_4(decoder.up_8_4.skip_conv(features.s4), at_8)
        logits = decoder.pred(F.relu(at_4))
        return F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)


def _res_block(block: ResBlock, joined: Tensor) -> Tensor:
    shortcut = joined if block.downsample is None else block.downsample(joined)
    result: Tensor = shortcut + block.conv2(F.relu(block.conv1(F.relu(joined))))
    return result
