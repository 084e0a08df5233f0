"""Cross pseudo supervision: two networks teach one another on slices nobody labelled.

Reference: Chen et al. 2021; Pham et al. (FLARE22). The softmax is taken once, pseudo labels
are hard and carry no gradient, and the ramp is a share of the run.
"""

from __future__ import annotations

import torch
from torch import nn

from slicekit.labels import IGNORE_ID
from slicekit.losses import ce_and_dice, pseudo_labels
from slicekit.networks import Committee
from slicekit.recipes import TrainingRecipe
from slicekit.training.loop import StepResult
from slicekit.training.supervision import count_classes, ramp, supervise, supervised_step
from slicekit.training.two_stream import TwoStream


def cps_step(
    network: Committee,
    batch: TwoStream,
    *,
    progress: float,
    average: nn.Module,
    training: TrainingRecipe,
) -> StepResult:
    """Add the supervised losses of both networks and what each makes of the other's labels.

    Where pupils see another view than teachers, the pseudo labels are of the weak view and are
    learnt on the strong one.
    """
    n, weight = batch.labelled, ramp(progress, training.cps)
    if weight == 0 or n == len(batch.slices):
        return supervised_step(
            network, batch, progress=progress, average=average, training=training
        )
    said = network(*batch.for_pupils)
    supervised = supervise(said, batch, training)
    free = [logits[n:] for logits in said]
    taught = free
    if len(batch.strong):
        with torch.no_grad():
            taught = list(network(*batch.free))
    of_a, of_b = (
        pseudo_labels(logits, confidence=training.cps.confidence).masked_fill(
            batch.outside, IGNORE_ID
        )
        for logits in taught
    )
    pseudo = ce_and_dice(free[0], of_b) + ce_and_dice(free[1], of_a)
    parts = {
        "supervised": supervised.detach(),
        "pseudo": pseudo.detach(),
        "weight": torch.tensor(weight),
    }
    classes = free[0].shape[1]
    counts = {
        "labelled": count_classes(batch.labels, classes),
        "pseudo": count_classes(of_a, classes) + count_classes(of_b, classes),
    }
    return StepResult(supervised + weight * pseudo, parts, counts)
