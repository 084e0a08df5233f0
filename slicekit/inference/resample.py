"""From the network's in-plane grid back to a scan's own pixels, one slice and one class at a time.

The way there is ``slicekit.data.grid.InPlane``: both grids cover the same rectangle, so pixel
edges agree (``align_corners=False``) and going there and back moves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from slicekit.checks import expect_shape
from slicekit.data.grid import InPlane


class Decision(NamedTuple):
    """Which class every pixel of a slice belongs to."""

    chosen: NDArray[np.int16]
    """``(y, x)`` position of the chosen class among those offered; 0 is the background."""
    confidence: NDArray[np.float16]
    """``(y, x)`` probability of the chosen class."""


Decide = Callable[[Tensor], Decision]
"""From the probabilities of a slice, ``(classes, y, x)``, background first, to a decision."""


def most_likely(
    probabilities: Tensor,  # (classes, y, x), background first
) -> Decision:
    """Choose the most probable class of every pixel; the first of equals.

    Raises:
        ShapeError: There are not three axes.

    Example:
        >>> most_likely(torch.tensor([[[0.25, 0.75]], [[0.75, 0.25]]])).chosen.tolist()
        [[1, 0]]
    """
    expect_shape("probabilities", probabilities, "classes y x")
    index, confidence = _choose(enumerate(probabilities))
    return Decision(index.cpu().numpy(), confidence.half().cpu().numpy())


def decide_on(grid: InPlane) -> Decide:
    """Return ``most_likely`` on a scan's own pixels: resample linearly, then choose.

    Probabilities are resampled, not labels, so that edges are not drawn in the steps of the
    coarser grid. One class lies at full size at a time, so memory is that of 4 planes however
    many classes there are. Outside of the grid's box all is background, for certain.

    Args:
        grid: How the scan's slices lie on the network's grid.

    Returns:
        A function of ``(classes, y, x)`` probabilities on ``grid.model_size`` that sum to at
        least 1; its decision has ``grid.source_size``. It raises ShapeError for another size.
    """

    def decide(probabilities: Tensor) -> Decision:
        y, x = grid.model_size
        classes = expect_shape("probabilities", probabilities, f"classes {y} {x}")["classes"]
        peaks = probabilities.amax(dim=(1, 2)).tolist()

        def planes() -> Iterator[tuple[int, Tensor]]:
            for number, peak in enumerate(peaks):
                # The winner of a pixel has 1/classes at least, and resampling raises no peak.
                if number == 0 or peak * classes >= 0.999:
                    yield number, _to_source(probabilities[number], grid)

        index, confidence = _choose(planes())
        y0, y1, x0, x1 = grid.box
        decision = Decision(
            np.zeros(grid.source_size, dtype=np.int16), np.ones(grid.source_size, dtype=np.float16)
        )
        decision.chosen[y0:y1, x0:x1] = index.cpu().numpy()
        decision.confidence[y0:y1, x0:x1] = confidence.half().cpu().numpy()
        return decision

    return decide


def on_source(
    plane: Tensor,  # (y, x)
    grid: InPlane,
) -> NDArray[np.float32]:
    """Resample one plane linearly from the networks' grid to a scan's own pixels.

    Returns:
        ``(y, x)`` of ``grid.source_size``; 0 outside of the grid's box.

    Raises:
        ShapeError: The plane is not of ``grid.model_size``.
    """
    expect_shape("plane", plane, " ".join(map(str, grid.model_size)))
    whole = np.zeros(grid.source_size, dtype=np.float32)
    y0, y1, x0, x1 = grid.box
    whole[y0:y1, x0:x1] = _to_source(plane, grid).cpu().numpy()
    return whole


def _to_source(plane: Tensor, grid: InPlane) -> Tensor:
    """Resample ``(y, x)`` from the network's grid to the pixels of the box, linearly."""
    y0, y1, x0, x1 = grid.box
    size = (y1 - y0, x1 - x0)
    if size == tuple(plane.shape):
        return plane.float()
    shrinks = size[0] < plane.shape[0] or size[1] < plane.shape[1]
    return F.interpolate(
        plane.float()[None, None], size, mode="bilinear", antialias=shrinks, align_corners=False
    )[0, 0]


def _choose(planes: Iterator[tuple[int, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return the number of the highest plane and its height, seeing one plane at a time."""
    number, plane = next(planes)
    best = plane.float().clone()
    index = torch.full(best.shape, number, dtype=torch.int16, device=best.device)
    for number, plane in planes:
        higher = plane > best
        index.masked_fill_(higher, number)
        torch.maximum(best, plane.float(), out=best)
    return index, best
