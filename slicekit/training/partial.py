"""The supervised loss of a batch, in which some slices may be annotated in part."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from slicekit.losses import ce_and_dice, dice_only, marginal_ce_and_dice, masked_per_class
from slicekit.recipes import TrainingRecipe

PartialLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Takes logits, target and ``known``; see ``slicekit.losses``."""


def partial_losses(recipe: TrainingRecipe) -> dict[str, PartialLoss]:
    """Return the losses that ``training.partial`` chooses from."""
    return {
        "marginal": partial(marginal_ce_and_dice, exclusion_weight=recipe.exclusion_weight),
        "masked": masked_per_class,
        "dice-only": dice_only,
    }


def supervised_loss(
    logits: Tensor,  # (b, classes, y, x)
    target: Tensor,  # (b, y, x) ids, IGNORE_ID where unknown
    known: Tensor | None,  # (b, classes) bool, None for all
    *,
    recipe: TrainingRecipe,
) -> Tensor:
    """Compare logits with labels, by the plain loss where every class of the batch is annotated.

    Args:
        logits: ``(b, classes, y, x)``, background first.
        target: ``(b, y, x)``; 0 is background or a class that nobody annotated.
        known: Which classes were annotated on each slice, as
            ``CachedScan.known_classes`` says; background always is.
        recipe: Its ``partial`` and ``exclusion_weight`` say what to do where one was not.
    """
    if known is None or bool(known.all()):
        return ce_and_dice(logits, target)
    return partial_losses(recipe)[recipe.partial](logits, target, known)
