"""Batches of labelled and unlabelled slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slicekit.data.augment import STRONG, TINTED, WEAK, Draw
from slicekit.data.slices import CachedScan, crop_or_pad, draw_slice, unit_slices
from slicekit.labels import IGNORE_ID
from slicekit.recipes import Recipe
from slicekit.windows import three_channels


@dataclass(frozen=True, eq=False)
class TwoStream:
    """Labelled slices first, unlabelled ones after them."""

    slices: Tensor  # (n + m, 3, y, x) windows in [0, 1]; the unlabelled as their teachers see them
    position: Tensor  # (n + m,) share of the way from the lowest slice to the highest
    labels: Tensor  # (n, y, x) organ ids, IGNORE_ID where unknown
    known: Tensor  # (n, classes) bool: classes that were looked for on the slice
    outside: Tensor  # (m, y, x) bool: pixels of the unlabelled slices that lie outside of them
    strong: Tensor  # (m or 0, 3, y, x) the unlabelled as pupils see them, where that differs

    @property
    def labelled(self) -> int:
        """Slices with labels."""
        return len(self.labels)

    @property
    def free(self) -> tuple[Tensor, Tensor]:
        """Return the unlabelled slices as their teachers see them, and their positions."""
        return self.slices[self.labelled :], self.position[self.labelled :]

    @property
    def for_pupils(self) -> tuple[Tensor, Tensor]:
        """Return all slices as pupils see them, and their positions."""
        if not len(self.strong):
            return self.slices, self.position
        return torch.cat([self.slices[: self.labelled], self.strong]), self.position


class _Drawn(NamedTuple):
    image: NDArray[np.float32]  # (1, y, x) in [0, 1]
    mask: NDArray[np.uint8]  # (1, y, x)
    position: float
    known: NDArray[np.bool_]  # (classes,)


class TwoStreamBatches:
    """Makes the batch of any step.

    Args:
        labelled: Scans with labels, perhaps of some organs or slices only.
        phantoms: Made scans; a share of the labelled slices is drawn from them.
        unlabelled: Scans whose labels are not looked at; may be empty.
        recipe: The model.
    """

    def __init__(
        self,
        labelled: Sequence[CachedScan],
        *,
        phantoms: Sequence[CachedScan],
        unlabelled: Sequence[CachedScan],
        recipe: Recipe,
    ) -> None:
        self.labelled, self.phantoms, self.unlabelled = labelled, phantoms, unlabelled
        self.recipe = recipe
        turn = recipe.training.rotation_deg
        self.strong = replace(STRONG, angle_deg=turn)
        self.weak = replace(WEAK, angle_deg=turn * WEAK.angle_deg / STRONG.angle_deg)

    def __call__(self, step: int) -> TwoStream:
        """Draw the batch of one step; the same step gives the same batch."""
        training = self.recipe.training
        rng = np.random.default_rng((training.seed, step))
        taught = []
        for _ in range(training.batch):
            made = self.phantoms and rng.random() < training.phantom_share
            taught.append(self._draw(self.phantoms if made else self.labelled, rng))
        count = training.batch_unlabelled if self.unlabelled else 0
        free = [self._draw(self.unlabelled, rng, weakly=True) for _ in range(count)]
        strong = []
        if training.views == "weak-strong":
            strong = [Draw.draw(rng, TINTED).apply(one.image)[0] for one in free]
        y, x = training.crop
        none = np.zeros((0, y, x), dtype=np.bool_)
        drawn = [*taught, *free]
        return TwoStream(
            self._windows([one.image for one in drawn]),
            torch.tensor([one.position for one in drawn], dtype=torch.float32),
            torch.from_numpy(np.concatenate([one.mask for one in taught]).astype(np.int64)),
            torch.from_numpy(np.stack([one.known for one in taught])),
            torch.from_numpy(np.concatenate([none, *(one.mask == IGNORE_ID for one in free)])),
            self._windows(strong) if strong else torch.zeros(0, 3, y, x),
        )

    def _windows(self, images: Sequence[NDArray[np.float32]]) -> Tensor:
        low, high = self.recipe.input.range_hu
        channels = three_channels(
            np.concatenate(images) * (high - low) + low, self.recipe.input.three_windows
        )
        return torch.from_numpy(channels).contiguous(memory_format=torch.channels_last)

    def _draw(
        self, scans: Sequence[CachedScan], rng: np.random.Generator, *, weakly: bool = False
    ) -> _Drawn:
        """Draw one slice; one whose labels do not count is changed weakly."""
        scan, z = draw_slice(scans, rng, balanced_share=0.0 if weakly else 0.5)
        image = unit_slices(scan.slices[z : z + 1])
        mask = (
            np.zeros(image.shape, np.uint8)
            if weakly or scan.labels is None
            else np.asarray(scan.labels[z : z + 1])
        )
        size = self.recipe.training.crop
        image, mask = crop_or_pad([image, mask], size, fills=[0.0, IGNORE_ID], rng=rng)
        image, moved = Draw.draw(rng, self.weak if weakly else self.strong).apply(image, mask)
        known = scan.known_classes(len(self.recipe.labels) + 1)
        position = z / max(1, len(scan.slices) - 1)
        return _Drawn(image, mask if moved is None else moved, position, known)
