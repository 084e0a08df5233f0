"""Teach a volumetric network on cubes, half of them centred on an organ: the field's yardstick.

Reference: Gao et al. (FLARE22), sections 2 and 3.2; Isensee et al. 2021 (nnU-Net).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from slicekit.data.patches import PatchDraw, draw_patches
from slicekit.data.slices import CachedScan
from slicekit.recipes import Recipe, TrainingRecipe
from slicekit.runtime import Runtime
from slicekit.training.evaluation import Overlap, mean_dice
from slicekit.training.loop import StepResult
from slicekit.training.partial import supervised_loss

_PATCHES_A_SCAN = 4


@dataclass(frozen=True, eq=False)
class PatchBatch:
    """Cubes of labelled scans."""

    patches: Tensor  # (n, 1, z, y, x) in [0, 1]
    labels: Tensor  # (n, z, y, x) organ ids, IGNORE_ID where unknown
    known: Tensor  # (n, classes) bool


def volumetric_step(
    network: nn.Module,
    batch: PatchBatch,
    *,
    progress: float,
    average: nn.Module,
    training: TrainingRecipe,
) -> StepResult:
    """Compare what the network says with the labels: cross entropy and Dice."""
    loss = supervised_loss(network(batch.patches), batch.labels, batch.known, recipe=training)
    return StepResult(loss, {"supervised": loss.detach()})


class PatchBatches:
    """Makes the batch of any step.

    Args:
        labelled: Scans with labels, perhaps of some organs or slices only.
        phantoms: Made scans; a share of the cubes is drawn from them.
        recipe: A volumetric model.
    """

    def __init__(
        self, labelled: Sequence[CachedScan], *, phantoms: Sequence[CachedScan], recipe: Recipe
    ) -> None:
        self.labelled, self.phantoms, self.recipe = labelled, phantoms, recipe

    def __call__(self, step: int) -> PatchBatch:
        """Draw the batch of one step; the same step gives the same batch."""
        training, labels = self.recipe.training, self.recipe.labels
        rng = np.random.default_rng((training.seed, step))
        images, masks, known = [], [], []
        made = self.phantoms and rng.random() < training.phantom_share
        for image, mask, scan in draw_patches(
            self.phantoms if made else self.labelled, training.batch, training.patch,
            spacing_mm=self.recipe.input.spacing_mm, rng=rng,
        ):  # fmt: skip
            looked_for = scan.known_classes(len(labels) + 1)
            image, mask, looked_for = PatchDraw.draw(rng).apply(
                image, mask, looked_for, labels=labels
            )
            images.append(image[None])
            masks.append(mask.astype(np.int64))
            known.append(looked_for)
        return PatchBatch(
            torch.from_numpy(np.stack(images)),
            torch.from_numpy(np.stack(masks)),
            torch.from_numpy(np.stack(known)),
        )


def score_volumetric(
    network: nn.Module, scans: Sequence[CachedScan], *, recipe: Recipe, runtime: Runtime
) -> dict[str, float]:
    """Score a few cubes of every held-out scan, always the same ones."""
    overlaps = []
    for number, scan in enumerate(scans):
        overlap = Overlap()
        cubes = draw_patches(
            [scan], _PATCHES_A_SCAN, recipe.training.patch,
            spacing_mm=recipe.input.spacing_mm, rng=np.random.default_rng(number),
        )  # fmt: skip
        for image, mask, _ in cubes:
            logits = network(runtime.put(torch.from_numpy(image[None, None])))
            overlap.add(mask, logits[0].argmax(dim=0).byte().cpu().numpy())
        overlaps.append(overlap)
    return mean_dice(overlaps, recipe)
