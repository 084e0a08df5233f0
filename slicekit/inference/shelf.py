"""Features of slices in memory that is taken once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from slicekit.networks.stcn import Features


class Shelf:
    """Features of many slices in one block a part.

    Thousands of small tensors that come and go leave an allocator with holes that it cannot give
    back; a block does not. Slices are kept in rows, channels last, as the networks make them.

    Args:
        example: Features of one slice of the size at hand.
        count: Slices that fit.
    """

    def __init__(self, example: Features, count: int) -> None:
        self._parts = Features(
            *(
                torch.empty((count, *_last(part).shape[1:]), dtype=part.dtype, device=part.device)
                for part in example
            )
        )

    def put(self, rows: Sequence[int], features: Features) -> None:
        """Keep the features ``(n, ...)`` of slices in these rows."""
        for part, new in zip(self._parts, features, strict=True):
            part[list(rows)] = _last(new)

    def get(self, rows: Sequence[int]) -> Features:
        """Return the features ``(n, ...)`` that were kept in these rows, as a copy."""
        return Features(*(part[list(rows)].movedim(-1, 1) for part in self._parts))


def _last(part: Tensor) -> Tensor:
    return part.movedim(1, -1)
