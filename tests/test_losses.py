"""Losses against the libraries they stand for, and what unknown pixels must not do."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from segmentation_models_pytorch.losses import DiceLoss
from torch.nn import functional as F

from slicekit.labels import IGNORE_ID
from slicekit.losses import bootstrapped_ce, ce_and_dice, hardest_share, lovasz, pseudo_labels

CLASSES = 5


@pytest.fixture
def case():
    """Logits and labels; class 4 is absent, a corner is unknown."""
    random = torch.Generator().manual_seed(3)
    logits = 3 * torch.randn(2, CLASSES, 9, 11, generator=random)
    target = torch.randint(0, CLASSES - 1, (2, 9, 11), generator=random)
    target[:, :3, :4] = IGNORE_ID
    return logits.requires_grad_(), target


def expected(logits, target):
    dice = DiceLoss("multiclass", classes=list(range(1, CLASSES)), smooth=1, ignore_index=IGNORE_ID)
    return F.cross_entropy(logits, target, ignore_index=IGNORE_ID) + dice(logits, target)


def test_cross_entropy_and_dice_are_those_of_the_libraries(case):
    logits, target = case
    loss, wanted = ce_and_dice(logits, target), expected(logits, target)
    torch.testing.assert_close(loss, wanted, atol=1e-5, rtol=0)
    ours, theirs = (torch.autograd.grad(value, logits)[0] for value in (loss, wanted))
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)


def test_cross_entropy_and_dice_without_unknown_pixels(case):
    logits, target = case
    target = target.where(target != IGNORE_ID, 0)
    torch.testing.assert_close(
        ce_and_dice(logits, target), expected(logits, target), atol=1e-5, rtol=0
    )


def test_a_solid_costs_what_its_voxels_cost_as_pixels(case):
    """Classes are summed over all axes of space, whatever their number."""
    logits, target = case
    solid = logits.reshape(2, CLASSES, 3, 3, 11), target.reshape(2, 3, 3, 11)
    assert torch.equal(ce_and_dice(*solid), ce_and_dice(logits, target))
    torch.testing.assert_close(ce_and_dice(*solid), expected(logits, target), atol=1e-5, rtol=0)


@pytest.mark.parametrize("loss", [ce_and_dice, lovasz, partial(bootstrapped_ce, share=1)])
def test_unknown_pixels_have_no_gradient(case, loss):
    logits, target = case
    (gradient,) = torch.autograd.grad(loss(logits, target), logits)
    unknown = (target == IGNORE_ID)[:, None].expand_as(gradient)
    assert (gradient[unknown] == 0).all()
    assert (gradient[~unknown] != 0).any()


@pytest.mark.parametrize(
    "loss",
    [
        ce_and_dice,
        lovasz,
        partial(bootstrapped_ce, share=0.5),
        partial(bootstrapped_ce, share=1.0),
    ],
)
def test_nothing_known_is_a_loss_of_0_with_a_gradient_of_0(case, loss):
    logits, target = case
    value = loss(logits, torch.full_like(target, IGNORE_ID))
    value.backward()
    assert value.shape == ()
    assert float(value.detach()) == 0
    assert (logits.grad == 0).all()


def test_a_sure_and_right_answer_costs_nothing(case):
    _, target = case
    target = target.where(target != IGNORE_ID, 0)
    sure = 50.0 * F.one_hot(target, CLASSES).permute(0, 3, 1, 2)
    assert float(ce_and_dice(sure, target)) == pytest.approx(0, abs=1e-5)
    assert float(lovasz(sure, target)) == pytest.approx(0, abs=1e-5)


def test_losses_are_taken_in_float32(case):
    logits, target = case
    half = logits.detach().bfloat16()
    for loss in (ce_and_dice, lovasz, partial(bootstrapped_ce, share=0.5)):
        assert loss(half, target).dtype == torch.float32
        assert torch.equal(loss(half, target), loss(half.float(), target))


def test_the_share_of_hard_pixels_falls_linearly_between_start_and_end():
    def share(step):
        return hardest_share(step, start=20, end=70, final=0.15)

    assert [share(step) for step in (0, 19, 20)] == [1, 1, 1]
    assert [share(step) for step in (70, 10_000)] == pytest.approx([0.15, 0.15])
    assert share(45) == pytest.approx(0.575)
    assert all(share(step) >= share(step + 1) for step in range(100))
    assert hardest_share(5, start=5, end=5, final=0.3) == 1.0
    assert hardest_share(6, start=5, end=5, final=0.3) == pytest.approx(0.3)


def test_bootstrapping_over_all_pixels_is_the_plain_mean_over_the_known_ones(case):
    logits, target = case
    torch.testing.assert_close(
        bootstrapped_ce(logits, target, share=1),
        F.cross_entropy(logits, target, ignore_index=IGNORE_ID),
    )


def test_bootstrapping_keeps_the_hardest_pixels_of_each_sample():
    easy, hard = torch.tensor([9.0, 0.0]), torch.tensor([0.0, 9.0])
    logits = torch.stack([easy] * 8 + [hard] * 2, dim=1).reshape(1, 2, 2, 5)
    target = torch.zeros(1, 2, 5, dtype=torch.long)
    wrong = float(F.cross_entropy(hard[None], torch.tensor([0])))
    assert float(bootstrapped_ce(logits, target, share=0.2)) == pytest.approx(wrong)
    # a share of less than one pixel is one pixel
    assert float(bootstrapped_ce(logits, target, share=0.01)) == pytest.approx(wrong)


def test_unknown_pixels_take_no_part_in_the_share_of_the_hardest(case):
    logits, target = case
    padded = F.pad(logits, (0, 9, 0, 9)), F.pad(target, (0, 9, 0, 9), value=IGNORE_ID)
    for share in (0.2, 0.5, 1.0):
        torch.testing.assert_close(
            bootstrapped_ce(*padded, share=share), bootstrapped_ce(logits, target, share=share)
        )


def test_pseudo_labels_are_the_likeliest_classes_and_carry_no_gradient(case):
    logits, _ = case
    labels = pseudo_labels(logits)
    assert torch.equal(labels, logits.argmax(1))
    assert not labels.requires_grad
    assert not pseudo_labels(logits, confidence=0.5).requires_grad


def test_more_confidence_never_names_more_pixels(case):
    logits, _ = case
    likeliest = logits.softmax(1).amax(1)
    before = torch.ones_like(likeliest, dtype=torch.bool)
    for confidence in (0.0, 0.3, 0.6, 0.9, 0.999):
        labels = pseudo_labels(logits, confidence=confidence)
        named = labels != IGNORE_ID
        assert torch.equal(named, likeliest >= confidence)
        assert torch.equal(labels[named], logits.argmax(1)[named])
        assert not (named & ~before).any()
        before = named
