"""Follow single objects through the gaps between their guides, each in a region of interest.

Every gap is walked from each guide that shows the object. The network reads the memory of the
gap's guides and is told where the object was in the slice before; what both ways say of a slice
is weighed by distance and certainty. Walks of many objects go in step, as one batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from slicekit.data.region import Region, box_of, union
from slicekit.errors import BudgetError
from slicekit.inference.stretch import (
    LEAST_KEPT,
    MIDDLE,
    Followed,
    Means,
    Stretch,
    Task,
    Walk,
)
from slicekit.networks.stcn import Features, dense_read, soft_aggregate


@dataclass(frozen=True)
class Follower(Means):
    """Follows objects through one scan."""

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
            stretches = [Stretch(tasks[n], region, self, keep=keep) for n, region, _ in group]
            _walk([walk for stretch in stretches for walk in stretch.walks], self)
            for (n, region, attempt), stretch in zip(group, stretches, strict=True):
                found = stretch.result()
                box = _beyond(found, region, next(iter(tasks[n].guides.values())).shape)
                if box is not None and attempt < self.settings.attempts:
                    held = union([box, *_boxes(tasks[n])])
                    waiting.append((n, self._around(held, self.settings.grow), attempt + 1))
                else:
                    yield n, found

    def _slice_bytes(self, size: int) -> int:
        """Return the bytes of the features of one slice.

        Raises:
            BudgetError: The budget is too small for one guide.
        """
        needed = self._measured * size**2 // self.settings.size**2
        if self.settings.budget_bytes < LEAST_KEPT * needed:
            raise BudgetError(
                f"the budget of {self.settings.budget_bytes / 2**20:.2g} MiB is too small for one "
                f"guide, which takes {LEAST_KEPT * needed / 2**20:.2g} MiB; raise budget_bytes"
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
        return self._around(union(_boxes(task)), 1.0)

    def _around(self, box: tuple[int, int, int, int], grow: float) -> Region:
        margin = (grow * (1 + 2 * self.settings.margin) - 1) / 2
        region = Region.around(
            box, spacing_mm=self.spacing_mm[1:], margin=margin,
            least_mm=self.settings.least_mm * grow, size=self.settings.size,
        )  # fmt: skip
        side_mm = region.height * self.spacing_mm[1]
        wanted = min(side_mm / self.settings.pixel_mm, self.settings.most * self.settings.size)
        return replace(region, size=max(self.settings.size, round(wanted / 32) * 32))


def _boxes(task: Task) -> list[tuple[int, int, int, int]]:
    return [box for mask in task.guides.values() if (box := box_of(mask)) is not None]


def _shows(task: Task) -> bool:
    return bool(task.gap.slices) and any(mask.any() for mask in task.guides.values())


def _beyond(
    found: Sequence[Followed], region: Region, shape: tuple[int, ...]
) -> tuple[int, int, int, int] | None:
    """Return a box that holds what reached the region's edge inside of the slice, if it did."""
    if not found:
        return None
    seen = np.max([one.plane for one in found], axis=0) >= MIDDLE
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


@torch.inference_mode()
def _walk(walks: Sequence[Walk], means: Means) -> None:
    """Walk all ways in step, one slice each at a time."""
    settings, runtime = means.settings, means.runtime
    while active := [walk for walk in walks if walk.at < len(walk.slices)]:
        with runtime.autocast():
            seen = [walk.stretch.look(walk.slices[walk.at], walk.slices) for walk in active]
            features = Features(*(torch.cat(parts) for parts in zip(*seen, strict=True)))
            keys = torch.cat([walk.stretch.keys for walk in active])
            values = torch.cat([walk.stretch.values for walk in active])
            read = dense_read(keys, values, features.key, top_k=settings.top_k)
            prior = 2 * torch.stack([walk.neighbour for walk in active]) - 1
            logits = means.network.decode(read, features, prior=prior)
        planes = soft_aggregate(torch.sigmoid(logits.float()))[:, 1:]
        for walk, plane in zip(active, planes, strict=True):
            walk.note(plane, settings, means.spacing_mm[0])
