"""What every reference network has in common: slices of any size in, logits of that size out."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from slicekit.checks import expect_shape
from slicekit.networks.blocks import CropBox, pad_to_multiple


class SlicewiseNetwork(nn.Module):
    """Pads slices to what a network takes, and cuts its logits to their size.

    Args:
        multiple: What y and x must be multiples of.
        least: Smallest y and x that it takes.
    """

    score: Callable[..., Tensor]
    """Compute the logits ``(b, classes, y, x)`` of what ``prepare`` gives: the network without its
    preparations."""

    def __init__(self, *, multiple: int, least: int) -> None:
        super().__init__()
        self.multiple, self.least = multiple, least

    def forward(
        self,
        slices: Tensor,  # (b, 3, y, x) windows in [0, 1], y and x at least 1
        position: Tensor | None = None,  # (b,) in [0, 1] from the first slice to the last
    ) -> Tensor:  # (b, classes, y, x) logits
        """Return one logit a class and pixel; most networks make no use of the position.

        Raises:
            ShapeError: The slices have not four axes and 3 channels, or there are not b positions.
        """
        inputs, box = self.prepare(slices, position)
        return box.cut(self.score(*inputs))

    def prepare(
        self, slices: Tensor, position: Tensor | None = None
    ) -> tuple[tuple[Tensor, ...], CropBox]:
        """Return what ``score`` takes, and where the slices lie in what it gives.

        Raises:
            ShapeError: As ``forward``.
        """
        b = expect_shape("slices", slices, "b 3 y x")["b"]
        if position is not None:
            expect_shape("position", position, f"{b}")
        padded, box = pad_to_multiple(slices, self.multiple, least=self.least)
        return (padded,), box
