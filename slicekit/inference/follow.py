"""Follow single objects through the gaps between their guides, each in a region of interest.

Every gap is walked from each guide that shows the object. The network reads the memory of the
gap's guides and is told where the object was in the slice before; what both ways say of a slice
is weighed by distance and certainty. Walks of many objects go in step, as one batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from slicekit.data.region import Region, box_of, union
from slicekit.errors import BudgetError
from slicekit.inference.shelf import Shelf
from slicekit.inference.stretch import (
    LEAST_KEPT,
    MIDDLE,
    Followed,
    Means,
    Stretch,
    Task,
)
from slicekit.networks.stcn import Features, dense_read, soft_aggregate

_BYTES_SAID = 2 * 2  # of a pixel: both ways, float16


@dataclass(frozen=True)
class Follower(Means):
    """Follows objects through one scan."""

    def follow(self, tasks: Sequence[Task]) -> Iterator[tuple[int, list[Followed]]]:
        """Follow every object through its gap.

        Memory: ``budget_bytes``, and features that do not fit are computed again on the way back.
        Neither the size of the scan nor the number of objects counts.

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
            alike = [entry for entry in waiting if entry[1].size == size]
            answers = self._together([tasks[n] for n, *_ in alike], [r for _, r, _ in alike])
            group = waiting[: len(answers)]
            del waiting[: len(answers)]
            for (n, region, attempt), found in zip(group, answers, strict=True):
                box = _beyond(found, region, next(iter(tasks[n].guides.values())).shape)
                if box is not None and attempt < self.settings.attempts:
                    held = union([box, *_boxes(tasks[n])])
                    waiting.append((n, self._around(held, self.settings.grow), attempt + 1))
                else:
                    yield n, found

    def _together(self, tasks: Sequence[Task], regions: Sequence[Region]) -> list[list[Followed]]:
        """Walk the first of these gaps, as many as the budget allows; regions of one size."""
        stretches = self._open(tasks, regions)
        _walk(stretches, self)
        return [stretch.result() for stretch in stretches]

    def _open(self, tasks: Sequence[Task], regions: Sequence[Region]) -> list[Stretch]:
        """Get the first of these gaps ready, as many as the budget allows.

        Raises:
            BudgetError: The budget is too small for one guide.
        """
        size = regions[0].size
        example = self._example(size)
        slice_bytes = sum(part.nbytes for part in example)
        room = self.settings.budget_bytes // 2 // slice_bytes
        if room < LEAST_KEPT:
            raise BudgetError(
                f"the budget of {self.settings.budget_bytes / 2**20:.2g} MiB is too small for one "
                f"guide, which takes {2 * LEAST_KEPT * slice_bytes / 2**20:.2g} MiB; raise "
                "budget_bytes"
            )
        lengths = [len(task.gap.slices) for task in tasks]
        said = np.cumsum(lengths) * (_BYTES_SAID * size**2)
        fit = int(np.searchsorted(said, self.settings.budget_bytes // 2, side="right"))
        count = max(1, min(len(tasks), self.settings.walks_at_once // 2, room // LEAST_KEPT, fit))
        shares = _shared(lengths[:count], room)
        shelf = Shelf(example, sum(shares))
        ends = np.cumsum(shares)
        return [
            Stretch(task, region, self, shelf=shelf, rows=range(end - share, end))
            for task, region, share, end in zip(tasks, regions, shares, ends, strict=False)
        ]

    def _example(self, size: int) -> Features:
        """Return the features of an empty slice."""
        blank = torch.zeros(1, 3, size, size, device=self.runtime.device)
        with torch.inference_mode(), self.runtime.autocast():
            return self.network.encode_key(blank)

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


def _shared(lengths: Sequence[int], room: int) -> list[int]:
    """Return how many slices each gap may keep: all of a short one, even shares of long ones."""
    shares = [0] * len(lengths)
    for rank, n in enumerate(np.argsort(lengths)):
        shares[n] = min(lengths[n], room // (len(lengths) - rank))
        room -= shares[n]
    return shares


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
def _walk(stretches: Sequence[Stretch], means: Means) -> None:
    """Walk all ways in step, one slice each at a time."""
    settings, runtime = means.settings, means.runtime
    shelf = stretches[0].shelf
    while ways := [(stretch, walk) for stretch in stretches for walk in stretch.active()]:
        with runtime.autocast():
            features = shelf.get([row for stretch in stretches for row in stretch.look()])
            keys = torch.cat([stretch.keys for stretch, _ in ways])
            values = torch.cat([stretch.values for stretch, _ in ways])
            read = dense_read(keys, values, features.key, top_k=settings.top_k)
            prior = 2 * torch.stack([walk.neighbour for _, walk in ways]) - 1
            logits = means.network.decode(read, features, prior=prior)
        planes = soft_aggregate(torch.sigmoid(logits.float()))[:, 1:]
        for (_, walk), plane in zip(ways, planes, strict=True):
            walk.note(plane, settings, means.spacing_mm[0])
