"""Two reference networks that look at the same slices, for cross pseudo supervision."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn


class PairLogits(NamedTuple):
    """What two networks say of the same slices."""

    a: Tensor  # (b, classes, y, x)
    b: Tensor  # (b, classes, y, x)


class Pair(nn.Module):
    """Two networks of unlike build; what they disagree on is what neither is sure of.

    Args:
        a: A reference network.
        b: Another, with as many classes.
    """

    def __init__(self, a: nn.Module, b: nn.Module) -> None:
        super().__init__()
        self.a = a
        self.b = b

    def forward(
        self,
        slices: Tensor,  # (b, 3, y, x) windows in [0, 1]
        position: Tensor | None = None,  # (b,) in [0, 1]
    ) -> PairLogits:
        """Return the logits of both."""
        return PairLogits(self.a(slices, position), self.b(slices, position))
