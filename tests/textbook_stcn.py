"""STCN's memory read and walk as the paper tells them: slow, plain, what the engine is held to.

Reference: Cheng, Tai and Tang 2021, sections 3.1 to 3.3; the best 20 places after Cheng et al.
2021 (MiVOS). Nothing here is shared with the engine but the network's three parts.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from slicekit.networks import STCN
from slicekit.networks.stcn import Features


def read_memory(
    memory_keys: Tensor,  # (ck, m)
    memory_values: Tensor,  # (k, cv, m)
    query_keys: Tensor,  # (ck, n)
    *,
    top_k: int = 20,
) -> Tensor:  # (k, cv, n)
    """Read m remembered places for n queried ones, by way of the whole affinity."""
    ck, m = memory_keys.shape
    length = memory_keys.pow(2).sum(dim=0)[:, None]  # (m, 1)
    product = memory_keys.T @ query_keys  # (m, n)
    scores = (2 * product - length) / ck**0.5  # -|q|^2 is the same for every place
    best, where = torch.topk(scores, min(top_k, m), dim=0)
    powers = torch.exp(best - best.max(dim=0, keepdim=True).values)
    weights = powers / powers.sum(dim=0, keepdim=True)
    affinity = torch.zeros_like(scores).scatter_(0, where, weights)  # (m, n)
    return torch.bmm(memory_values, affinity.expand(len(memory_values), -1, -1))


def aggregate(probabilities: Tensor) -> Tensor:
    """Return ``(k + 1, y, x)`` of ``(k, y, x)``: background first, all normalised together."""
    background = torch.prod(1 - probabilities, dim=0, keepdim=True)
    p = torch.cat([background, probabilities]).clamp(1e-7, 1 - 1e-7)
    return torch.softmax(torch.log(p / (1 - p)), dim=0)


class Step(NamedTuple):
    """One slice of the walk."""

    readout: Tensor  # (k, cv, y/16, x/16) what the memory said
    shares: Tensor  # (k + 1, y, x) probabilities, background first


@torch.inference_mode()
def carry(
    network: STCN,
    frames: Tensor,  # (t, 3, y, x) in [0, 1]
    masks: Tensor,  # (k, y, x) of the first slice, 0 or 1
    *,
    every: int | None,
    top_k: int = 20,
) -> list[Step]:
    """Carry the masks of the first slice through all others, in one direction.

    Args:
        network: In ``eval`` mode, float32.
        frames: The slices; their size need not be a multiple of 16.
        masks: One an object.
        every: X with the soft masks found there; none if
            ``None``, so that only the first is.
        top_k: Places that a query weighs.

    Returns:
        One step a slice, from the second on.
    """
    first, features = _see(network, frames[0])
    value = network.encode_value(first, _pad(masks[None]), features.s16)[0]  # (k, cv, h, w)
    keys, values = [features.key[0].flatten(1)], [value.flatten(2)]
    steps = []
    for t in range(1, len(frames)):
        frame, features = _see(network, frames[t])
        query = features.key[0]
        read = read_memory(
            torch.cat(keys, dim=1), torch.cat(values, dim=2), query.flatten(1), top_k=top_k
        )
        readout = read.unflatten(2, query.shape[1:])
        logits = network.decode(readout[None], features)[0]
        shares = aggregate(torch.sigmoid(_unpad(logits, frames.shape[-2:])))
        steps.append(Step(readout, shares))
        if every is not None and t % every == 0:
            value = network.encode_value(frame, _pad(shares[None, 1:]), features.s16)[0]
            keys.append(query.flatten(1))
            values.append(value.flatten(2))
    return steps


def _see(network: STCN, frame: Tensor) -> tuple[Tensor, Features]:
    padded = _pad(frame[None])
    return padded, network.encode_key(padded)


def _pad(slices: Tensor) -> Tensor:
    """Put zeros around until 16 divides both sides; the smaller half goes in front."""
    rows, columns = (-slices.shape[-2] % 16, -slices.shape[-1] % 16)
    return F.pad(slices, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))


def _unpad(padded: Tensor, size: torch.Size) -> Tensor:
    top, left = ((big - small) // 2 for big, small in zip(padded.shape[-2:], size, strict=True))
    return padded[..., top : top + size[0], left : left + size[1]]
