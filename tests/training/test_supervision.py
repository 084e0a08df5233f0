"""Labels teach every member by itself; the weight of the rest climbs over a share of the run."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from slicekit.labels import IGNORE_ID
from slicekit.losses import ce_and_dice, masked_per_class
from slicekit.recipes import RampRecipe, TrainingRecipe
from slicekit.training.supervision import count_classes, ramp, supervise, supervised_step

RAMP = RampRecipe(weight=0.7, ramp_share=0.4)
TRAINING = TrainingRecipe(steps=1)


def test_the_ramp_climbs_to_the_weight_over_its_share_of_the_run():
    assert ramp(0.0, RAMP) == pytest.approx(0.7 * math.exp(-5))
    assert ramp(0.2, RAMP) == pytest.approx(0.7 * math.exp(-1.25))
    assert ramp(0.4, RAMP) == ramp(1.0, RAMP) == 0.7
    steps = [ramp(step / 100, RAMP) for step in range(101)]
    assert steps == sorted(steps)
    assert ramp(0.0, RampRecipe(weight=0.7, ramp_share=0)) == 0.7


def test_members_learn_side_by_side_and_unlabelled_slices_do_not_matter(batch, committee):
    network = committee(1, 2, 3)
    result = supervised_step(network, batch, progress=0.5, average=network, training=TRAINING)
    alone = [ce_and_dice(member(batch.slices[:2]), batch.labels) for member in network.members]
    torch.testing.assert_close(result.loss, torch.stack(alone).sum())
    assert set(result.parts) == {"supervised"}
    for member, loss in zip(network.members, alone, strict=True):
        both = [
            torch.autograd.grad(value, member.layer.weight, retain_graph=True)[0]
            for value in (result.loss, loss)
        ]
        torch.testing.assert_close(*both)
    bare = replace(batch, slices=batch.slices[:2], position=batch.position[:2])
    other = supervised_step(network, bare, progress=0.5, average=network, training=TRAINING)
    assert torch.equal(result.loss, other.loss)


def test_what_nobody_looked_for_reaches_the_loss(batch, committee):
    network = committee(1)
    known = torch.tensor([[True, True, False, True], [True, True, False, False]])
    partly = replace(batch, known=known, labels=batch.labels.where(batch.labels != 2, 0))
    said = network(batch.slices)
    masked = TRAINING.model_copy(update={"partial": "masked"})
    torch.testing.assert_close(
        supervise(said, partly, masked), masked_per_class(said[0][:2], partly.labels, known)
    )
    plain = ce_and_dice(said[0][:2], partly.labels)
    assert float((supervise(said, partly, masked) - plain).abs().detach()) > 0.01


def test_pixels_are_counted_by_class_without_those_nobody_knows():
    labels = torch.tensor([[[0, 1, 1], [3, IGNORE_ID, 3]]])
    assert count_classes(labels, 5).tolist() == [1, 2, 0, 2, 0]
    assert count_classes(torch.full((1, 2, 2), IGNORE_ID), 3).tolist() == [0, 0, 0]
