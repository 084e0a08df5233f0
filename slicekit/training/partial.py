"""The supervised loss of a batch, in which some slices may be annotated in part."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from slicekit.labels import IGNORE_ID
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
    """Compare logits with labels, by the plain loss on samples annotated in full.

    The other samples go through the loss that the recipe names. Each part weighs what its share
    of the known pixels is, so in the cross entropy every known pixel counts the same, and beyond
    that weight a sample annotated in full does not feel which loss others of its batch need.

    Args:
        logits: ``(b, classes, y, x)``, background first.
        target: ``(b, y, x)``; 0 is background or a class that nobody annotated.
        known: Which classes were annotated on each sample, as
            ``CachedScan.known_classes`` says; background always is.
        recipe: Its ``partial`` and ``exclusion_weight`` say what to do where one was not.
    """
    if known is None or bool(known.all()):
        return ce_and_dice(logits, target)
    full = known.all(dim=1)
    of_part = partial_losses(recipe)[recipe.partial]
    if not bool(full.any()):
        return of_part(logits, target, known)
    seen = (target != IGNORE_ID).flatten(1).sum(dim=1)
    share = seen[full].sum() / seen.sum().clamp(min=1)
    plain = ce_and_dice(logits[full], target[full])
    return share * plain + (1 - share) * of_part(logits[~full], target[~full], known[~full])
