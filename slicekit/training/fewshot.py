"""Teach a few-shot network on episodes of pseudo organs or drawn ones: its step, batches, score.

Reference: Ouyang et al. 2020 (SSL-ALPNet), section 3; Wang et al. 2019 (PANet) for the way back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slicekit.data.drawn_episodes import DrawnEpisodes
from slicekit.data.episodes import Cut, Episode, Episodes, cut_by, regions_of
from slicekit.data.slices import CachedScan
from slicekit.errors import DatasetError
from slicekit.inference.protocol import name_by_protocol, overlap
from slicekit.labels import IGNORE_ID
from slicekit.networks import ALPNet
from slicekit.recipes import FewShotRecipe, Recipe
from slicekit.runtime import Runtime
from slicekit.training.evaluation import windows_of
from slicekit.training.loop import StepResult
from slicekit.windows import three_channels

log = logging.getLogger(__name__)

Source = Callable[[np.random.Generator], Episode]
"""Draws an episode."""


@dataclass(frozen=True, eq=False)
class EpisodeBatch:
    """Episodes of one organ each, a pseudo organ or a drawn one."""

    support: Tensor  # (n, 3, y, x) windows in [0, 1]
    query: Tensor  # (n, 3, y, x)
    support_labels: Tensor  # (n, y, x) 1 on the organ, IGNORE_ID where nobody knows
    query_labels: Tensor  # (n, y, x)


def episode_step(
    network: ALPNet,
    batch: EpisodeBatch,
    *,
    progress: float,
    average: nn.Module,
    settings: FewShotRecipe,
) -> StepResult:
    """Find the support's organ in the query, and with the answer that of the support."""
    n = len(batch.support)
    features = network.encode(torch.cat([batch.support, batch.query]))
    seen, asked = features[:n], features[n:]
    organ = (batch.support_labels == 1)[:, None, None]
    looked = (batch.support_labels != IGNORE_ID)[:, None]
    known = network.prototypes(seen[:, None], organ, looked)
    said = network.draw(network.compare(known, asked), batch.query)
    forth = weighted_cross_entropy(said, batch.query_labels, settings.background_weight)
    found = said.detach().argmax(dim=1) == 1
    known = network.prototypes(asked[:, None], found[:, None, None])
    answer = network.draw(network.compare(known, seen), batch.support)
    lost = ~found.any(dim=(1, 2), keepdim=True)  # nothing to find a way back from
    labels = batch.support_labels.masked_fill(lost, IGNORE_ID)
    back = weighted_cross_entropy(answer, labels, settings.background_weight)
    parts = {"forth": forth.detach(), "back": back.detach(), "dice": _dice(found, batch)}
    return StepResult(forth + settings.alignment_weight * back, parts)


def weighted_cross_entropy(
    logits: Tensor,  # (n, 2, y, x)
    labels: Tensor,  # (n, y, x) 0, 1 or IGNORE_ID
    background_weight: float,
) -> Tensor:
    """Return the mean over known pixels, those of the organ weighing 1; 0 where none is known."""
    weights = logits.new_tensor([background_weight, 1.0], dtype=torch.float32)
    total = (labels == 1).sum() + background_weight * (labels == 0).sum()
    summed = F.cross_entropy(
        logits.float(), labels, weights, ignore_index=IGNORE_ID, reduction="sum"
    )
    return summed / total.clamp_min(1)


def _dice(found: Tensor, batch: EpisodeBatch) -> Tensor:
    """Return the Dice score of all episodes together."""
    known, organ = batch.query_labels != IGNORE_ID, batch.query_labels == 1
    both = (found & organ).sum()
    return 2 * both / ((found & known).sum() + organ.sum()).clamp_min(1)


class EpisodeBatches:
    """Makes the batch of any step.

    The regions of all scans are cut here, once, and kept beside them: ``nbytes``. Where all
    episodes are of drawn organs there are none.

    Args:
        scans: Their labels are looked at only where some episodes are of drawn organs.
        recipe: A few-shot model.
        cut: How slices are cut into regions; as the recipe says for ``None``.

    Raises:
        DatasetError: There is nothing to draw from.
    """

    def __init__(
        self, scans: Sequence[CachedScan], *, recipe: Recipe, cut: Cut | None = None
    ) -> None:
        self.recipe, self.nbytes = recipe, 0
        settings, size = recipe.training.fewshot, recipe.training.crop
        share = settings.drawn_share
        sources: list[Source] = []
        if share > 0:  # first, as it may fail, and cutting takes long
            drawn = DrawnEpisodes(scans, settings=settings, size=size)
            log.info("%d organs are drawn in %d scans", len(drawn.held), len(scans))
            sources.append(drawn.draw)
        if share < 1:
            sources.append(self._cut(scans, cut or cut_by(settings)).draw)
        self._draw = sources[0] if len(sources) == 1 else _either(share, *sources)

    def _cut(self, scans: Sequence[CachedScan], cut: Cut) -> Episodes:
        """Cut all scans into regions."""
        training, started = self.recipe.training, time.monotonic()
        regions = [regions_of(scan, cut) for scan in scans]
        self.nbytes = sum(one.nbytes for one in regions)
        episodes = Episodes(scans, regions, settings=training.fewshot, size=training.crop)
        log.info(
            "%d slices of %d scans have regions, cut in %.1f s, %.2f GiB",
            len(episodes.places), len(scans), time.monotonic() - started, self.nbytes / 2**30,
        )  # fmt: skip
        return episodes

    def __call__(self, step: int) -> EpisodeBatch:
        """Draw the batch of one step; the same step gives the same batch."""
        training, shown = self.recipe.training, self.recipe.input
        rng = np.random.default_rng((training.seed, step))
        drawn = [self._draw(rng) for _ in range(training.batch)]
        low, high = shown.range_hu
        slices = np.stack([one.slices for one in drawn], axis=1) * (high - low) + low
        support, query = (
            torch.from_numpy(three_channels(part, shown.three_windows)).contiguous(
                memory_format=torch.channels_last
            )
            for part in slices
        )
        masks = np.stack([one.masks for one in drawn], axis=1).astype(np.int64)
        return EpisodeBatch(support, query, *map(torch.from_numpy, masks))


def _either(share: float, one: Source, other: Source) -> Source:
    """Draw from one source in a share of the draws, else from the other."""
    return lambda rng: (one if rng.random() < share else other)(rng)


def score_fewshot(
    network: ALPNet, scans: Sequence[CachedScan], *, recipe: Recipe, runtime: Runtime
) -> dict[str, float]:
    """Score every organ of every labelled scan by the published protocol.

    The support is the next scan that holds the organ; where there is none, it is not scored.
    """
    scores: dict[int, list[float]] = {}
    for number in sorted({organ for scan in scans for organ in scan.slices_of}):
        holding = [scan for scan in scans if number in scan.slices_of]
        for support, query in zip(holding, [*holding[1:], holding[0]], strict=True):
            if support is not query:
                dice = protocol_dice(
                    network, support, query, number, recipe=recipe, runtime=runtime
                )
                scores.setdefault(number, []).append(dice)
    means = {
        recipe.labels.names_by_id.get(number, f"organ {number}"): float(np.mean(found))
        for number, found in scores.items()
    }
    mean = float(np.mean(list(means.values()))) if means else float("nan")
    return {"dsc": mean, **means}


def protocol_dice(
    network: ALPNet,
    support: CachedScan,
    query: CachedScan,
    number: int,
    *,
    recipe: Recipe,
    runtime: Runtime,
) -> float:
    """Find one organ of a labelled scan in another by the published protocol.

    Raises:
        DatasetError: One of the scans has no labels, or does not hold the organ.
    """
    if support.labels is None or query.labels is None or number not in query.slices_of:
        raise DatasetError(f"{query.name}: its label {number} is not known, so it cannot be scored")
    held = query.slices_of[number]
    extent = range(int(held[0]), int(held[-1]) + 1)
    truth = query.labels[extent.start : extent.stop]
    guess = name_by_protocol(
        network,
        lambda zs: windows_of(support.slices[list(zs)], recipe),
        np.asarray(support.labels) == number,
        lambda zs: windows_of(query.slices[list(zs)], recipe),
        extent,
        runtime=runtime,
    )
    known = truth != IGNORE_ID
    return overlap(guess & known, truth == number)
