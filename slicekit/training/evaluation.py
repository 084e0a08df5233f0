"""Scores of a network while it is trained: quick, on the recipe's own grid.

They tell whether a run goes well. The numbers that are published come from
``slicekit evaluate`` on the scans' own grids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from slicekit.data.slices import CachedScan, unit_slices
from slicekit.labels import IGNORE_ID
from slicekit.networks import STCN, Committee, pad_to_multiple
from slicekit.recipes import Recipe
from slicekit.runtime import Runtime
from slicekit.training.propagator import carry
from slicekit.windows import three_channels

_BATCH = 8


@dataclass
class Overlap:
    """Pixels counted per organ over the slices of one scan."""

    both: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    truth: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    guess: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))

    def add(self, truth: NDArray[np.uint8], guess: NDArray[np.uint8]) -> None:
        """Count one slice or more; ignored pixels are passed over."""
        known = truth != IGNORE_ID
        truth, guess = truth[known], guess[known]
        self.both += np.bincount(truth[truth == guess], minlength=256)
        self.truth += np.bincount(truth, minlength=256)
        self.guess += np.bincount(guess, minlength=256)

    def dice(self, number: int) -> float:
        """DSC of one organ; NaN where the truth does not hold it."""
        if self.truth[number] == 0:
            return float("nan")
        return float(2 * self.both[number] / (self.truth[number] + self.guess[number]))


def mean_dice(overlaps: Sequence[Overlap], recipe: Recipe) -> dict[str, float]:
    """Average over scans, then over organs (``"dsc"``); organs nobody annotated stay out."""
    scores: dict[str, float] = {}
    for name, number in recipe.labels.ids.items():
        seen = [d for d in (o.dice(number) for o in overlaps) if not np.isnan(d)]
        if seen:
            scores[name] = float(np.mean(seen))
    return {"dsc": float(np.mean(list(scores.values()))) if scores else float("nan"), **scores}


def windows_of(slices: NDArray[np.int16], recipe: Recipe) -> Tensor:
    """Turn cached slices ``(n, y, x)`` into ``(n, 3, y, x)`` windows."""
    low, high = recipe.input.range_hu
    channels = three_channels(unit_slices(slices) * (high - low) + low, recipe.input.three_windows)
    return torch.from_numpy(channels)


def score_reference(
    network: Committee,
    scans: Sequence[CachedScan],
    *,
    recipe: Recipe,
    runtime: Runtime,
    every: int = 3,
) -> dict[str, float]:
    """Score the mean of a reference's networks on every ``every``-th annotated slice."""
    overlaps = []
    for scan in scans:
        overlap = Overlap()
        chosen = scan.annotated[::every]
        for start in range(0, len(chosen), _BATCH):
            where = chosen[start : start + _BATCH]
            position = torch.tensor(where / max(1, len(scan.slices) - 1), dtype=torch.float32)
            slices = runtime.put(windows_of(scan.slices[where], recipe))
            said = network(slices, position.to(runtime.device))
            shares = torch.stack([logits.float().softmax(dim=1) for logits in said]).sum(dim=0)
            if scan.labels is not None:
                overlap.add(scan.labels[where], shares.argmax(dim=1).byte().cpu().numpy())
        overlaps.append(overlap)
    return mean_dice(overlaps, recipe)


def score_propagator(
    network: nn.Module,
    scans: Sequence[CachedScan],
    *,
    recipe: Recipe,
    runtime: Runtime,
    jump_mm: float = 15.0,
    every: int = 6,
) -> dict[str, float]:
    """Score one jump of ``jump_mm``: true masks in, the masks so far away out.

    ``"copy"`` is the control beside it: the mean DSC of the masks carried over unchanged.
    """
    if not isinstance(network, STCN):
        raise TypeError(f"a propagator is an STCN, got {type(network).__name__}")
    overlaps, copies = [], []
    for scan in scans:
        overlap, copy = Overlap(), Overlap()
        step = max(1, round(jump_mm / scan.step_mm))
        for z in range(0, len(scan.slices) - step, every):
            if scan.labels is None:
                continue
            truth = scan.labels[[z, z + step]]
            numbers = [n for n in np.unique(truth[0]).tolist() if n not in (0, IGNORE_ID)]
            if not numbers:
                continue
            frames, box = pad_to_multiple(windows_of(scan.slices[[z, z + step]], recipe), 16)
            hot = torch.from_numpy(np.stack([truth[0] == n for n in numbers])[None]).float()
            masks, _ = pad_to_multiple(hot, 16)
            odds = carry(network, runtime.put(frames)[None], runtime.put(masks))[0]
            best = box.cut(odds).argmax(dim=1)[0].cpu().numpy()
            table = np.array([0, *numbers], dtype=np.uint8)
            overlap.add(truth[1:], table[best][None])
            copy.add(truth[1:], truth[:1])
        overlaps.append(overlap)
        copies.append(copy)
    return {**mean_dice(overlaps, recipe), "copy": mean_dice(copies, recipe)["dsc"]}
