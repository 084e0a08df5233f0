"""The field's protocol of few-shot segmentation: the organ's extent in the query is known.

Reference: Roy et al. 2020 ("Squeeze & excite" guided few-shot segmentation of volumetric images),
section 4; Ouyang et al. 2020, section 4.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slicekit.checks import expect_shape
from slicekit.errors import LabelError
from slicekit.networks import ALPNet
from slicekit.runtime import Runtime

CHUNKS = 3
_SLICES_AT_ONCE = 8

Look = Callable[[Sequence[int]], Tensor]
"""From slice numbers to windows ``(n, 3, y, x)`` in ``[0, 1]``."""


def chunks_of(first: int, last: int, count: int = CHUNKS) -> list[range]:
    """Cut the slices of an organ in chunks of like length; short organs have fewer.

    Args:
        first: First slice.
        last: Last slice.
        count: Chunks.

    Example:
        >>> chunks_of(4, 10)
        [range(4, 6), range(6, 8), range(8, 11)]
        >>> chunks_of(4, 5)
        [range(4, 5), range(5, 6)]
    """
    length = last - first + 1
    edges = [first + length * n // count for n in range(count + 1)]
    found = [range(start, stop) for start, stop in pairwise(edges)]
    return [chunk for chunk in found if chunk]


def middles_of(mask: NDArray[np.bool_], count: int = CHUNKS) -> list[int]:
    """Return the middle slice of every chunk of an organ; the nearest that shows it.

    Args:
        mask: ``(z, y, x)``.
        count: Chunks.

    Raises:
        LabelError: The organ is on no slice.
    """
    held = np.flatnonzero(mask.any(axis=(1, 2)))
    if not len(held):
        raise LabelError("the support does not show the organ on any slice; choose another scan")
    wanted = [
        (chunk[0] + chunk[-1]) // 2 for chunk in chunks_of(int(held[0]), int(held[-1]), count)
    ]
    return [int(held[np.abs(held - z).argmin()]) for z in wanted]


@torch.inference_mode()
def name_by_protocol(
    network: ALPNet,
    support: Look,
    support_mask: NDArray[np.bool_],
    query: Look,
    extent: range,
    *,
    runtime: Runtime,
    chunks: int = CHUNKS,
) -> NDArray[np.bool_]:
    """Name an organ between its first and last slice: one support slice a chunk.

    Args:
        network: In eval mode.
        support: Slices of another patient's scan.
        support_mask: ``(z, y, x)`` of that scan; the organ, on the network's grid.
        query: Slices of the scan that is asked about.
        extent: From the organ's first slice there to its last.
        runtime: Where the network runs.
        chunks: How many.

    Returns:
        ``(len(extent), y, x)`` on the network's grid.

    Raises:
        LabelError: The support does not show the organ.
        ShapeError: The mask has not three axes.
    """
    expect_shape("support_mask", support_mask, "z y x")
    middles, answers = middles_of(support_mask, chunks), []
    parts = chunks_of(extent.start, extent.stop - 1, chunks)
    for number, part in enumerate(parts):
        z = middles[number * len(middles) // len(parts)]
        with runtime.autocast():
            seen = network.encode(runtime.put(support([z])))
        mask = torch.from_numpy(support_mask[z])[None, None, None]
        known = network.prototypes(seen[:, None], mask.to(runtime.device))
        for start in range(part.start, part.stop, _SLICES_AT_ONCE):
            zs = range(start, min(start + _SLICES_AT_ONCE, part.stop))
            slices = runtime.put(query(zs))
            with runtime.autocast():
                asked = network.encode(slices)
            said = network.draw(network.compare(known, asked), slices)
            answers.append((said.argmax(dim=1) == 1).cpu().numpy())
    return np.concatenate(answers)


def overlap(guess: NDArray[Any], truth: NDArray[Any]) -> float:
    """Return the Dice score of two masks of any shape; 1 where both are empty."""
    total = np.count_nonzero(guess) + np.count_nonzero(truth)
    return 1.0 if not total else 2 * np.count_nonzero(guess & truth) / total
