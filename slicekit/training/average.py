"""Average the weights of a network over its steps (exponential moving average)."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, *, decay: float) -> None:
    """Move an averaged network towards the trained one.

    Parameters and float buffers move; integer buffers are copied. A decay of 0 copies, a decay
    of 1 keeps the average as it is.

    Args:
        average: Changed in place; of the same build as ``network``.
        network: The trained one.
        decay: Weight of the old average.

    Reference: Tarvainen and Valpola 2017 (Mean Teacher), the teacher's weights.
    """
    old, new = average.state_dict(), network.state_dict()
    floats = [name for name, tensor in old.items() if tensor.is_floating_point()]
    torch._foreach_lerp_(
        [old[name] for name in floats], [new[name] for name in floats], 1.0 - decay
    )
    for name, tensor in old.items():
        if not tensor.is_floating_point():
            tensor.copy_(new[name])
