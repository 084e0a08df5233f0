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


KNOWN = torch.tensor([[True, False, True, True], [True, True, False, False]])
CHOICES = ("marginal", "masked", "dice-only")


def test_every_choice_of_the_recipe_has_its_loss():
    choices = get_args(TrainingRecipe.model_fields["partial"].annotation)
    assert set(partial_losses(training())) == set(choices)
    assert training().partial == "marginal"


@pytest.mark.parametrize("choice", CHOICES)
def test_with_everything_annotated_it_is_the_plain_loss_to_the_last_bit(batch, choice):
    plain = ce_and_dice(*batch)
    for known in (None, torch.ones(2, 4, dtype=torch.bool)):
        assert torch.equal(supervised_loss(*batch, known, recipe=training(partial=choice)), plain)


def test_slices_annotated_in_part_go_through_the_named_loss(batch):
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


MIXED = torch.tensor(
    [[True] * 4, [True, True, False, False], [True] * 4, [True, False, True, False]]
)


@pytest.fixture
def mixed():
    """Two slices annotated in full, more of them known, between two that are in part."""
    random = torch.Generator().manual_seed(8)
    target = torch.randint(0, 4, (4, 6, 5), generator=random)
    target[1] = target[1].where(MIXED[1][target[1]], 0)
    target[3] = target[3].where(MIXED[3][target[3]], 0)
    target[1, :3] = IGNORE_ID
    target[2, 0] = IGNORE_ID
    return torch.randn(4, 4, 6, 5, generator=random, requires_grad=True), target


def gradient(loss, logits):
    return torch.autograd.grad(loss, logits)[0]


@pytest.mark.parametrize("choice", CHOICES)
def test_what_a_slice_annotated_in_full_teaches_does_not_depend_on_its_neighbours(mixed, choice):
    logits, target = mixed
    found = gradient(supervised_loss(*mixed, MIXED, recipe=training(partial=choice)), logits)
    full = [0, 2]
    share = 55 / 100  # 30 + 15 + 25 + 30 pixels are known
    alone = gradient(ce_and_dice(logits[full], target[full]), logits)
    torch.testing.assert_close(found[full], share * alone[full])
    part = [1, 3]
    named = partial_losses(training())[choice](logits[part], target[part], MIXED[part])
    torch.testing.assert_close(found[part], (1 - share) * gradient(named, logits)[part])


@pytest.mark.parametrize("choice", CHOICES)
def test_a_part_of_which_no_pixel_is_known_weighs_nothing(mixed, choice):
    logits, target = mixed
    for hidden, left in (([1, 3], [0, 2]), ([0, 2], [1, 3])):
        some = target.clone()
        some[hidden] = IGNORE_ID
        loss = supervised_loss(logits, some, MIXED, recipe=training(partial=choice))
        wanted = supervised_loss(
            logits[left], target[left], MIXED[left], recipe=training(partial=choice)
        )
        torch.testing.assert_close(loss, wanted)
        assert not gradient(loss, logits)[hidden].any()
    nothing = torch.full_like(target, IGNORE_ID)
    loss = supervised_loss(logits, nothing, MIXED, recipe=training(partial=choice))
    assert float(loss.detach()) == 0
