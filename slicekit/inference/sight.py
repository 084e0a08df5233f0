"""The propagator's eyes: a network, run slice by slice within stated bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from slicekit.checks import expect_shape
from slicekit.networks.blocks import CropBox, pad_to_multiple
from slicekit.networks.stcn import Features, soft_aggregate
from slicekit.runtime import Runtime

STRIDE = 16
"""y and x of a slice are padded to multiples of this."""

FrameSource = Callable[[int], Tensor]
"""From a slice's number to its windows, ``(3, y, x)`` float32 in ``[0, 1]``."""


class Propagator(Protocol):
    """What propagation asks of a network; ``slicekit.networks.stcn.STCN`` answers it."""

    def encode_key(self, frames: Tensor) -> Features:
        """Look at ``(b, 3, y, x)`` slices without any mask."""

    def encode_value(self, frames: Tensor, masks: Tensor, s16: Tensor) -> Tensor:
        """Look at slices with ``(b, k, y, x)`` masks; ``(b, k, cv, y/16, x/16)``."""

    def decode(self, readout: Tensor, features: Features, prior: Tensor | None = None) -> Tensor:
        """Turn ``(b, k, cv, y/16, x/16)`` read from memory into ``(b, k, y, x)`` logits.

        A prior, ``(b, k, y, x)`` from -1 to 1, says where the objects were in the neighbouring
        slice, to a network that takes it.
        """


class Sight(NamedTuple):
    """A slice as the network saw it."""

    frame: Tensor
    """``(1, 3, y, x)``, padded."""
    features: Features
    box: CropBox
    """Where the slice lies in the padded one."""

    @property
    def nbytes(self) -> int:
        """Bytes of frame and features."""
        return sum(tensor.nbytes for tensor in (self.frame, *self.features))


class Eyes:
    """Run a propagator's three parts on single slices.

    Sights of the latest slices are kept for the way back, as many as ``keep_bytes`` holds; that
    changes no result, only how often the key encoder runs.

    Args:
        frame: Gives the windows of a slice.
        network: The propagator, on the runtime's device, in ``eval`` mode.
        runtime: Device and precision.
        size: Pixels ``(y, x)`` of every slice.
        objects_at_once: Objects that are encoded or decoded together; bounds the working memory.
    """

    def __init__(
        self,
        frame: FrameSource,
        network: Propagator,
        runtime: Runtime,
        *,
        size: tuple[int, int],
        objects_at_once: int,
    ) -> None:
        self.frame, self.network, self.runtime = frame, network, runtime
        self.size, self.objects_at_once = size, objects_at_once
        self.keep_bytes = 0
        self._kept: dict[int, Sight] = {}  # oldest first

    def look(self, z: int) -> Sight:
        """Return what the network sees in slice ``z``.

        Raises:
            ShapeError: The slice has another size than promised.
        """
        if z in self._kept:
            return self._kept[z]
        frame = self.frame(z)
        expect_shape(f"slice {z}", frame, f"3 {self.size[0]} {self.size[1]}")
        padded, box = pad_to_multiple(self.runtime.put(frame[None]), STRIDE)
        with self.runtime.autocast():
            sight = Sight(padded, self.network.encode_key(padded), box)
        self._kept[z] = sight
        self.trim()
        return sight

    def trim(self) -> None:
        """Let go of the oldest sights beyond ``keep_bytes``."""
        total = sum(sight.nbytes for sight in self._kept.values())
        for z in list(self._kept):
            if total <= self.keep_bytes:
                return
            total -= self._kept.pop(z).nbytes

    def memorise(
        self,
        sight: Sight,
        masks: Tensor,  # (k, y, x) in [0, 1], one an object
    ) -> Tensor:  # (1, k, cv, y/16, x/16)
        """Return what is to be remembered of a slice whose objects are known."""
        padded, _ = pad_to_multiple(masks[None], STRIDE)
        if padded.shape[1] <= self.objects_at_once:
            return self._value(sight, padded)
        # A network sees one mask and the sum of the others: those left out come as one mask more.
        parts = []
        step = max(1, self.objects_at_once - 1)
        for start in range(0, padded.shape[1], step):
            some = padded[:, start : start + step]
            rest = padded.sum(dim=1, keepdim=True) - some.sum(dim=1, keepdim=True)
            value = self._value(sight, torch.cat([some, rest.clamp(min=0)], dim=1))
            parts.append(value[:, :-1])
        return torch.cat(parts, dim=1)

    def _value(self, sight: Sight, masks: Tensor) -> Tensor:
        with self.runtime.autocast():
            return self.network.encode_value(sight.frame, masks, sight.features.s16)

    def draw(
        self,
        sight: Sight,
        readout: Tensor,  # (1, k, cv, y/16, x/16) read from memory
    ) -> Tensor:  # (k + 1, y, x) float32, background first, summing to 1
        """Return where the objects are in a slice."""
        parts = []
        for start in range(0, readout.shape[1], self.objects_at_once):
            some = readout[:, start : start + self.objects_at_once]
            with self.runtime.autocast():
                logits = self.network.decode(some, sight.features)
            parts.append(torch.sigmoid(sight.box.cut(logits).float()))
        return soft_aggregate(torch.cat(parts, dim=1))[0]
