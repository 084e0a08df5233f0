"""Carry the masks of a few slices through a whole scan, both ways from every guide.

The way of a gap between two guides: both are remembered; organs are followed from the left guide
to the right one, then back from the right guide, and where both ways saw an organ they are
weighed by distance and certainty. Head and tail are walked once, outwards.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slicekit.errors import LabelError, ShapeError
from slicekit.inference.budget import Plan, plan
from slicekit.inference.fusion import Seen, join, shrink
from slicekit.inference.guides import FullGuide, Guide, complete
from slicekit.inference.memory import MemoryBank
from slicekit.inference.opinion import Opinion, weigh
from slicekit.inference.resample import Decide, most_likely
from slicekit.inference.settings import PropagateSettings
from slicekit.inference.sight import Eyes, FrameSource, Propagator
from slicekit.inference.walk import gaps
from slicekit.runtime import Runtime

log = logging.getLogger(__name__)


class SliceLabels(NamedTuple):
    """The answer for one slice."""

    z: int
    labels: NDArray[Any]
    """``(y, x)`` object ids, uint8 or uint16; 0 is the background."""
    confidence: NDArray[np.float16]
    """``(y, x)`` probability of the chosen label; 1 where a guide said so."""


def propagate(
    frame: FrameSource,
    guides: Sequence[Guide],
    network: Propagator,
    *,
    length: int,
    slice_mm: float,
    runtime: Runtime,
    settings: PropagateSettings = PropagateSettings(),
    decide: Decide = most_likely,
    opinion: Opinion | None = None,
) -> Iterator[SliceLabels]:
    """Answer every slice of a scan from a few guides.

    Guides enter the answer unchanged for what they speak of; what they leave open is predicted on
    them first. An organ that neither end of a gap shows costs nothing there; one that a single
    end shows is followed from there; one that has vanished is followed no further.

    Memory: of one gap the probabilities of the organs of its left guide, organs x slices x y x x
    x 2 bytes, at a coarser grid where that exceeds a quarter of ``budget_bytes``; with the memory
    bank and the kept features never more than ``budget_bytes``. Besides that one slice's working
    set (features, ``objects_at_once`` decoded objects, about 20 bytes a pixel and organ), the
    guides' labels, and 2 bytes a pixel for every organ that a guide left open.

    Args:
        frame: Gives the windows of slice z, ``(3, y, x)`` float32 in ``[0, 1]``; called again
            for the way back where features were not kept.
        guides: One at least, on different slices, all of the slices' size.
        network: The propagator, in ``eval`` mode on the runtime's device.
        length: Slices of the scan.
        slice_mm: Distance between slices.
        runtime: Device and precision.
        settings: How to walk.
        decide: From probabilities to labels; ``resample.decide_on`` answers on the scan's pixels.
        opinion: What another network says of a slice; it is averaged with what was carried there,
            for the objects that are followed, and stands for those it is alone with. What guides
            say of their own slices it does not change.

    Returns:
        Every slice once, in the order of the walk: the head from the first guide outwards, then
        each guide and, from its far end, the gap behind it, at last the tail.

    Raises:
        LabelError: There is no guide.
        ShapeError: Guides differ in size, share a slice or lie outside of the scan.
        BudgetError: While walking: the budget is too small for the guides.
    """
    if not guides:
        raise LabelError("propagation needs a guide; without any the answer is an empty label map")
    if not (math.isfinite(slice_mm) and slice_mm > 0):
        raise ValueError(f"slice_mm must be above 0, got {slice_mm}")
    ordered = sorted(guides, key=lambda guide: guide.z)
    gaps(length, [guide.z for guide in ordered])
    sizes = {(guide.labels.shape, guide.output.shape) for guide in ordered}
    if len(sizes) > 1:
        raise ShapeError(f"guides must agree in size (labels, output_labels), got {sorted(sizes)}")
    y, x = ordered[0].labels.shape
    eyes = Eyes(frame, network, runtime, size=(y, x), objects_at_once=settings.objects_at_once)
    largest = max((number for guide in ordered for number in guide.known), default=0)
    walker = _Walker(
        eyes, slice_mm, settings, decide, output_size=ordered[0].output.shape,
        dtype=np.dtype(np.uint8 if largest < 256 else np.uint16), opinion=opinion,
    )  # fmt: skip
    return walker.walk(ordered, length)


class _Remembered(NamedTuple):
    """What the network makes of a guide."""

    z: int
    present: frozenset[int]
    objects: tuple[int, ...]
    key: Tensor  # (1, ck, h, w)
    value: Tensor  # (1, k, cv, h, w), k as in objects


@dataclass(frozen=True)
class _Walker:
    """One propagation; all that changes lies in the memory bank of a gap."""

    eyes: Eyes
    slice_mm: float
    settings: PropagateSettings
    decide: Decide
    output_size: tuple[int, ...]
    dtype: np.dtype[Any]
    opinion: Opinion | None

    @torch.inference_mode()
    def walk(self, guides: Sequence[Guide], length: int) -> Iterator[SliceLabels]:
        """Answer every slice once."""
        self.eyes.keep_bytes = self.settings.budget_bytes // 2
        full = complete(
            guides, self.eyes, top_k=self.settings.top_k, least_px=self.settings.least_px
        )
        head, *behind = gaps(length, [guide.z for guide in guides])
        here = self._remember(full[0], full[:2])
        yield from self._leave(here, head.slices[::-1])
        yield self._repeat(full[0])
        for i, gap in enumerate(behind[:-1], start=1):
            before, here = here, self._remember(full[i], full[i - 1 : i + 2])
            yield from self._between(before, here, gap.slices)
            yield self._repeat(full[i])
        yield from self._leave(here, behind[-1].slices)

    def _remember(self, guide: FullGuide, neighbours: Sequence[FullGuide]) -> _Remembered:
        """Encode a guide with every object that it or a neighbour shows."""
        objects = tuple(sorted({number for near in neighbours for number in near.present}))
        if not objects:
            return _Remembered(guide.guide.z, guide.present, (), torch.empty(0), torch.empty(0))
        sight = self.eyes.look(guide.guide.z)
        masks = guide.masks(objects, device=self.eyes.runtime.device)
        value = self.eyes.memorise(sight, masks)
        return _Remembered(guide.guide.z, guide.present, objects, sight.features.key, value)

    def _leave(self, start: _Remembered, slices: range) -> Iterator[SliceLabels]:
        """Answer the head or the tail, outwards from its only guide."""
        objects = tuple(sorted(start.present))
        if not objects or not slices:
            yield from map(self._weigh, map(_nothing, slices))
            return
        bank, _ = self._bank([start], objects, slices=len(slices), planes=0)
        yield from map(self._weigh, self._follow(bank, objects, start.present, start.z, slices))

    def _between(
        self, left: _Remembered, right: _Remembered, slices: range
    ) -> Iterator[SliceLabels]:
        """Answer a gap, from the right guide backwards."""
        first, second = left.present, right.present
        alive = tuple(sorted(first | second))
        if not alive or not slices:
            yield from map(self._weigh, map(_nothing, slices))
            return
        planes = len(first) * len(slices) if second else 0
        bank, spent = self._bank([left, right], alive, slices=len(slices), planes=planes)
        ahead = self._follow(bank, alive, first, left.z, slices, must_stay=second)
        if not second:
            yield from map(self._weigh, ahead)
            return
        held = {seen.z: shrink(seen, spent.shrink) for seen in ahead if seen.objects}
        bank.forget_working()
        for seen in self._follow(bank, alive, second, right.z, slices[::-1], must_stay=first):
            there = held.pop(seen.z, None)
            share = (right.z - seen.z) / (right.z - left.z)
            yield self._weigh(
                seen if there is None else join(there, seen, share=share, size=self.eyes.size)
            )

    def _bank(
        self, guides: Sequence[_Remembered], objects: tuple[int, ...], *, slices: int, planes: int
    ) -> tuple[MemoryBank, Plan]:
        """Plan the budget and return a bank that holds the guides."""
        values = [
            guide.value[:, [guide.objects.index(number) for number in objects]] for guide in guides
        ]
        key, value = guides[0].key, values[0]
        slot_bytes = MemoryBank.slot_bytes(
            objects=len(objects), cells=key[0, 0].numel(), key_dim=key.shape[1],
            value_dim=value.shape[2], value_dtype=value.dtype,
        )  # fmt: skip
        every = max(self.settings.memory_every_mm, self.slice_mm)
        spent = plan(
            self.settings.budget_bytes, slot_bytes=slot_bytes, guides=len(guides),
            working=int(slices * self.slice_mm / every), planes=planes, size=self.eyes.size,
        )  # fmt: skip
        log.debug("%d objects over %d slices: %s", len(objects), slices, spent)
        self.eyes.keep_bytes = spent.keep_bytes
        self.eyes.trim()
        bank = MemoryBank.like(key, value, slots=spent.slots, top_k=self.settings.top_k)
        for guide, value in zip(guides, values, strict=True):
            bank.remember_guide(guide.key, value)
        return bank, spent

    def _follow(
        self,
        bank: MemoryBank,
        objects: tuple[int, ...],  # of the bank, in its order
        followed: frozenset[int],
        start: int,
        slices: range,
        *,
        must_stay: frozenset[int] = frozenset(),
    ) -> Iterator[Seen]:
        """Walk one way, following what ``must_stay`` even while it is out of sight.

        Once there is nothing left to follow, the network is not run any more.
        """
        rows = [row for row, number in enumerate(objects) if number in followed]
        gone_mm = dict.fromkeys(rows, 0.0)
        remembered = start
        for z in slices:
            names = tuple(objects[row] for row in rows)
            if not rows:
                yield Seen(z, names, torch.empty(0))
                continue
            sight = self.eyes.look(z)
            planes = self.eyes.draw(sight, bank.read(sight.features.key, objects=rows))[1:]
            yield Seen(z, names, planes)
            areas = (planes > 0.5).sum(dim=(1, 2)).tolist()
            for row, area in zip(rows, areas, strict=True):
                gone = area < self.settings.least_px and objects[row] not in must_stay
                gone_mm[row] = gone_mm[row] + self.slice_mm if gone else 0.0
            walked_mm = abs(z - remembered) * self.slice_mm
            if walked_mm > self.settings.memory_every_mm - 1e-6 and z != slices[-1]:
                value = self.eyes.memorise(sight, planes)
                bank.remember(sight.features.key, value, objects=rows)
                remembered = z
            rows = [row for row in rows if gone_mm[row] <= max(self.settings.vanish_mm - 1e-6, 0)]

    def _weigh(self, seen: Seen) -> SliceLabels:
        """Average what was carried to a slice with the second opinion, then choose."""
        return self._answer(seen if self.opinion is None else weigh(seen, self.opinion))

    def _answer(self, seen: Seen) -> SliceLabels:
        """Choose the label of every pixel."""
        if not seen.objects:
            return self._blank(seen.z)
        background = (1 - seen.planes.sum(dim=0, keepdim=True)).clamp(min=0)
        decision = self.decide(torch.cat([background, seen.planes]))
        ids = np.array([0, *seen.objects], dtype=self.dtype)
        return SliceLabels(seen.z, ids[decision.chosen], decision.confidence)

    def _repeat(self, guide: FullGuide) -> SliceLabels:
        """Answer a guide's own slice: what it says, and what was predicted of the rest."""
        labels, z = guide.guide.output.astype(self.dtype), guide.guide.z
        objects = tuple(sorted(guide.predicted))
        seen = _nothing(z)
        if objects:
            seen = Seen(z, objects, torch.stack([guide.predicted[n].float() for n in objects]))
        alone = self.opinion is not None and bool(self.opinion.alone)
        answer = self._weigh(seen) if alone else self._answer(seen)
        said = labels != 0
        return SliceLabels(
            z,
            np.where(said, labels, answer.labels),
            np.where(said, np.float16(1), answer.confidence),
        )

    def _blank(self, z: int) -> SliceLabels:
        """Answer that nothing is there."""
        return SliceLabels(
            z, np.zeros(self.output_size, self.dtype), np.ones(self.output_size, np.float16)
        )


def _nothing(z: int) -> Seen:
    """Say that nothing was carried to a slice."""
    return Seen(z, (), torch.empty(0))
