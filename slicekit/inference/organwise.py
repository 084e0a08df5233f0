"""The pipeline's way of carrying guides organ by organ, each in a region of interest.

The reference's own view of every slice is kept as the two likeliest organs of each pixel, four
bytes whatever the number of organs, and weighed against what was carried there.

Reference: Pham et al. (FLARE22) for guides from a reference; regions and the second view are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from slicekit.data.grid import InPlane
from slicekit.inference.canvas import Canvas
from slicekit.inference.follow import Follower
from slicekit.inference.stretch import CERTAIN, Task
from slicekit.inference.walk import gaps


class OrganGuide(NamedTuple):
    """A slice that the reference is sure of."""

    z: int
    labels: NDArray[Any]
    """``(y, x)`` ids on the scan's own grid."""
    known: frozenset[int]
    """Organs that it speaks of: those it shows, and those known to be absent."""


class Opinions:
    """What the reference says of every slice: the two likeliest organs of each pixel.

    Args:
        length: Slices of the scan. Four bytes a pixel of the networks' grid are taken.
        grid: How the scan's slices lie on the networks' grid.
    """

    def __init__(self, length: int, grid: InPlane) -> None:
        self.grid = grid
        self._organs = np.zeros((length, 2, *grid.model_size), np.uint8)
        self._shares = np.zeros(self._organs.shape, np.uint8)

    def note(
        self,
        z: int,
        probabilities: Tensor,  # (classes, y, x), background first
    ) -> None:
        """Keep what is said of a slice."""
        shares, organs = probabilities.topk(min(2, len(probabilities)), dim=0)
        self._organs[z, : len(organs)] = organs.byte().cpu().numpy()
        self._shares[z, : len(organs)] = (shares * CERTAIN).round().byte().cpu().numpy()

    def of(self, z: int, organ: int) -> NDArray[np.float32]:
        """Return the probability of an organ, ``(y, x)`` on the scan's own grid."""
        said = np.where(self._organs[z] == organ, self._shares[z], 0).max(axis=0)
        y0, y1, x0, x1 = self.grid.box
        whole = np.zeros(self.grid.source_size, np.float32)
        size = (x1 - x0, y1 - y0)
        fine = cv2.resize(said.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
        whole[y0:y1, x0:x1] = fine / CERTAIN
        return whole


@dataclass(frozen=True)
class _Weighed:
    """A carried mask, averaged with the reference's own view."""

    z: int
    where: tuple[slice, slice]
    likely: NDArray[np.uint8]

    def paste(self, shape: tuple[int, int]) -> tuple[tuple[slice, slice], NDArray[np.uint8]]:
        """Return rows, columns and probability, as they are."""
        return self.where, self.likely


def carry_organs(
    guides: Sequence[OrganGuide],
    follower: Follower,
    *,
    shape: tuple[int, int, int],
    opinions: Opinions | None,
    shares: Mapping[int, float],
    alone: frozenset[int] = frozenset(),
    told: Callable[[int, int], None] = lambda done, total: None,
) -> NDArray[Any]:
    """Carry every organ from its guides through the scan.

    Args:
        guides: On different slices.
        follower: Follows organs through the scan.
        shape: ``(z, y, x)`` of the scan.
        opinions: The reference's view of every slice; not asked where ``None``.
        shares: Organ to its weight against what was carried; 0 for others.
        alone: Organs that no guide carries; the reference's view is all there is of them.
        told: Told the gaps done and the gaps in all.

    Returns:
        ``(z, y, x)`` ids; on their slices the guides' own masks stand, and an organ that a guide
        does not speak of may be carried past it.
    """
    canvas = Canvas(shape)
    for guide in guides:
        for number in np.unique(guide.labels[guide.labels > 0]).tolist():
            canvas.draw(guide.z, number, guide.labels == number)
    owners, tasks = _tasks(guides, length=shape[0])
    for done, (n, found) in enumerate(follower.follow(tasks), start=1):
        for piece in found:
            where, likely = piece.paste(shape[1:])
            share = shares.get(owners[n], 0.0)
            if opinions is not None and share > 0:
                said = opinions.of(piece.z, owners[n])[where] * CERTAIN
                likely = np.rint((1 - share) * likely + share * said).astype(np.uint8)
            canvas.paint(owners[n], _Weighed(piece.z, where, likely))
        told(done, len(tasks))
    if opinions is not None:
        everywhere = (slice(0, shape[1]), slice(0, shape[2]))
        for z, organ in product(range(shape[0]), sorted(alone)):
            likely = np.rint(opinions.of(z, organ) * CERTAIN).astype(np.uint8)
            if likely.any():
                canvas.paint(organ, _Weighed(z, everywhere, likely))
    return canvas.labels


def _tasks(guides: Sequence[OrganGuide], *, length: int) -> tuple[list[int], list[Task]]:
    """Return every organ's gaps, and whose they are."""
    owners, tasks = [], []
    for organ in sorted(frozenset().union(*(guide.known for guide in guides))):
        masks = {guide.z: guide.labels == organ for guide in guides if organ in guide.known}
        for gap in gaps(length, sorted(masks)):
            ends = {z: masks[z] for z in (gap.left, gap.right) if z is not None}
            owners.append(organ)
            tasks.append(Task(gap, ends))
    return owners, tasks
