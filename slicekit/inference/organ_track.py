"""One organ of a session: what was drawn of it, and what is known of every slice."""

from __future__ import annotations

import hashlib
import math
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slicekit.inference.stretch import Task
from slicekit.inference.walk import Gap, gaps


class Provenance(IntEnum):
    """Where the mask of an organ in a slice comes from."""

    UNSEEN = 0
    """Nothing of the organ is there, or nobody looked."""
    DRAWN = 1
    """A guide says so."""
    PROPAGATED = 2
    """A network carried it here."""
    INTERPOLATED = 3
    """The shapes of drawn slices were interpolated."""


class GapKey(NamedTuple):
    """What decides the answer of one gap of one organ."""

    left: int | None
    right: int | None
    reach: float
    digest: str


class OrganTrack:
    """One organ: its guides, and what is known of every slice."""

    def __init__(self, number: int, depth: int) -> None:
        self.number = number
        self.guides: dict[int, NDArray[np.bool_]] = {}
        self.shown: set[GapKey] = set()
        self.provenance = np.zeros(depth, np.uint8)
        self.doubt = np.zeros(depth, np.float32)
        self.area = np.zeros(depth, np.float32)

    def tasks(self, z_range: tuple[int, int], *, by_shape: bool) -> dict[GapKey, Task]:
        """Return the gaps between the guides, each with what decides its answer.

        Where shapes are interpolated, how far the outermost guides reach depends on the next
        guides inwards.
        """
        if not any(mask.any() for mask in self.guides.values()):
            return {}
        found = {}
        drawn = sorted(self.guides)
        shown = [z for z in drawn if self.guides[z].any()]
        for gap in gaps(z_range[1], drawn):
            slices = range(max(gap.slices.start, z_range[0]), max(gap.slices.stop, z_range[0]))
            ends = {z: self.guides[z] for z in (gap.left, gap.right) if z is not None}
            digest = hashlib.sha256(b"".join(np.packbits(m).tobytes() for m in ends.values()))
            reach = math.inf
            if by_shape and len(ends) == 1 and len(shown) > 1:
                reach = (shown[1] - shown[0] if gap.left is None else shown[-1] - shown[-2]) / 2
            key = GapKey(gap.left, gap.right, reach, digest.hexdigest())
            found[key] = Task(Gap(gap.left, gap.right, slices), ends, reach)
        return found
