"""Two directions of propagation made one."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

DOUBT = 0.05
"""Weight that an undecided pixel keeps when two directions are fused."""


class Seen(NamedTuple):
    """What one direction says of one slice."""

    z: int
    objects: tuple[int, ...]
    planes: Tensor  # (k, y, x) probabilities of the objects


def fuse(forward: Tensor, backward: Tensor, *, share: float) -> Tensor:
    """Weigh what two directions say of the same pixels by distance and by certainty.

    Args:
        forward: Probabilities of any shape, from the guide before.
        backward: The same from the guide behind.
        share: What ``forward`` counts, ``[0, 1]``: distance to the guide behind over the
            distance between the guides.

    Returns:
        Probabilities of that shape. A direction that is undecided (0.5) yields to one that is not.

    Example:
        >>> fuse(torch.tensor([1.0]), torch.tensor([0.0]), share=0.75)
        tensor([0.7500])
    """
    first = share * ((2 * forward - 1).abs() + DOUBT)
    second = (1 - share) * ((2 * backward - 1).abs() + DOUBT)
    return (first * forward + second * backward) / (first + second)


def shrink(seen: Seen, factor: int) -> Seen:
    """Round to float16, on a coarser grid where the factor is above 1."""
    y, x = seen.planes.shape[-2:]
    planes = seen.planes
    if factor > 1:
        size = (math.ceil(y / factor), math.ceil(x / factor))
        planes = F.interpolate(planes[None], size, mode="area")[0]
    return seen._replace(planes=planes.half())


def join(there: Seen, back: Seen, *, share: float, size: tuple[int, int]) -> Seen:
    """Join both directions; an object that one of them followed counts as that one says."""
    wide = there.planes.float()
    if tuple(wide.shape[-2:]) != size:
        wide = F.interpolate(wide[None], size, mode="bilinear", align_corners=False)[0]
    first = dict(zip(there.objects, wide, strict=True))
    second = dict(zip(back.objects, back.planes.half().float(), strict=True))
    planes = []
    for number in (objects := tuple(sorted(first.keys() | second.keys()))):
        if number in first and number in second:
            planes.append(fuse(first[number], second[number], share=share))
        else:
            planes.append(first[number] if number in first else second[number])
    return Seen(back.z, objects, torch.stack(planes))
