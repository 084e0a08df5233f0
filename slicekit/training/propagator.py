"""Teach a memory network to carry masks from slice to slice.

Reference: Cheng et al. 2021 (STCN), training on clips of three; Pham et al. (FLARE22) for
the Lovasz term; gaps in mm, ending organs and degraded guides are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slicekit.data.clips import draw_clip
from slicekit.data.slices import CachedScan
from slicekit.labels import IGNORE_ID
from slicekit.losses import bootstrapped_ce, hardest_share, lovasz
from slicekit.networks import STCN, Features, dense_read, soft_aggregate
from slicekit.recipes import ClipRecipe, Recipe
from slicekit.training.loop import StepResult
from slicekit.windows import three_channels

_GROWING = 0.5


@dataclass(frozen=True, eq=False)
class ClipBatch:
    """Clips of three slices."""

    slices: Tensor  # (b, 3 slices, 3 channels, y, x) windows in [0, 1]
    objects: Tensor  # (b, 3 slices, y, x): 0 background, 1 to k, IGNORE_ID
    guides: Tensor  # (b, k, y, x) masks of the first slice as they are given


def propagation_step(
    network: STCN, batch: ClipBatch, *, progress: float, average: nn.Module, clips: ClipRecipe
) -> StepResult:
    """Predict slice 2 from slice 1, and slice 3 from slice 1 and the predicted slice 2."""
    start, end, final = clips.hardest
    # the schedule is in shares of the run; thousandths are fine enough
    share = hardest_share(
        round(progress * 1000), start=round(start * 1000), end=round(end * 1000), final=final
    )
    ce = torch.zeros(())
    overlap = torch.zeros(())
    for t, logits in enumerate(carry(network, batch.slices, batch.guides), start=1):
        target = batch.objects[:, t].long()
        ce = ce + bootstrapped_ce(logits, target, share=share)
        overlap = overlap + lovasz(logits, target)
    loss = ce + clips.lovasz_weight * overlap
    return StepResult(loss, {"ce": ce.detach(), "lovasz": overlap.detach()})


def carry(
    network: STCN,
    slices: Tensor,  # (b, t, 3, y, x)
    guides: Tensor,  # (b, k, y, x)
) -> list[Tensor]:  # t - 1 times (b, k + 1, y, x) log probabilities, background first
    """Carry masks from the first slice through the rest; what is predicted is remembered."""
    b, length = slices.shape[:2]
    flat = slices.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    seen = network.encode_key(flat)

    def at(t: int) -> Features:
        return Features(*(part.view(b, length, *part.shape[1:])[:, t] for part in seen))

    masks, results = guides, []
    keys: list[Tensor] = []
    values: list[Tensor] = []
    for t in range(1, length):
        before, now = at(t - 1), at(t)
        keys.append(before.key)
        values.append(network.encode_value(slices[:, t - 1], masks, before.s16))
        read = dense_read(torch.stack(keys, dim=2), torch.stack(values, dim=3), now.key)
        shares = soft_aggregate(torch.sigmoid(network.decode(read, now).float()))
        results.append(shares.clamp_min(1e-7).log())
        masks = shares[:, 1:]
    return results


class ClipBatches:
    """Makes the batch of any step.

    Args:
        scans: Labelled scans.
        phantoms: Made scans; a share of the clips is drawn from them.
        recipe: The model.
    """

    def __init__(
        self, scans: Sequence[CachedScan], *, phantoms: Sequence[CachedScan], recipe: Recipe
    ) -> None:
        self.scans, self.phantoms, self.recipe = scans, phantoms, recipe

    def __call__(self, step: int) -> ClipBatch:
        """Draw the batch of one step; the same step gives the same batch."""
        training = self.recipe.training
        rng = np.random.default_rng((training.seed, step))
        reach = min(1.0, 0.3 + 0.7 * step / max(1, _GROWING * training.steps))
        drawn = [
            draw_clip(
                self.phantoms
                if self.phantoms and rng.random() < training.phantom_share
                else self.scans,
                rng,
                recipe=training.clips,
                size=training.crop,
                reach=reach,
            )
            for _ in range(training.batch)
        ]
        low, high = self.recipe.input.range_hu
        slices = np.stack([clip.slices for clip in drawn]) * (high - low) + low
        objects = torch.from_numpy(np.stack([clip.objects for clip in drawn]))
        guides = torch.from_numpy(np.stack([clip.guide for clip in drawn])).long()
        guides = guides.masked_fill(guides == IGNORE_ID, 0)
        hot = F.one_hot(guides, training.clips.objects + 1).permute(0, 3, 1, 2)[:, 1:]
        windows = three_channels(slices, self.recipe.input.three_windows)
        return ClipBatch(torch.from_numpy(windows), objects, hot.float())
