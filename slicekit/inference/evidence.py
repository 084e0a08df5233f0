"""What networks say of the slices they looked at, as a few numbers a slice and organ."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from slicekit.checks import expect_shape
from slicekit.errors import ShapeError
from slicekit.labels import LabelSet

POSSIBLE = 0.25
"""Where the mean probability is above this, the organ may be."""


class Sample(NamedTuple):
    """What the networks say of one slice; class 0 is the background, class i the i-th organ."""

    z: int
    probabilities: NDArray[np.float32]
    """``(classes, y, x)`` mean of all networks."""
    choices: NDArray[Any]
    """``(members, y, x)`` class that each network alone would choose."""


@dataclass(frozen=True, eq=False)
class SliceEvidence:
    """How sure the networks are of every organ in every sampled slice.

    Tables are ``(n, k)``: sampled slices in rising order, organs in the order of their ids.

    Raises:
        ShapeError: A table has other axes, or slices do not rise.
    """

    zs: NDArray[np.int64]
    """``(n,)`` numbers of the sampled slices."""
    z_mm: NDArray[np.float64]
    """``(n,)`` where they lie."""
    labels: LabelSet
    """The organs."""
    area_px: NDArray[np.int64]
    """Pixels predicted as the organ by the mean of all networks."""
    area_mm2: NDArray[np.float64]
    """The same in square millimetres."""
    confidence: NDArray[np.float64]
    """Mean probability inside the predicted region; 0 where there is none."""
    agreement: NDArray[np.float64]
    """Mean Dice of what every two networks alone would choose; 1 where neither sees it."""
    largest_share: NDArray[np.float64]
    """Share of the predicted region's largest component; 0 where there is none."""
    possible_px: NDArray[np.int64]
    """Pixels where any network sees the organ or its mean probability is above 0.25."""

    def __post_init__(self) -> None:
        expect_shape("zs", self.zs, "n")
        n, k = len(self.zs), len(self.labels)
        expect_shape("z_mm", self.z_mm, str(n))
        for name in ("area_px", "area_mm2", "confidence", "agreement", "largest_share"):
            expect_shape(name, getattr(self, name), f"{n} {k}")
        expect_shape("possible_px", self.possible_px, f"{n} {k}")
        if (np.diff(self.zs) <= 0).any():
            raise ShapeError(f"sampled slices must rise, got {self.zs.tolist()}")

    @cached_property
    def ids(self) -> tuple[int, ...]:
        """Organ ids, one a column."""
        return tuple(self.labels.ids.values())

    @cached_property
    def certainty(self) -> NDArray[np.float64]:
        """Confidence x agreement x share of the largest component, in ``[0, 1]``."""
        return self.confidence * self.agreement * self.largest_share

    @cached_property
    def score(self) -> NDArray[np.float64]:
        """Area of the largest component in mm2 x confidence x agreement."""
        return self.area_mm2 * self.certainty

    @cached_property
    def surely_empty(self) -> NDArray[np.bool_]:
        """Whether a slice holds nothing of an organ, up to 2 % of its largest cross section."""
        if not len(self.zs):
            return np.zeros(self.area_px.shape, dtype=np.bool_)
        empty: NDArray[np.bool_] = self.possible_px <= 0.02 * self.area_px.max(axis=0)
        return empty


def summarise(
    samples: Iterable[Sample], *, labels: LabelSet, spacing_mm: tuple[float, float, float]
) -> SliceEvidence:
    """Reduce what networks say to a few numbers, one slice at a time.

    Args:
        samples: Slices in rising order; a generator, so that only one lies in memory.
        labels: The organs, in the order of their ids the classes 1, 2, ...
        spacing_mm: Distance between neighbouring slices of the scan and the pixel size
            ``(z, y, x)`` of the samples.

    Raises:
        ShapeError: A sample has other classes or sizes, or slices do not rise.
    """
    pixel_mm2 = spacing_mm[1] * spacing_mm[2]
    zs: list[int] = []
    rows: list[tuple[NDArray[Any], ...]] = []
    for sample in samples:
        zs.append(sample.z)
        rows.append(_look_at(sample, classes=len(labels) + 1))
    empty = [np.zeros((0, len(labels)))] * 5
    columns = [np.stack(column) for column in zip(*rows, strict=True)] if rows else empty
    area, confidence, agreement, share, possible = columns
    return SliceEvidence(
        zs=np.array(zs, dtype=np.int64),
        z_mm=np.array(zs, dtype=np.float64) * spacing_mm[0],
        labels=labels,
        area_px=area.astype(np.int64),
        area_mm2=area * pixel_mm2,
        confidence=confidence,
        agreement=agreement,
        largest_share=share,
        possible_px=possible.astype(np.int64),
    )


def _look_at(sample: Sample, *, classes: int) -> tuple[NDArray[Any], ...]:
    """Return area, confidence, agreement, largest share and possible pixels of every organ."""
    sizes = expect_shape("probabilities", sample.probabilities, f"{classes} y x")
    axes = f"members {sizes['y']} {sizes['x']}"
    if not expect_shape("choices", sample.choices, axes)["members"]:
        raise ShapeError(f"choices must be of one network or more, got {sample.choices.shape}")
    best = sample.probabilities.argmax(axis=0)
    peak = sample.probabilities.max(axis=0)
    choices = sample.choices.astype(np.intp)

    def count(chosen: NDArray[Any], weights: NDArray[Any] | None = None) -> NDArray[Any]:
        weights = None if weights is None else weights.ravel()
        return np.bincount(chosen.ravel(), weights=weights, minlength=classes)[1:classes]

    area = count(best)
    confidence = count(best, peak) / np.maximum(area, 1)
    dices = []
    for one, other in combinations(choices, 2):
        total = count(one) + count(other)
        dices.append(np.where(total, 2 * count(one[one == other]) / np.maximum(total, 1), 1.0))
    agreement = np.mean(dices, axis=0) if dices else np.ones(classes - 1)
    share = np.zeros(classes - 1)
    possible = np.zeros(classes - 1, dtype=np.int64)
    boxes = ndimage.find_objects(best, max_label=classes - 1)
    for i, box in enumerate(boxes):
        if box is not None:
            pieces, _ = ndimage.label(best[box] == i + 1)
            share[i] = np.bincount(pieces.ravel())[1:].max() / area[i]
        seen = (choices == i + 1).any(axis=0) | (sample.probabilities[i + 1] > POSSIBLE)
        possible[i] = np.count_nonzero(seen)
    return area, confidence, agreement, share, possible
