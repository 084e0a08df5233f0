"""What is kept of a reference's looks at a scan, so that its uncertainty can be told."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from slicekit.data.grid import InPlane
from slicekit.inference.resample import on_source
from slicekit.inference.uncertainty import OrganCertainty, uncertainty
from slicekit.labels import LabelSet


class Witness:
    """Notes on every slice that a reference's networks looked at; each counts once.

    Memory: 2 bytes a voxel for the map and 2 a pixel of the networks' grid for the vote, whatever
    the number of organs.

    Args:
        shape: ``(z, y, x)`` of the scan.
        grid: How its slices lie on the networks' grid.
    """

    def __init__(self, shape: tuple[int, int, int], grid: InPlane) -> None:
        self.map: NDArray[np.float16] = np.zeros(shape, np.float16)
        """``(z, y, x)`` uncertainty on the scan's own grid; 0 outside of the grid's box."""
        self.grid = grid
        self._votes = np.zeros((shape[0], *grid.model_size), np.uint16)
        self._seen = np.zeros(shape[0], np.bool_)
        self._pairs: dict[tuple[int, int], NDArray[np.int64]] = {}

    @property
    def unseen(self) -> list[int]:
        """Slices that nothing is noted of."""
        unseen: list[int] = np.flatnonzero(~self._seen).tolist()
        return unseen

    def note(
        self,
        z: int,
        probabilities: Tensor,  # (members, classes, y, x)
    ) -> None:
        """Keep what is to be known of a slice; a second look at it is passed over."""
        if self._seen[z]:
            return
        self._seen[z] = True
        self.map[z] = on_source(uncertainty(probabilities), self.grid)
        self._votes[z] = probabilities.mean(dim=0).argmax(dim=0).cpu().numpy()
        choices, classes = probabilities.argmax(dim=1).cpu().numpy(), probabilities.shape[1]
        for a, b in combinations(range(len(choices)), 2):
            tally = self._pairs.setdefault((a, b), np.zeros((2, classes), np.int64))
            tally += _overlap(choices[a], choices[b], classes)

    def organs(
        self, labels: NDArray[Any], names: LabelSet, *, carried: bool
    ) -> dict[str, OrganCertainty]:
        """Tell how far the networks agree with one another and with the final labels.

        Args:
            labels: ``(z, y, x)`` ids on the scan's own grid.
            names: The organs to tell of; an id is the number of its class.
            carried: Whether guides were carried, so that the labels are not just the vote.
        """
        classes = int(max(labels.max(), self._votes.max(), *names.ids.values())) + 1
        voxels, doubt = np.zeros(classes, np.int64), np.zeros(classes)
        against = np.zeros((2, classes), np.int64)
        where = _centres(self.grid)
        for plane, unsure, vote in zip(labels, self.map, self._votes, strict=True):
            ids = plane.ravel().astype(np.intp)
            voxels += np.bincount(ids, minlength=classes)
            doubt += np.bincount(ids, weights=unsure.ravel(), minlength=classes)
            against += _overlap(plane[where], vote, classes) if carried else 0
        between = list(self._pairs.values())
        return {
            name: OrganCertainty(
                _mean([_dice(tally, number) for tally in between]),
                float(1 - doubt[number] / voxels[number]) if voxels[number] else None,
                _dice(against, number),
            )
            for name, number in names.ids.items()
        }


def _overlap(one: NDArray[Any], other: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """Return ``(2, classes)``: pixels in both, and in the one plus in the other."""

    def count(ids: NDArray[Any]) -> NDArray[np.int64]:
        return np.bincount(ids.ravel().astype(np.intp), minlength=classes).astype(np.int64)

    return np.stack([count(one[one == other]), count(one) + count(other)])


def _dice(tally: NDArray[np.int64], number: int) -> float | None:
    both, total = tally[:, number] if number < tally.shape[1] else (0, 0)
    return float(2 * both / total) if total else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _centres(grid: InPlane) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the scan's rows and columns in which the centres of the networks' pixels lie."""
    y0, y1, x0, x1 = grid.box
    rows, columns = (
        (first + (np.arange(count) + 0.5) * (last - first) / count).astype(np.intp)
        for first, last, count in ((y0, y1, grid.model_size[0]), (x0, x1, grid.model_size[1]))
    )
    return rows[:, None], columns[None, :]
