"""Cross pseudo supervision: symmetric, and nothing but supervised training at weight 0."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from slicekit.labels import IGNORE_ID
from slicekit.losses import ce_and_dice
from slicekit.networks import Committee
from slicekit.recipes import CpsRecipe, TrainingRecipe
from slicekit.training.cps import cps_step
from slicekit.training.supervision import ramp, supervised_step

CPS = CpsRecipe(weight=0.7, ramp_share=0.4)


def take(pair, batch, *, progress=1.0, cps=CPS, step=cps_step):
    training = TrainingRecipe(steps=1, cps=cps)
    return step(pair, batch, progress=progress, average=pair, training=training)


def gradients(loss, network):
    return torch.autograd.grad(loss, list(network.parameters()), retain_graph=True)


@pytest.fixture
def pair(committee):
    return committee(1, 2)


@pytest.fixture
def strong(batch):
    """The same batch; pupils see its unlabelled slice in other tints."""
    return replace(batch, strong=batch.slices[2:] ** 2)


def test_swapping_the_networks_swaps_the_losses(batch, strong, pair):
    for given in (batch, strong):
        one, other = take(pair, given), take(Committee(pair.b, pair.a), given)
        torch.testing.assert_close(one.loss, other.loss)
        for name in ("supervised", "pseudo"):
            torch.testing.assert_close(one.parts[name], other.parts[name])
        for network in pair.members:
            for mine, theirs in zip(
                gradients(one.loss, network), gradients(other.loss, network), strict=True
            ):
                torch.testing.assert_close(mine, theirs)


def test_the_parts_add_up(batch, pair):
    result = take(pair, batch, progress=0.2)
    parts = {name: float(value) for name, value in result.parts.items()}
    assert parts["pseudo"] > 0
    assert parts["weight"] == pytest.approx(ramp(0.2, CPS))
    assert float(result.loss.detach()) == pytest.approx(
        parts["supervised"] + parts["weight"] * parts["pseudo"]
    )


def test_weight_0_and_no_unlabelled_slices_are_side_by_side(batch, pair):
    labelled = replace(
        batch, slices=batch.slices[:2], position=batch.position[:2], outside=batch.outside[:0]
    )
    for given, weight in ((batch, 0.0), (labelled, 0.7)):
        result = take(pair, given, cps=CpsRecipe(weight=weight))
        wanted = take(pair, given, step=supervised_step)
        assert torch.equal(result.loss, wanted.loss)
        assert set(result.parts) == {"supervised"}
        for mine, theirs in zip(
            gradients(result.loss, pair), gradients(wanted.loss, pair), strict=True
        ):
            assert torch.equal(mine, theirs)


def test_pseudo_labels_carry_no_gradient(batch, strong, pair):
    """Each network learns from the other's labels as from fixed ones; of the weak view."""
    for given in (batch, strong):
        nothing = replace(given, labels=torch.full_like(given.labels, IGNORE_ID))
        loss = take(pair, nothing).loss
        with torch.no_grad():
            labels_a, labels_b = (logits.argmax(1) for logits in pair(given.slices[2:]))
        for network, labels in ((pair.a, labels_b), (pair.b, labels_a)):
            alone = CPS.weight * ce_and_dice(network(given.for_pupils[0][2:]), labels)
            for mine, theirs in zip(
                gradients(loss, network), gradients(alone, network), strict=True
            ):
                torch.testing.assert_close(mine, theirs)


def test_networks_of_one_mind_have_nothing_to_teach_when_sure(batch, pair):
    with torch.no_grad():
        pair.a.layer.weight.mul_(1e4)
    assert float(take(Committee(pair.a, pair.a), batch).parts["pseudo"]) < 0.01


def test_unsure_pseudo_labels_are_passed_over(batch, pair):
    shy = CpsRecipe(weight=0.7, confidence=0.999999)
    result = take(pair, batch, cps=shy)
    assert float(result.parts["pseudo"]) == 0
    assert int(result.counts["pseudo"].sum()) == 0


def test_pixels_outside_of_an_unlabelled_slice_teach_nothing(batch, strong, pair):
    for given in (batch, strong):
        outside = given.outside.clone()
        outside[:, :, 3:] = True
        slices, tinted = given.slices.clone(), given.strong.clone()
        slices[2:, :, :, 3:] = 0.77
        tinted[:, :, :, 3:] = 0.11
        one = take(pair, replace(given, outside=outside))
        other = take(pair, replace(given, outside=outside, slices=slices, strong=tinted))
        torch.testing.assert_close(one.loss, other.loss)
        assert float(one.parts["pseudo"]) > 0
        assert int(one.counts["pseudo"].sum()) == 2 * 6 * 3


def test_labels_and_pseudo_labels_are_counted_by_class(batch, pair):
    counts = take(pair, batch).counts
    with torch.no_grad():
        said = torch.stack([logits.argmax(1) for logits in pair(batch.slices[2:])])
    assert counts["labelled"].tolist() == [int((batch.labels == n).sum()) for n in range(4)]
    assert counts["pseudo"].tolist() == [int((said == n).sum()) for n in range(4)]
