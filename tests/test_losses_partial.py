"""Losses of partly annotated samples: what nobody knows teaches nothing, the rest all it can."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slicekit.labels import IGNORE_ID
from slicekit.losses import (
    ce_and_dice,
    dice_only,
    exclusion,
    marginal_ce_and_dice,
    masked_per_class,
)

CLASSES = 5
SIZE = (6, 7)
EVERY = [
    marginal_ce_and_dice,
    partial(marginal_ce_and_dice, exclusion_weight=0.5),
    masked_per_class,
    dice_only,
    exclusion,
]


def sample(seed, known):
    """Logits and labels of a batch; a label is an annotated class, 0, or unknown."""
    random = torch.Generator().manual_seed(seed)
    known = torch.tensor(known)
    logits = 3 * torch.randn(len(known), CLASSES, *SIZE, generator=random)
    target = torch.randint(0, CLASSES, (len(known), *SIZE), generator=random)
    named = known.gather(1, target.flatten(1)).view_as(target)
    target = target.where(named, 0)
    target[:, :2, :3] = IGNORE_ID
    return logits.requires_grad_(), target, known


def rows(count=2):
    """Which classes each sample of a batch knows; background always."""
    row = st.lists(st.booleans(), min_size=CLASSES - 1, max_size=CLASSES - 1)
    return st.lists(row.map(lambda flags: [True, *flags]), min_size=count, max_size=count)


CASES = {"seed": st.integers(0, 2**16), "known": rows()}
some = settings(max_examples=25, deadline=None)


def gradient_of(loss, logits, *rest):
    (gradient,) = torch.autograd.grad(loss(logits, *rest), logits)
    return gradient


@some
@given(seed=st.integers(0, 2**16), count=st.integers(1, 3))
def test_with_everything_annotated_the_marginal_loss_is_the_plain_one(seed, count):
    logits, target, known = sample(seed, [[True] * CLASSES] * count)
    for loss in EVERY[:2]:
        ours, plain = loss(logits, target, known), ce_and_dice(logits, target)
        torch.testing.assert_close(ours, plain, atol=1e-6, rtol=0)
        torch.testing.assert_close(
            torch.autograd.grad(ours, logits)[0],
            torch.autograd.grad(plain, logits)[0],
            atol=1e-6,
            rtol=0,
        )


@some
@given(**CASES)
def test_the_masked_loss_has_no_gradient_at_all_for_unannotated_classes(seed, known):
    logits, target, known = sample(seed, known)
    gradient = gradient_of(masked_per_class, logits, target, known)
    assert (gradient[~known] == 0).all()
    taught = known.clone()
    taught[:, 0] = known[:, 1:].any(dim=1)
    assert torch.equal((gradient != 0).flatten(2).any(dim=2), taught)


@some
@given(**CASES)
def test_probability_may_move_between_background_and_unannotated_classes(seed, known):
    logits, target, known = sample(seed, known)
    shares = logits.detach().softmax(dim=1)
    merged = (~known).float()
    merged[:, 0] = 1
    merged = merged[:, :, None, None]
    mixed = torch.rand(shares.shape, generator=torch.Generator().manual_seed(seed)) * merged
    mixed = mixed / mixed.sum(dim=1, keepdim=True) * (shares * merged).sum(dim=1, keepdim=True)
    moved = (shares * (1 - merged) + mixed).log()
    for loss in (marginal_ce_and_dice, dice_only):
        torch.testing.assert_close(
            loss(moved, target, known), loss(logits.detach(), target, known), atol=2e-6, rtol=1e-6
        )


@some
@given(**CASES)
@pytest.mark.parametrize("loss", EVERY)
def test_pixels_that_nobody_knows_pass_in_no_term(loss, seed, known):
    logits, target, known = sample(seed, known)
    unknown = (target == IGNORE_ID)[:, None].expand_as(logits)
    assert (gradient_of(loss, logits, target, known)[unknown] == 0).all()
    changed = logits.detach().masked_fill(unknown, 17.0)
    assert torch.equal(loss(changed, target, known), loss(logits.detach(), target, known))


@pytest.mark.parametrize("loss", EVERY)
@pytest.mark.parametrize("row", [[True] * CLASSES, [True] + [False] * 4, [True, True, False] * 2])
@pytest.mark.parametrize("label", [0, 1, IGNORE_ID])
def test_empty_and_uniform_targets_give_finite_numbers(loss, row, label):
    logits, target, known = sample(0, [row[:CLASSES]] * 2)
    value = loss(50 * logits, torch.full_like(target, label), known)
    value.backward()
    assert value.shape == ()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()
    if label == IGNORE_ID:
        assert float(value.detach()) == 0
        assert (logits.grad == 0).all()


@pytest.mark.parametrize("loss", EVERY[:4])
def test_nothing_annotated_teaches_nothing(loss):
    logits, target, known = sample(0, [[True] + [False] * 4] * 2)
    assert float(loss(logits, target, known).detach()) == pytest.approx(0, abs=1e-6)
    assert gradient_of(loss, logits, target, known).abs().max() < 1e-6


@pytest.mark.parametrize("loss", [*EVERY[:2], dice_only, masked_per_class])
def test_samples_with_other_classes_do_not_disturb_one_another(loss):
    """A class is learned from the samples that have it, whatever the others say at 0."""
    logits, target, known = sample(1, [[True, True, False, False, True], [True] * CLASSES])
    gradient = gradient_of(loss, logits, target, known)
    second = target.clone()
    second[0] = IGNORE_ID
    alone = gradient_of(loss, logits, second, known)
    assert (alone[0] == 0).all()
    assert (gradient[0] != 0).any()
    assert (gradient[1] != 0).any()
    swapped = loss(logits.flip(0), target.flip(0), known.flip(0))
    torch.testing.assert_close(swapped, loss(logits, target, known), atol=1e-6, rtol=0)


def flat(*shares):
    """Logits of a row of pixels with these probabilities, one a pixel."""
    return torch.tensor(shares).T[None, :, None].clamp(min=1e-30).log()


def test_a_pixel_labelled_0_does_not_deny_an_organ_nobody_annotated():
    known = torch.tensor([[True, True, False]])
    target = torch.tensor([[[1, 0]]])
    found = flat((0.0, 1.0, 0.0), (0.1, 0.0, 0.9))
    denied = flat((0.0, 1.0, 0.0), (0.1, 0.9, 0.0))
    assert float(marginal_ce_and_dice(found, target, known)) == pytest.approx(0, abs=1e-6)
    assert float(marginal_ce_and_dice(denied, target, known)) > 1
    assert float(ce_and_dice(found, target)) > 1


def test_exclusion_grows_with_what_unannotated_classes_claim_of_annotated_organs():
    known = torch.tensor([[True, True, False]])
    target = torch.tensor([[[1, 1, 0, 0]]])

    def measured(share, *, elsewhere=0.5):
        organ = (0.0, 1 - share, share)
        other = (1 - elsewhere, 0.0, elsewhere)
        return float(exclusion(flat(organ, organ, other, other), target, known))

    assert measured(0.0) == pytest.approx(0, abs=1e-6)
    values = [measured(share) for share in (0.0, 0.1, 0.4, 0.8, 1.0)]
    assert values == sorted(values)
    assert len(set(values)) == 5
    # all of the organ and nothing else: one and the same place
    assert measured(1.0, elsewhere=0.0) == pytest.approx(1)
    # two pixels claimed to 0.4 and two to 0.5, two belong to the organ
    assert measured(0.4) == pytest.approx(2 * 0.8 / (0.8 + 1.0 + 2))
    everything = torch.ones_like(known)
    assert float(exclusion(flat(*[(0.2, 0.3, 0.5)] * 4), target, everything)) == 0


def test_the_exclusion_term_is_added_with_its_weight():
    logits, target, known = sample(3, [[True, True, False, True, False]] * 2)
    plain = marginal_ce_and_dice(logits, target, known)
    more = marginal_ce_and_dice(logits, target, known, exclusion_weight=0.25)
    torch.testing.assert_close(more, plain + 0.25 * exclusion(logits, target, known))


def test_masked_classes_are_told_from_background_one_by_one():
    """Cross entropy and Dice of a class against background, by hand on two pixels."""
    known = torch.tensor([[True, True, False]])
    target = torch.tensor([[[1, 0]]])
    logits = torch.tensor([[[[0.0, 1.0]], [[2.0, 0.0]], [[9.0, -9.0]]]])
    right, wrong = torch.sigmoid(torch.tensor([2.0, -1.0]))
    entropy = -(right.log() + (1 - wrong).log()) / 2
    dice = 1 - (right + 1) / ((right + wrong + 1) / 2 + 1)
    torch.testing.assert_close(masked_per_class(logits, target, known), entropy + dice)


def test_dice_alone_does_not_punish_what_lies_outside_of_the_annotated_organs():
    known = torch.tensor([[True, True, False]])
    target = torch.tensor([[[1, 0]]])
    found = [flat((0.0, 1.0, 0.0), (1 - share, 0.0, share)) for share in (0.0, 0.5, 1.0)]
    values = [float(dice_only(logits, target, known)) for logits in found]
    assert values == pytest.approx([0, 0, 0], abs=1e-6)
    more = flat((0.0, 1.0, 0.0), (0.5, 0.5, 0.0))
    assert float(dice_only(more, target, known)) > 0.1


@pytest.mark.parametrize("loss", EVERY)
def test_losses_are_taken_in_float32_and_over_any_axes(loss):
    logits, target, known = sample(5, [[True, True, False, False, True]] * 2)
    half = logits.detach().bfloat16()
    assert loss(half, target, known).dtype == torch.float32
    assert torch.equal(loss(half, target, known), loss(half.float(), target, known))
    solid = loss(logits[:, :, None], target[:, None], known)  # (b, classes, z, y, x)
    torch.testing.assert_close(solid, loss(logits, target, known))
    last = logits.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(loss(last, target, known), loss(logits, target, known))


@pytest.mark.parametrize("loss", [marginal_ce_and_dice, masked_per_class, dice_only])
def test_two_samples_of_half_the_organs_each_teach_both(loss):
    """Pixels of three kinds, one logit a kind and class; taken as background, neither is learnt."""
    kinds = torch.arange(60).view(6, 10) % 3  # 0 background, 1 and 2 the organs
    target = torch.stack([kinds.where(kinds == number, 0) for number in (1, 2)])
    known = torch.tensor([[True, True, False], [True, False, True]])

    def taught(loss, *rest):
        table = torch.zeros(3, 3, requires_grad=True)
        for _ in range(300):
            logits = table[kinds].permute(2, 0, 1).expand(2, -1, -1, -1)
            (gradient,) = torch.autograd.grad(loss(logits, target, *rest), table)
            table = (table - gradient).detach().requires_grad_()
        return table.detach().softmax(dim=1).diagonal()

    assert taught(loss, known).min() > 0.8
    assert taught(ce_and_dice)[1:].max() < 0.8
