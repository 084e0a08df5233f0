"""STCN cut into stages that take and give tensors alone, for converters such as ONNX's.

What the objects of a slice share is computed with the slice: the skip connections of the decoder
come out of the first stage already convolved.
"""

from __future__ import annotations

from torch import Tensor, nn

from slicekit.networks.stcn import STCN


class KeyStage(nn.Module):
    """Look at slices; the float32 keys are left to ``STCN.key_proj``, which takes ``s16``."""

    def __init__(self, network: STCN) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        frames: Tensor,  # (b, 3, y, x) windows in [0, 1]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return ``thin``, ``s16`` and the decoder's skip connections at 1/8 and 1/4."""
        net = self.network
        s4, s8, s16 = net.key_encoder((frames - net.mean) / net.deviation)
        return net.key_comp(s16), s16, *net.decoder.skips(s8, s4)


class ValueStage(nn.Module):
    """Look at one slice with the masks of k objects."""

    def __init__(self, network: STCN) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        frame: Tensor,  # (1, 3, y, x) windows in [0, 1]
        masks: Tensor,  # (k, 1, y, x) in [0, 1]
        s16: Tensor,  # (1, c, y/16, x/16)
    ) -> Tensor:  # (k, value_dim, y/16, x/16)
        """Return what is to be remembered of every object."""
        masks = masks.transpose(0, 1)
        return self.network.encode_value(frame, masks, s16).squeeze(0)


class DrawStage(nn.Module):
    """Turn what was read for k objects of one slice into logits at a quarter of the size."""

    def __init__(self, network: STCN) -> None:
        super().__init__()
        self.decoder = network.decoder

    def forward(
        self,
        readout: Tensor,  # (k, value_dim, h, w)
        thin: Tensor,  # (1, value_dim, h, w)
        s8: Tensor,  # (1, c, 2 h, 2 w) of ``KeyStage``
        s4: Tensor,  # (1, c, 4 h, 4 w) of ``KeyStage``
        prior: Tensor | None = None,  # (k, 1, 16 h, 16 w) -1 outside, 0 unknown, 1 inside
        asked: Tensor | None = None,  # (1,) 1 where there is a prior, 0 where it is to be ignored
    ) -> Tensor:  # (k, 1, 4 h, 4 w)
        """Return one logit map an object."""
        told = None
        if prior is not None and asked is not None and self.decoder.prior is not None:
            at_16, at_8 = self.decoder.prior(prior)
            told = (at_16 * asked, at_8 * asked)
        result: Tensor = self.decoder.draw(readout, thin, s8, s4, told)
        return result
