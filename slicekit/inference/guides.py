"""Guides: slices whose masks are known, wholly or in part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from slicekit.checks import expect_shape
from slicekit.errors import LabelError
from slicekit.inference.memory import MemoryBank
from slicekit.inference.sight import Eyes

KEPT_SOURCES = 6
"""Guides whose encoded masks are kept while others are completed from them."""


@dataclass(frozen=True, eq=False)
class Guide:
    """A slice on which somebody says where some objects are.

    What a guide does not speak of is unknown there, which is not the same as absent.

    Raises:
        ShapeError: ``labels`` has not two axes.
        LabelError: ``labels`` holds an object that ``known`` does not name, or an id below 1 or a
            fraction is named.
    """

    z: int
    """Number of the slice."""
    labels: NDArray[Any]
    """``(y, x)`` object ids on the network's grid, 0 where none of the known objects is."""
    known: frozenset[int]
    """Objects that the guide speaks of: those in ``labels``, and those known to be absent."""
    output_labels: NDArray[Any] | None = None
    """The same on the grid of the answer, which they enter unchanged; ``labels`` where ``None``."""
    shown: frozenset[int] = field(init=False)
    """Objects that ``labels`` holds."""

    def __post_init__(self) -> None:
        for name, labels in (("labels", self.labels), ("output_labels", self.output)):
            expect_shape(f"{name} of the guide {self.z}", labels, "y x")
            found = {float(number) for number in np.unique(labels)} - {0.0}
            if found - self.known or any(number < 1 for number in self.known):
                raise LabelError(
                    f"{name} of the guide {self.z} hold {sorted(found)} but it speaks of "
                    f"{sorted(self.known)}; name every object it shows (ids from 1) in known and "
                    "set the pixels of the others to 0"
                )
            if name == "labels":
                object.__setattr__(self, "shown", frozenset(map(int, found)))

    @property
    def output(self) -> NDArray[Any]:
        """What enters the answer, ``(y, x)`` on its grid."""
        return self.labels if self.output_labels is None else self.output_labels


def carried(
    labels: NDArray[Any], organs: frozenset[int], *, least_share: float = 0.1
) -> NDArray[Any]:
    """Keep of a predicted slice what a guide is to carry.

    Args:
        labels: ``(y, x)`` ids.
        organs: Ids to keep; all others become 0.
        least_share: Pieces smaller than this share of their organ's largest are specks: 0 too.

    Returns:
        New labels of the same shape and type.

    Raises:
        ShapeError: ``labels`` has not two axes.

    Example:
        >>> carried(np.array([[1, 1, 0, 2]]), frozenset({1})).tolist()
        [[1, 1, 0, 0]]
    """
    expect_shape("labels", labels, "y x")
    kept = np.zeros_like(labels)
    for number in sorted(organs):
        pieces, _ = ndimage.label(labels == number)
        sizes = np.bincount(pieces.ravel())[1:]
        if len(sizes):
            kept[np.r_[False, sizes >= least_share * sizes.max()][pieces]] = number
    return kept


@dataclass(frozen=True, eq=False)
class FullGuide:
    """A guide, and what was predicted there of the objects it does not speak of."""

    guide: Guide
    predicted: Mapping[int, Tensor]
    """Object to ``(y, x)`` float16 probabilities; only objects that were found."""

    @cached_property
    def present(self) -> frozenset[int]:
        """Objects that are in this slice."""
        return self.guide.shown | frozenset(self.predicted)

    def masks(self, objects: Sequence[int], *, device: torch.device) -> Tensor:
        """Return ``(k, y, x)`` float32, 1 where a known object is, probabilities of the others."""
        labels = torch.from_numpy(self.guide.labels.astype(np.int64)).to(device)
        return torch.stack(
            [
                self.predicted[number].float().to(device)
                if number in self.predicted
                else (labels == number).float()
                for number in objects
            ]
        )


class _Source(NamedTuple):
    """A guide as others are completed from it."""

    objects: tuple[int, ...]
    key: Tensor  # (1, ck, h, w)
    value: Tensor  # (1, k, cv, h, w), k as in objects


def complete(
    guides: Sequence[Guide], eyes: Eyes, *, top_k: int, least_px: int
) -> tuple[FullGuide, ...]:
    """Predict on every guide the objects that it does not speak of.

    An object is read from the nearest guide on either side that speaks of it, or from the two
    nearest where all are on one side. It is absent, at no cost, where both sides say so, and
    beyond a guide behind which nothing speaks of it any more and which does not show it.

    Args:
        guides: Guides in rising order.
        eyes: The propagator.
        top_k: Memory places that a query weighs.
        least_px: Pixels that a predicted object has at least.

    Returns:
        One full guide a guide. They hold ``2 y x`` bytes for every object predicted on a guide.
    """
    found: list[dict[int, Tensor]] = [{} for _ in guides]
    tried: list[set[int]] = [set(guide.known) for guide in guides]
    everything = frozenset().union(*(guide.known for guide in guides))
    doubtful = everything - frozenset.intersection(*(guide.known for guide in guides))

    @lru_cache(maxsize=KEPT_SOURCES)
    def source(i: int) -> _Source:
        return _encode(guides[i], doubtful, eyes)

    for outwards in (range(len(guides)), reversed(range(len(guides)))):
        for here in outwards:
            groups: dict[tuple[int, ...], list[int]] = {}
            for number in sorted(everything - tried[here]):
                if nearest := _sources(number, here, guides, found):
                    groups.setdefault(nearest, []).append(number)
            for nearest, objects in groups.items():
                tried[here].update(objects)
                sources = [source(i) for i in nearest]
                drawn = _predict(guides[here], sources, objects, eyes, top_k=top_k)
                kept = {n: p for n, p in drawn.items() if int((p > 0.5).sum()) >= least_px}
                found[here].update(kept)
    return tuple(FullGuide(*both) for both in zip(guides, found, strict=True))


def _sources(
    number: int, here: int, guides: Sequence[Guide], found: Sequence[Mapping[int, Tensor]]
) -> tuple[int, ...]:
    """Return the guides from which an object is predicted, or none where it must be absent."""
    speakers = [i for i, guide in enumerate(guides) if number in guide.known]
    left = [i for i in speakers if i < here]
    right = [i for i in speakers if i > here]
    if left and right:
        nearest = (left[-1], right[0])
        return nearest if any(number in guides[i].shown for i in nearest) else ()
    inner = here - 1 if left else here + 1  # this side of the nearest guide that speaks
    seen = number in guides[inner].shown or number in found[inner]
    return tuple((left or right[::-1])[-2:]) if seen else ()


def _encode(guide: Guide, doubtful: frozenset[int], eyes: Eyes) -> _Source:
    """Encode a guide with all that it shows, and its word on objects that others leave open."""
    objects = tuple(sorted(guide.shown | (guide.known & doubtful)))
    sight = eyes.look(guide.z)
    masks = FullGuide(guide, {}).masks(objects, device=eyes.runtime.device)
    return _Source(objects, sight.features.key, eyes.memorise(sight, masks))


def _predict(
    guide: Guide, sources: Sequence[_Source], objects: Sequence[int], eyes: Eyes, *, top_k: int
) -> dict[int, Tensor]:
    """Read objects from other guides; ``(y, x)`` float16 each, 0 on the guide's own objects."""
    values = [
        source.value[:, [source.objects.index(number) for number in objects]] for source in sources
    ]
    bank = MemoryBank.like(sources[0].key, values[0], slots=len(sources), top_k=top_k)
    for source, value in zip(sources, values, strict=True):
        bank.remember_guide(source.key, value)
    sight = eyes.look(guide.z)
    drawn = eyes.draw(sight, bank.read(sight.features.key))[1:]
    free = torch.from_numpy(guide.labels == 0).to(drawn.device)
    return {number: (plane * free).half() for number, plane in zip(objects, drawn, strict=True)}
