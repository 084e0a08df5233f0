"""What labels teach, and how the weight of what is not labelled climbs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from slicekit.networks import Committee
from slicekit.recipes import RampRecipe, TrainingRecipe
from slicekit.training.loop import StepResult
from slicekit.training.partial import supervised_loss
from slicekit.training.two_stream import TwoStream


def ramp(progress: float, settings: RampRecipe) -> float:
    """Return the weight of the unsupervised loss when ``progress`` of all steps is done.

    It climbs as ``weight * exp(-5 (1 - t / T)^2)`` with T a share of the run.

    Reference: Laine and Aila 2017 (temporal ensembling).
    """
    passed = min(1.0, progress / settings.ramp_share) if settings.ramp_share > 0 else 1.0
    return settings.weight * math.exp(-5 * (1 - passed) ** 2)


def supervise(said: Sequence[Tensor], batch: TwoStream, training: TrainingRecipe) -> Tensor:
    """Add the supervised losses of all members.

    Args:
        said: Of every member the logits ``(n or more, classes, y, x)``, labelled slices first.
        batch: Its labels, and what was looked for on each slice.
        training: How partial labels are handled.
    """
    n = batch.labelled
    losses = [
        supervised_loss(logits[:n], batch.labels, batch.known, recipe=training) for logits in said
    ]
    return torch.stack(losses).sum()


def supervised_step(
    network: Committee,
    batch: TwoStream,
    *,
    progress: float,
    average: nn.Module,
    training: TrainingRecipe,
) -> StepResult:
    """Learn from labels alone: one network, or several side by side (the control of any pair)."""
    n = batch.labelled
    loss = supervise(network(batch.slices[:n], batch.position[:n]), batch, training)
    return StepResult(loss, {"supervised": loss.detach()})


def count_classes(labels: Tensor, classes: int) -> Tensor:
    """Return how many pixels ``(classes,)`` each class has; others are passed over."""
    return torch.bincount(labels[labels < classes].flatten(), minlength=classes)
