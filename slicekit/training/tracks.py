"""Teach a memory network to follow one organ inside a region of interest.

Reference: Cheng et al. 2021 (STCN), whose memory is read as published; the neighbour's mask that
the decoder takes besides is ours (as in mask-propagation networks, Perazzi et al. 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from slicekit.data.slices import CachedScan
from slicekit.data.tracks import Tracks
from slicekit.errors import RecipeError
from slicekit.labels import IGNORE_ID
from slicekit.losses import bootstrapped_ce, hardest_share, lovasz
from slicekit.networks import STCN, Features, dense_read, soft_aggregate
from slicekit.recipes import ClipRecipe, Recipe
from slicekit.runtime import Runtime
from slicekit.training.loop import StepResult
from slicekit.windows import three_channels

TOP_K = 20


@dataclass(frozen=True, eq=False)
class TrackBatch:
    """Tracks of one length."""

    slices: Tensor  # (b, 2 + n, 3 channels, y, x) windows in [0, 1]; two guides first
    guides: Tensor  # (b, 2, y, x) the organ in them
    neighbour: Tensor  # (b, y, x) the organ before the first slice; 0.5 where unknown
    truth: Tensor  # (b, n, y, x): 0, 1, IGNORE_ID
    organs: Tensor  # (b,) ids of the organs


def track_step(
    network: STCN, batch: TrackBatch, *, progress: float, average: nn.Module, clips: ClipRecipe
) -> StepResult:
    """Follow the organ slice by slice; every answer is the next slice's neighbour."""
    start, end, final = clips.hardest
    share = hardest_share(
        round(progress * 1000), start=round(start * 1000), end=round(end * 1000), final=final
    )
    ce, overlap = torch.zeros(()), torch.zeros(())
    answers = follow(network, batch)
    for n, logs in enumerate(answers):
        target = batch.truth[:, n].long()
        ce = ce + bootstrapped_ce(logs, target, share=share) / len(answers)
        overlap = overlap + lovasz(logs, target) / len(answers)
    loss = ce + clips.lovasz_weight * overlap
    return StepResult(loss, {"ce": ce.detach(), "lovasz": overlap.detach()})


def follow(
    network: STCN, batch: TrackBatch
) -> list[Tensor]:  # n times (b, 2, y, x) log probabilities: not the organ, the organ
    """Answer the slices of tracks in walking order."""
    b, length = batch.slices.shape[:2]
    flat = batch.slices.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    seen = network.encode_key(flat)

    def at(t: int) -> Features:
        return Features(*(part.view(b, length, *part.shape[1:])[:, t] for part in seen))

    values = [
        network.encode_value(batch.slices[:, t], batch.guides[:, t, None], at(t).s16)
        for t in (0, 1)
    ]
    keys = torch.stack([at(0).key, at(1).key], dim=2)
    neighbour, answers = batch.neighbour[:, None], []
    for t in range(2, length):
        now = at(t)
        read = dense_read(keys, torch.stack(values, dim=3), now.key, top_k=TOP_K)
        logits = network.decode(read, now, prior=2 * neighbour - 1)
        shares = soft_aggregate(torch.sigmoid(logits.float()))
        answers.append(shares.clamp_min(1e-7).log())
        neighbour = shares[:, 1:]
    return answers


class TrackBatches:
    """Makes the batch of any step.

    Args:
        scans: Labelled scans.
        phantoms: Made scans; a share of the tracks is drawn from them.
        recipe: The model.
    """

    def __init__(
        self, scans: Sequence[CachedScan], *, phantoms: Sequence[CachedScan], recipe: Recipe
    ) -> None:
        tracks = recipe.training.tracks
        if tracks is None:
            raise RecipeError(f"{recipe.name} has no [training.tracks]")
        self.recipe, self.tracks = recipe, tracks
        spacing_mm = recipe.input.spacing_mm
        self.real = Tracks(scans, recipe=tracks, spacing_mm=spacing_mm)
        self.made = Tracks(phantoms, recipe=tracks, spacing_mm=spacing_mm) if phantoms else None

    def __call__(self, step: int) -> TrackBatch:
        """Draw the batch of one step; the same step gives the same batch."""
        training = self.recipe.training
        rng = np.random.default_rng((training.seed, step))
        late = step >= self.tracks.lengthen_at * training.steps
        count = self.tracks.last_slices if late else self.tracks.slices
        drawn = [
            (self.made if self.made and rng.random() < training.phantom_share else self.real).draw(
                rng, size=self.tracks.size, slices=count
            )
            for _ in range(training.batch)
        ]
        low, high = self.recipe.input.range_hu
        slices = np.stack([track.slices for track in drawn]) * (high - low) + low
        windows = three_channels(slices, self.recipe.input.three_windows)
        return TrackBatch(
            torch.from_numpy(windows),
            torch.from_numpy(np.stack([track.guides for track in drawn])),
            torch.from_numpy(np.stack([track.neighbour for track in drawn])),
            torch.from_numpy(np.stack([track.truth for track in drawn])),
            torch.tensor([track.organ for track in drawn]),
        )


@torch.inference_mode()
def score_tracks(
    network: STCN,
    scans: Sequence[CachedScan],
    *,
    recipe: Recipe,
    runtime: Runtime,
    count: int = 96,
) -> dict[str, float]:
    """Score the last slice of long tracks drawn from held-out scans, always the same ones.

    ``"dsc"`` is the mean over tracks, then follow the organs that the recipe names. ``"copy"`` is
    the control beside it: the mask of the guide behind, unchanged.
    """
    held = TrackBatches(scans, phantoms=(), recipe=recipe)
    ours: list[float] = []
    control: list[float] = []
    organs: list[int] = []
    for step in range(-(-count // recipe.training.batch)):
        batch = held(10_000_000 + step)
        moved = TrackBatch(*(runtime.put(getattr(batch, f)) for f in batch.__dataclass_fields__))
        answer = follow(network, moved)[-1].argmax(dim=1).cpu().numpy() == 1
        organs += batch.organs.tolist()
        for n, truth in enumerate(batch.truth[:, -1].numpy()):
            known = truth != IGNORE_ID
            for scores, guess in ((ours, answer[n]), (control, batch.guides[n, 0].numpy() > 0.5)):
                both = (guess & (truth == 1))[known].sum()
                all_ = guess[known].sum() + (truth == 1)[known].sum()
                scores.append(1.0 if all_ == 0 else float(2 * both / all_))
    named = {
        name: float(np.mean([dice for dice, organ in zip(ours, organs, strict=True) if organ == n]))
        for name, n in recipe.labels.ids.items()
        if n in organs
    }
    return {"dsc": float(np.mean(ours)), **named, "copy": float(np.mean(control))}
