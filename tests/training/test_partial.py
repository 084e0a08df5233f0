"""The supervised loss is the plain one wherever it can be, else the one that the recipe names."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from slicekit.labels import IGNORE_ID
from slicekit.losses import (
    ce_and_dice,
    dice_only,
    exclusion,
    marginal_ce_and_dice,
    masked_per_class,
)
from slicekit.recipes import TrainingRecipe
from slicekit.training.partial import partial_losses, supervised_loss


@pytest.fixture
def batch():
    """Logits and labels of two slices; only classes 0 and 1 are on them."""
    random = torch.Generator().manual_seed(7)
    target = torch.randint(0, 2, (2, 6, 5), generator=random)
    target[:, 0] = IGNORE_ID
    return torch.randn(2, 4, 6, 5, generator=random), target


def training(**changes):
    return TrainingRecipe(steps=1, **changes)


KNOWN = torch.tensor([[True] * 4, [True, True, False, False]])


def test_every_choice_of_the_recipe_has_its_loss():
    choices = get_args(TrainingRecipe.model_fields["partial"].annotation)
    assert set(partial_losses(training())) == set(choices)
    assert training().partial == "marginal"


@pytest.mark.parametrize("choice", ["marginal", "masked", "dice-only"])
def test_with_everything_annotated_it_is_the_plain_loss_to_the_last_bit(batch, choice):
    plain = ce_and_dice(*batch)
    for known in (None, torch.ones(2, 4, dtype=torch.bool)):
        assert torch.equal(supervised_loss(*batch, known, recipe=training(partial=choice)), plain)


def test_one_slice_annotated_in_part_is_enough_for_the_named_loss(batch):
    def loss(**changes):
        return supervised_loss(*batch, KNOWN, recipe=training(**changes))

    assert torch.equal(loss(partial="masked"), masked_per_class(*batch, KNOWN))
    assert torch.equal(loss(partial="dice-only"), dice_only(*batch, KNOWN))
    marginal = marginal_ce_and_dice(*batch, KNOWN)
    assert torch.equal(loss(exclusion_weight=0.0), marginal)
    torch.testing.assert_close(
        loss(exclusion_weight=0.5), marginal + 0.5 * exclusion(*batch, KNOWN)
    )
    assert 0 < training().exclusion_weight <= 0.1
