"""One object's gap while it is walked: its memory, its features, its ways."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slicekit.data.region import Region
from slicekit.inference.fusion import fuse
from slicekit.inference.sight import Propagator
from slicekit.inference.walk import Gap
from slicekit.networks.stcn import Features
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
    budget_bytes: int = 256 << 20
    """What the features of the gaps that are walked at one time may take together."""
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

    def __init__(self, task: Task, region: Region, means: Means, *, keep: int) -> None:
        self.task, self.region, self.means = task, region, means
        self.keep = max(keep, LEAST_KEPT)
        self._seen: dict[int, Features] = {}
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
        self.walks = [
            Walk(self, z, self.masks[n], slices if z < slices.start else slices[::-1])
            for n, z in enumerate(ends)
            if task.guides[z].any()
        ]
        self.ahead = len(self.walks) == 2

    def look(self, z: int, walk: range) -> Features:
        """Return the features of a slice; a few slices ahead are encoded with it."""
        if z not in self._seen:
            at = walk.index(z)
            missing = [n for n in walk[at : at + min(_AHEAD, self.keep - 1)] if n not in self._seen]
            frames = self.means.runtime.put(self.means.planes(missing, self.region))
            features = self.means.network.encode_key(frames)
            for n, number in enumerate(missing):
                self._seen[number] = Features(*(part[n : n + 1].clone() for part in features))
        while len(self._seen) > self.keep:
            self._seen.pop(next(number for number in self._seen if number != z))
        return self._seen[z]

    def result(self) -> list[Followed]:
        """Join both ways."""
        found = []
        first, *rest = self.walks
        for z in self.task.gap.slices:
            there, back = first.said.get(z), rest[0].said.get(z) if rest else None
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


@dataclass
class Walk:
    """One way through a gap."""

    stretch: Stretch
    start: int
    neighbour: Tensor  # (1, y, x) what was said of the slice before
    slices: range
    at: int = 0
    seen_to: int = 0
    """Slices up to the last one in which the object was in sight."""
    gone_mm: float = 0.0
    said: dict[int, Tensor] = field(default_factory=dict)

    def note(self, plane: Tensor, settings: FollowSettings, slice_mm: float) -> None:
        """Keep what was said of the slice at hand and step on, or stop where there is nothing."""
        z = self.slices[self.at]
        self.said[z] = plane[0].half()
        self.neighbour = plane
        inside = plane[plane > 0.5]
        lost = (
            inside.numel() < settings.least_share * plane.numel()
            or float(inside.mean()) < settings.least_certainty
        )
        self.gone_mm = self.gone_mm + slice_mm if lost else 0.0
        self.at += 1
        if not lost:
            self.seen_to = self.at
        if self.gone_mm > settings.vanish_mm - 1e-6 and not self.stretch.ahead:
            self.at = len(self.slices)
        if self.at == len(self.slices) and not self.stretch.ahead:
            for z in self.slices[self.seen_to :]:
                self.said.pop(z, None)
