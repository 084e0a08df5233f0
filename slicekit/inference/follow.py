"""Follow single objects through the gaps between their guides, each in a region of interest.

Every gap is walked from each guide that shows the object. The network reads the memory of the
gap's guides and is told where the object was in the slice before; what both ways say of a slice
is weighed by distance and certainty. Walks of many objects go in step, as one batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slicekit.data.region import Region, box_of, union
from slicekit.errors import BudgetError
from slicekit.inference.fusion import fuse
from slicekit.inference.sight import Propagator
from slicekit.inference.walk import Gap
from slicekit.networks.stcn import Features, dense_read, soft_aggregate
from slicekit.runtime import Runtime

CERTAIN = 255
"""What ``Followed.plane`` says where the object is for sure."""
_MIDDLE = 128
_AHEAD = 8
_LEAST_KEPT = 4
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
    least_certainty: float = 0.8
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
class Follower:
    """Follows objects through one scan."""

    planes: Planes
    network: Propagator
    runtime: Runtime
    spacing_mm: tuple[float, float, float]
    settings: FollowSettings = FollowSettings()

    def follow(self, tasks: Sequence[Task]) -> Iterator[tuple[int, list[Followed]]]:
        """Follow every object through its gap.

        Memory: ``budget_bytes`` for features; those of a gap that is too long for it are computed
        again on the way back. Neither the size of the scan nor the number of objects counts.

        Returns:
            The number of the task and what was seen, as soon as it is known, in no fixed order.
            Slices without the object are left out.

        Raises:
            BudgetError: The budget is too small for one guide.
        """
        shown = [n for n, task in enumerate(tasks) if _shows(task)]
        yield from ((n, []) for n in range(len(tasks)) if n not in set(shown))
        waiting = [(n, self._region(tasks[n]), 1) for n in shown]
        while waiting:
            waiting.sort(key=lambda entry: entry[1].size)  # one batch needs regions of one size
            size = waiting[0][1].size
            alike = [n for n, region, _ in waiting if region.size == size]
            count = self._together([len(tasks[n].gap.slices) for n in alike], size)
            group = waiting[:count]
            del waiting[:count]
            keep = self.settings.budget_bytes // count // self._slice_bytes(size)
            stretches = [_Stretch(tasks[n], region, self, keep=keep) for n, region, _ in group]
            _walk([walk for stretch in stretches for walk in stretch.walks], self)
            for (n, region, attempt), stretch in zip(group, stretches, strict=True):
                found = stretch.result()
                box = _beyond(found, region, next(iter(tasks[n].guides.values())).shape)
                if box is not None and attempt < self.settings.attempts:
                    waiting.append((n, self._around(box, self.settings.grow), attempt + 1))
                else:
                    yield n, found

    def _slice_bytes(self, size: int) -> int:
        """Return the bytes of the features of one slice.

        Raises:
            BudgetError: The budget is too small for one guide.
        """
        needed = self._measured * size**2 // self.settings.size**2
        if self.settings.budget_bytes < _LEAST_KEPT * needed:
            raise BudgetError(
                f"the budget of {self.settings.budget_bytes / 2**20:.2g} MiB is too small for one "
                f"guide, which takes {_LEAST_KEPT * needed / 2**20:.2g} MiB; raise budget_bytes"
            )
        return needed

    @cached_property
    def _measured(self) -> int:
        """Bytes of the features of the smallest region."""
        size = self.settings.size
        blank = torch.zeros(1, 3, size, size, device=self.runtime.device)
        with torch.inference_mode(), self.runtime.autocast():
            return sum(part.nbytes for part in self.network.encode_key(blank))

    def _together(self, lengths: Sequence[int], size: int) -> int:
        """Return how many of the first gaps are walked at one time; one at least."""
        room = self.settings.budget_bytes // self._slice_bytes(size)
        fits = int(np.searchsorted(np.cumsum(lengths), room, side="right"))
        return max(1, min(fits, self.settings.walks_at_once // 2))

    def _region(self, task: Task) -> Region:
        boxes = [box for mask in task.guides.values() if (box := box_of(mask)) is not None]
        return self._around(union(boxes), 1.0)

    def _around(self, box: tuple[int, int, int, int], grow: float) -> Region:
        margin = (grow * (1 + 2 * self.settings.margin) - 1) / 2
        region = Region.around(
            box, spacing_mm=self.spacing_mm[1:], margin=margin,
            least_mm=self.settings.least_mm * grow, size=self.settings.size,
        )  # fmt: skip
        side_mm = region.height * self.spacing_mm[1]
        wanted = min(side_mm / self.settings.pixel_mm, self.settings.most * self.settings.size)
        return replace(region, size=max(self.settings.size, round(wanted / 32) * 32))


def _shows(task: Task) -> bool:
    return bool(task.gap.slices) and any(mask.any() for mask in task.guides.values())


def _beyond(
    found: Sequence[Followed], region: Region, shape: tuple[int, ...]
) -> tuple[int, int, int, int] | None:
    """Return a box that holds what reached the region's edge inside of the slice, if it did."""
    if not found:
        return None
    seen = np.max([one.plane for one in found], axis=0) >= _MIDDLE
    box = box_of(seen)
    if box is None:
        return None
    edges = (
        (box[0] < 2 and region.top > 0),
        (box[1] > region.size - 2 and region.top + region.height < shape[0]),
        (box[2] < 2 and region.left > 0),
        (box[3] > region.size - 2 and region.left + region.width < shape[1]),
    )
    if not any(edges):
        return None
    y, x = region.height / region.size, region.width / region.size
    return (
        region.top + int(box[0] * y), region.top + round(box[1] * y),
        region.left + int(box[2] * x), region.left + round(box[3] * x),
    )  # fmt: skip


class _Stretch:
    """One object's gap while it is walked: its memory, its features, its walks."""

    def __init__(self, task: Task, region: Region, follower: Follower, *, keep: int) -> None:
        self.task, self.region, self.follower = task, region, follower
        self.keep = max(keep, _LEAST_KEPT)
        self._seen: dict[int, Features] = {}
        ends = sorted(task.guides)
        masks = region.cut(np.stack([task.guides[z] for z in ends]).astype(np.float32))
        self.masks = follower.runtime.put(torch.from_numpy(masks)[:, None])  # (n, 1, y, x)
        frames = follower.runtime.put(follower.planes(ends, region))
        with torch.inference_mode(), follower.runtime.autocast():
            features = follower.network.encode_key(frames)
            values = follower.network.encode_value(frames, self.masks, features.s16)
        twice = [0, 1] if len(ends) == 2 else [0, 0]  # one guide counts twice, as in training
        self.keys = features.key[twice].transpose(0, 1)[None]  # (1, ck, 2, h, w)
        self.values = values[twice].permute(1, 2, 0, 3, 4)[None]  # (1, 1, cv, 2, h, w)
        slices = task.gap.slices
        self.walks = [
            _Walk(self, z, self.masks[n], slices if z < slices.start else slices[::-1])
            for n, z in enumerate(ends)
            if task.guides[z].any()
        ]
        self.ahead = len(self.walks) == 2

    def look(self, z: int, walk: range) -> Features:
        """Return the features of a slice; a few slices ahead are encoded with it."""
        if z not in self._seen:
            at = walk.index(z)
            missing = [n for n in walk[at : at + min(_AHEAD, self.keep - 1)] if n not in self._seen]
            frames = self.follower.runtime.put(self.follower.planes(missing, self.region))
            features = self.follower.network.encode_key(frames)
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
                away_mm = abs(z - first.start) * self.follower.spacing_mm[0]
                plane, doubt = there.float(), 1 - math.exp(-away_mm / _TRUSTED_MM)
            else:
                continue
            weight = float(plane.sum())
            wrong = float(torch.minimum(plane, 1 - plane).sum())
            doubt = max(doubt, min(1.0, wrong / weight) if weight > 0 else 0.0)
            if float(plane.amax()) * CERTAIN >= _MIDDLE:
                rounded = (plane * CERTAIN).round().byte().cpu().numpy()
                found.append(Followed(z, self.region, rounded, doubt))
        return found


@dataclass
class _Walk:
    """One way through a gap."""

    stretch: _Stretch
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


@torch.inference_mode()
def _walk(walks: Sequence[_Walk], follower: Follower) -> None:
    """Walk all ways in step, one slice each at a time."""
    settings, runtime = follower.settings, follower.runtime
    while active := [walk for walk in walks if walk.at < len(walk.slices)]:
        with runtime.autocast():
            seen = [walk.stretch.look(walk.slices[walk.at], walk.slices) for walk in active]
            features = Features(*(torch.cat(parts) for parts in zip(*seen, strict=True)))
            keys = torch.cat([walk.stretch.keys for walk in active])
            values = torch.cat([walk.stretch.values for walk in active])
            read = dense_read(keys, values, features.key, top_k=settings.top_k)
            prior = 2 * torch.stack([walk.neighbour for walk in active]) - 1
            logits = follower.network.decode(read, features, prior=prior)
        planes = soft_aggregate(torch.sigmoid(logits.float()))[:, 1:]
        for walk, plane in zip(active, planes, strict=True):
            walk.note(plane, settings, follower.spacing_mm[0])
