"""The plain training loop beside ours: what a user of torch, smp and albumentations would write.

Cross pseudo supervision of two networks (Chen et al. 2021) in float32 and plain memory order, every
batch made in the same thread before its step. Of the library it takes the networks, which are the
same, and the slices it kept in memory.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import albumentations as A
import numpy as np
import torch
import torch.nn.functional as F
from segmentation_models_pytorch.losses import DiceLoss
from torch import Tensor, nn
from torch.utils.data import Dataset, default_collate

from slicekit.data.slices import STEPS, CachedScan
from slicekit.labels import IGNORE_ID
from slicekit.networks import Committee
from slicekit.recipes import Recipe, TrainingRecipe
from slicekit.training.two_stream import TwoStream


class Block(NamedTuple):
    """Steps that are taken in one go."""

    warm: int
    measured: int

    @property
    def steps(self) -> int:
        """How many there are."""
        return self.warm + self.measured


class PlainBatch(NamedTuple):
    """Labelled slices first, unlabelled ones after them."""

    slices: Tensor  # (n + m, 3, y, x) windows in [0, 1]
    position: Tensor  # (n + m,)
    labels: Tensor  # (n, y, x)
    outside: Tensor  # (m, y, x) bool


class PlainSlices(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """The cached slices of scans, changed as strongly as ours by albumentations, and windowed."""

    def __init__(self, scans: Sequence[CachedScan], recipe: Recipe, *, weakly: bool) -> None:
        self.places = [(scan, z) for scan in scans for z in range(len(scan.slices))]
        self.recipe, self.weakly = recipe, weakly
        self.change = changes(recipe.training.crop, weakly=weakly)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return windows (3, y, x), the position in the scan, and labels (y, x)."""
        scan, z = self.places[index]
        image = scan.slices[z].astype(np.float32) / STEPS
        mask = np.zeros(image.shape, np.uint8) if self.weakly else np.asarray(scan.labels)[z]
        changed = self.change(image=image, mask=mask)
        low, high = self.recipe.input.range_hu
        hu = np.clip(changed["image"], 0.0, 1.0) * (high - low) + low
        ranges = [window.range_hu for window in self.recipe.input.three_windows]
        windows = np.stack([np.clip((hu - a) / (b - a), 0.0, 1.0) for a, b in ranges])
        position = torch.tensor(z / max(1, len(scan.slices) - 1), dtype=torch.float32)
        labels = torch.from_numpy(changed["mask"].astype(np.int64))
        return torch.from_numpy(windows.astype(np.float32)), position, labels


def changes(crop: tuple[int, int], *, weakly: bool) -> A.Compose:
    """Return changes as strong as ``data.augment.STRONG`` and ``WEAK``."""
    y, x = crop
    pad = A.PadIfNeeded(y, x, position="random", fill=0.0, fill_mask=IGNORE_ID)
    usual = {"fill": 0.0, "fill_mask": IGNORE_ID, "p": 1.0}
    if weakly:
        moved = A.Affine(
            scale=(0.92, 1.08), rotate=(-5, 5), shear={"x": (-2, 2), "y": (0, 0)},
            translate_percent=(-0.03, 0.03), **usual,
        )  # fmt: skip
        tinted = A.RandomBrightnessContrast(0.02, 0.05, p=1.0)
        noise = A.GaussNoise(std_range=(0.0, 0.01), p=0.5)
        return A.Compose([pad, A.RandomCrop(y, x), moved, tinted, noise])
    moved = A.Affine(
        scale=(0.82, 1.22), rotate=(-15, 15), shear={"x": (-5, 5), "y": (0, 0)},
        translate_percent=(-0.06, 0.06), **usual,
    )  # fmt: skip
    bent = A.ElasticTransform(alpha=300.0, sigma=12.0, approximate=False, **(usual | {"p": 0.3}))
    blurred = A.GaussianBlur(sigma_limit=(0.5, 1.0), blur_limit=0, p=0.15)
    tinted = A.RandomBrightnessContrast(0.06, 0.15, p=1.0)
    gamma = A.RandomGamma(gamma_limit=(86, 116), p=1.0)
    noise = A.GaussNoise(std_range=(0.0, 0.03), p=0.5)
    return A.Compose([pad, A.RandomCrop(y, x), moved, bent, blurred, tinted, gamma, noise])


class PlainBatches:
    """Makes batches in the thread that asks for them."""

    def __init__(
        self, labelled: Sequence[CachedScan], free: Sequence[CachedScan], recipe: Recipe
    ) -> None:
        self.taught = PlainSlices(labelled, recipe, weakly=False)
        self.free = PlainSlices(free, recipe, weakly=True)
        self.counts = recipe.training.batch, recipe.training.batch_unlabelled
        self.rng = np.random.default_rng(0)

    def __call__(self, _step: int) -> PlainBatch:
        """Draw the next batch."""
        drawn = [
            [part[int(n)] for n in self.rng.integers(len(part), size=count)]
            for part, count in zip((self.taught, self.free), self.counts, strict=True)
        ]
        slices, position, labels = default_collate([*drawn[0], *drawn[1]])
        count = len(drawn[0])
        return PlainBatch(slices, position, labels[:count], labels[count:] == IGNORE_ID)


def plain_batch(batch: TwoStream) -> PlainBatch:
    """Return the very same tensors in plain memory order."""
    return PlainBatch(batch.slices.contiguous(), batch.position, batch.labels, batch.outside)


class PlainLoss:
    """The loss of cross pseudo supervision, made of the losses of others.

    Args:
        classes: How many, background included, which has no Dice term.
    """

    def __init__(self, classes: int) -> None:
        organs = list(range(1, classes))
        self.dice = DiceLoss("multiclass", classes=organs, smooth=1.0, ignore_index=IGNORE_ID)

    def compare(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Add cross entropy and Dice."""
        cross_entropy = F.cross_entropy(logits, labels, ignore_index=IGNORE_ID)
        loss: Tensor = cross_entropy + self.dice(logits, labels)
        return loss

    def __call__(self, network: Committee, batch: PlainBatch, weight: float) -> Tensor:
        """Add what labels teach and, weighted, what each network makes of the other's labels."""
        n = len(batch.labels)
        one, other = (member(batch.slices, batch.position) for member in network.members)
        supervised = self.compare(one[:n], batch.labels) + self.compare(other[:n], batch.labels)
        said = [logits[n:].detach().argmax(dim=1) for logits in (one, other)]
        of_one, of_other = (labels.masked_fill(batch.outside, IGNORE_ID) for labels in said)
        pseudo = self.compare(one[n:], of_other) + self.compare(other[n:], of_one)
        return supervised + weight * pseudo


def weight_at(progress: float, training: TrainingRecipe) -> float:
    """Return the weight of the pseudo labels, which climbs."""
    passed = min(1.0, progress / max(training.cps.ramp_share, 1e-9))
    return training.cps.weight * math.exp(-5 * (1 - passed) ** 2)


@torch.no_grad()
def follow_plainly(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Average the weights, one tensor after the other."""
    new = network.state_dict()
    for name, old in average.state_dict().items():
        if old.is_floating_point():
            old.mul_(decay).add_(new[name], alpha=1.0 - decay)
        else:
            old.copy_(new[name])


def peer_block(
    network: Committee,
    make: Callable[[int], PlainBatch],
    block: Block,
    *,
    recipe: Recipe,
    device: torch.device,
) -> float:
    """Take a block of steps as a user would write them; return seconds a step."""
    training = recipe.training
    network.to(device).train()
    average = copy.deepcopy(network).eval()
    loss_of = PlainLoss(len(recipe.organs) + 1)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
    )
    started = 0.0
    for step in range(block.steps):
        if step == block.warm:
            started = time.perf_counter()
        batch = PlainBatch(*(tensor.to(device) for tensor in make(step)))
        loss = loss_of(network, batch, weight_at(step / training.steps, training))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), training.clip_norm)
        optimiser.step()
        follow_plainly(average, network, training.ema)
        loss.item()  # for the log, and to wait for the device
    return (time.perf_counter() - started) / block.measured
