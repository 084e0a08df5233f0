"""One object's gap while it is walked: its memory, its features, its ways."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slicekit.data.region import Region
from slicekit.inference.fusion import fuse
from slicekit.inference.shelf import Shelf
from slicekit.inference.sight import Propagator
from slicekit.inference.walk import Gap
from slicekit.runtime import Runtime

CERTAIN = 255
"""What ``Followed.plane`` says where the object is for sure."""
MIDDLE = 128
"""What it says where the object is as likely as not."""
_AHEAD = 8
LEAST_KEPT = 4
"""Slices whose features must fit the budget."""
_TRUSTED_MM = 100.0

Planes = Callable[[Sequence[int], Region], Tensor]
"""From slices and a region to windows ``(n, 3, size, size)`` float32 in ``[0, 1]``."""


@dataclass(frozen=True)
class FollowSettings:
    """How objects are followed."""

    size: int = 128
    """Pixels a side of a region at least."""
    most: float = 1.5
    """Up to so many times ``size`` where its pixels would be larger than ``pixel_mm``."""
    pixel_mm: float = 1.5
    """See ``most``."""
    margin: float = 0.25
    """Room around the guides' masks, as a share of their longer side."""
    least_mm: float = 56.0
    """Smallest side of a region."""
    vanish_mm: float = 4.0
    """An object out of sight for so long is followed no further where no guide shows it ahead."""
    least_share: float = 0.0006
    """An object on a smaller share of its region is out of sight."""
    least_certainty: float = 0.7
    """An object whose pixels are less probable than this on average is out of sight."""
    top_k: int = 20
    """Memory places that a query weighs."""
    walks_at_once: int = 16
    """Walks that go in step."""
    budget_bytes: int = 128 << 20
    """What the gaps that are walked at one time may take: half of it for features, half for what
    was said of their slices. A single gap is walked even if its answers take more."""
    grow: float = 1.6
    """A region that proves too small becomes so much larger."""
    attempts: int = 3
    """Sizes of a region that are tried at most."""


class Task(NamedTuple):
    """One object in one gap."""

    gap: Gap
    guides: Mapping[int, NDArray[np.bool_]]
    """Mask ``(y, x)`` on the gap's guides; an empty one says that the object is absent there."""
    reach: float = math.inf
    """Beyond an outermost guide: half the slices between it and the next one, within which the
    object may be expected to end."""


class Followed(NamedTuple):
    """One object in one slice."""

    z: int
    region: Region
    plane: NDArray[np.uint8]
    """``(size, size)`` probability; ``CERTAIN`` is 1."""
    doubt: float
    """How likely the mask is wrong, 0 to 1: disagreement of both ways, and undecided pixels."""

    @property
    def nbytes(self) -> int:
        """Bytes of the plane."""
        return self.plane.nbytes

    def paste(self, shape: tuple[int, int]) -> tuple[tuple[slice, slice], NDArray[np.uint8]]:
        """Return rows and columns of a slice of ``shape``, and the probability there."""
        where, values = self.region.paste(self.plane, shape)
        return where, np.rint(values).astype(np.uint8)


@dataclass(frozen=True)
class Means:
    """What following works with."""

    planes: Planes
    network: Propagator
    runtime: Runtime
    spacing_mm: tuple[float, float, float]
    settings: FollowSettings = FollowSettings()


class Stretch:
    """One object's gap while it is walked: its memory, its features, its walks."""

    def __init__(
        self, task: Task, region: Region, means: Means, *, shelf: Shelf, rows: range
    ) -> None:
        self.task, self.region, self.means = task, region, means
        self.shelf, self.rows = shelf, rows
        self._kept: dict[int, int] = {}  # slice to row, in the order of encoding
        self._free = list(rows)
        ends = sorted(task.guides)
        masks = region.cut(np.stack([task.guides[z] for z in ends]).astype(np.float32))
        masks = np.stack([_sharp(mask) for mask in masks])
        self.masks = means.runtime.put(torch.from_numpy(masks)[:, None])  # (n, 1, y, x)
        frames = means.runtime.put(means.planes(ends, region))
        with torch.inference_mode(), means.runtime.autocast():
            features = means.network.encode_key(frames)
            values = means.network.encode_value(frames, self.masks, features.s16)
        twice = [0, 1] if len(ends) == 2 else [0, 0]  # one guide counts twice, as in training
        self.keys = features.key[twice].transpose(0, 1)[None]  # (1, ck, 2, h, w)
        self.values = values[twice].permute(1, 2, 0, 3, 4)[None]  # (1, 1, cv, 2, h, w)
        slices = task.gap.slices
        shown = [n for n, z in enumerate(ends) if task.guides[z].any()]
        self.walks = [
            Walk(
                ends[n],
                self.masks[n],
                slices if ends[n] < slices.start else slices[::-1],
                ahead=len(shown) == 2,
            )
            for n in shown
        ]

    def active(self) -> list[Walk]:
        """Return the walks that are not over."""
        return [walk for walk in self.walks if not walk.over]

    def look(self) -> list[int]:
        """Return the row of the shelf for the slice at hand of each walk that is not over.

        What is missing is encoded, a few slices ahead with it; what was encoded first makes room.
        """
        walks = self.active()
        wanted = [walk.slices[walk.at] for walk in walks]
        for walk, z in zip(walks, wanted, strict=True):
            if z not in self._kept:
                room = min(_AHEAD, len(self.rows) - len(set(wanted)) + 1)
                ahead = walk.slices[walk.at : walk.at + room]
                missing = [number for number in ahead if number not in self._kept]
                rows = [self._row(wanted) for _ in missing]
                frames = self.means.runtime.put(self.means.planes(missing, self.region))
                self.shelf.put(rows, self.means.network.encode_key(frames))
                self._kept.update(zip(missing, rows, strict=True))
        return [self._kept[z] for z in wanted]

    def _row(self, wanted: Sequence[int]) -> int:
        """Return a free row of the shelf, or that of the slice encoded first."""
        if self._free:
            return self._free.pop()
        return self._kept.pop(next(z for z in self._kept if z not in wanted))

    def result(self) -> list[Followed]:
        """Join both ways."""
        found = []
        first, *rest = self.walks
        for z in self.task.gap.slices:
            there, back = first.answer(z), rest[0].answer(z) if rest else None
            if there is not None and back is not None:
                ends = sorted(self.task.guides)
                share = (ends[1] - z) / (ends[1] - ends[0])
                plane = fuse(there.float(), back.float(), share=share)
                apart = float((there.float() - back.float()).abs().sum())
                both = float((there.float() + back.float()).sum())
                doubt = apart / both if both > 0 else 0.0
            elif there is not None:
                away_mm = abs(z - first.start) * self.means.spacing_mm[0]
                plane, doubt = there.float(), 1 - math.exp(-away_mm / _TRUSTED_MM)
            else:
                continue
            weight = float(plane.sum())
            wrong = float(torch.minimum(plane, 1 - plane).sum())
            doubt = max(doubt, min(1.0, wrong / weight) if weight > 0 else 0.0)
            if float(plane.amax()) * CERTAIN >= MIDDLE:
                rounded = (plane * CERTAIN).round().byte().cpu().numpy()
                found.append(Followed(z, self.region, rounded, doubt))
        return found


def _sharp(mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 0 and 1, as masks are in training; what is too thin for that stays soft."""
    sharp = mask > 0.5
    return sharp.astype(np.float32) if sharp.any() else mask


class Walk:
    """One way through a gap."""

    def __init__(self, start: int, guide: Tensor, slices: range, *, ahead: bool) -> None:
        self.start, self.slices = start, slices
        self.ahead = ahead
        """Whether a guide at the other end shows the object."""
        self.neighbour = guide
        """``(1, y, x)``: what was said of the slice before."""
        self.at = 0
        """Slices that were answered; the next one is at hand."""
        self._said = guide.new_empty((len(slices), *guide.shape[1:]), dtype=torch.float16)
        self._seen_to = 0  # slices up to the last one in which the object was in sight
        self._gone_mm = 0.0
        self.over = not slices

    def note(self, plane: Tensor, settings: FollowSettings, slice_mm: float) -> None:
        """Keep what was said of the slice at hand and step on, or stop where there is nothing."""
        self._said[self.at] = plane[0]
        self.neighbour = plane
        inside = plane[plane > 0.5]
        lost = (
            inside.numel() < settings.least_share * plane.numel()
            or float(inside.mean()) < settings.least_certainty
        )
        self._gone_mm = self._gone_mm + slice_mm if lost else 0.0
        self.at += 1
        if not lost:
            self._seen_to = self.at
        given_up = self._gone_mm > settings.vanish_mm - 1e-6 and not self.ahead
        self.over = given_up or self.at == len(self.slices)

    def answer(self, z: int) -> Tensor | None:
        """Return the probability ``(y, x)`` in a slice, or ``None`` where it was not followed to.

        Where no guide is ahead, what was said since the object was last in sight does not count.
        """
        n = self.slices.index(z)
        return self._said[n] if n < (self.at if self.ahead else self._seen_to) else None
