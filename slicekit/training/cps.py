"""Cross pseudo supervision: two networks teach one another on slices nobody labelled.

Reference: Chen et al. 2021; Pham et al. (FLARE22). The softmax is taken once, pseudo labels
are hard and carry no gradient, and the ramp is a share of the run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from slicekit.data.augment import STRONG, WEAK, Draw
from slicekit.data.slices import CachedScan, crop_or_pad, draw_slice, unit_slices
from slicekit.labels import IGNORE_ID
from slicekit.losses import ce_and_dice, pseudo_labels
from slicekit.networks import Pair
from slicekit.recipes import CpsRecipe, Recipe
from slicekit.training.loop import StepResult
from slicekit.windows import three_channels


@dataclass(frozen=True, eq=False)
class TwoStream:
    """Labelled slices first, unlabelled ones after them."""

    slices: Tensor  # (n + m, 3, y, x) windows in [0, 1]
    position: Tensor  # (n + m,) share of the way from the lowest slice to the highest
    labels: Tensor  # (n, y, x) organ ids, IGNORE_ID where unknown
    outside: Tensor  # (m, y, x) bool: pixels of the unlabelled slices that lie outside of them


def ramp(progress: float, cps: CpsRecipe) -> float:
    """Return the weight of the pseudo loss when ``progress`` of all steps is done.

    It climbs as ``weight * exp(-5 (1 - t / T)^2)`` with T a share of the run.
    """
    passed = min(1.0, progress / cps.ramp_share) if cps.ramp_share > 0 else 1.0
    return cps.weight * math.exp(-5 * (1 - passed) ** 2)


def cps_step(network: Pair, batch: TwoStream, *, progress: float, cps: CpsRecipe) -> StepResult:
    """Add the supervised losses of both networks and what each makes of the other's labels."""
    count = len(batch.labels)
    a, b = network(batch.slices, batch.position)
    supervised = ce_and_dice(a[:count], batch.labels) + ce_and_dice(b[:count], batch.labels)
    weight = ramp(progress, cps)
    parts = {"supervised": supervised.detach()}
    if weight == 0 or count == len(batch.slices):
        return StepResult(supervised, parts)
    free_a, free_b = a[count:], b[count:]
    of_a, of_b = (
        pseudo_labels(free, confidence=cps.confidence).masked_fill(batch.outside, IGNORE_ID)
        for free in (free_a, free_b)
    )
    pseudo = ce_and_dice(free_a, of_b) + ce_and_dice(free_b, of_a)
    parts |= {"pseudo": pseudo.detach(), "weight": torch.tensor(weight)}
    return StepResult(supervised + weight * pseudo, parts)


class TwoStreamBatches:
    """Makes the batch of any step.

    Args:
        labelled: Scans with labels.
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

    def __call__(self, step: int) -> TwoStream:
        """Draw the batch of one step; the same step gives the same batch."""
        training = self.recipe.training
        rng = np.random.default_rng((training.seed, step))
        images, labels, positions = [], [], []
        outside = [np.zeros((0, *training.crop), dtype=np.bool_)]
        for _ in range(training.batch):
            made = self.phantoms and rng.random() < training.phantom_share
            image, mask, position = self._draw(self.phantoms if made else self.labelled, rng)
            images.append(image)
            labels.append(mask)
            positions.append(position)
        for _ in range(training.batch_unlabelled if self.unlabelled else 0):
            image, mask, position = self._draw(self.unlabelled, rng, strength_is_weak=True)
            images.append(image)
            outside.append(mask == IGNORE_ID)
            positions.append(position)
        low, high = self.recipe.input.range_hu
        channels = three_channels(
            np.concatenate(images) * (high - low) + low, self.recipe.input.three_windows
        )
        return TwoStream(
            torch.from_numpy(channels).contiguous(memory_format=torch.channels_last),
            torch.tensor(positions, dtype=torch.float32),
            torch.from_numpy(np.concatenate(labels).astype(np.int64)),
            torch.from_numpy(np.concatenate(outside)),
        )

    def _draw(
        self,
        scans: Sequence[CachedScan],
        rng: np.random.Generator,
        *,
        strength_is_weak: bool = False,
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """Draw one slice: ``(1, y, x)`` image in [0, 1], ``(1, y, x)`` labels, position."""
        scan, z = draw_slice(scans, rng, balanced_share=0.0 if strength_is_weak else 0.5)
        image = unit_slices(scan.slices[z : z + 1])
        mask = (
            np.zeros(image.shape, np.uint8)
            if scan.labels is None
            else np.asarray(scan.labels[z : z + 1])
        )
        size = self.recipe.training.crop
        image, mask = crop_or_pad([image, mask], size, fills=[0.0, IGNORE_ID], rng=rng)
        drawn = Draw.draw(rng, WEAK if strength_is_weak else STRONG)
        image, moved = drawn.apply(image, mask)
        return image, mask if moved is None else moved, z / max(1, len(scan.slices) - 1)
