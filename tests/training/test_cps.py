"""Cross pseudo supervision: symmetric, and nothing but supervised training at weight 0."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import pytest
import torch
from torch import nn

from slicekit.data.slices import CachedScan
from slicekit.labels import IGNORE_ID
from slicekit.losses import ce_and_dice
from slicekit.networks import Pair
from slicekit.recipes import CpsRecipe
from slicekit.training import cps as module
from slicekit.training.cps import TwoStream, TwoStreamBatches, cps_step, ramp

CPS = CpsRecipe(weight=0.7, ramp_share=0.4)


class Pixels(nn.Module):
    """Names every pixel by itself."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.layer = nn.Conv2d(3, 4, 1)

    def forward(self, slices, position=None):
        return 5 * self.layer(slices)


@pytest.fixture
def batch():
    """Two labelled slices and one unlabelled."""
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (2, 6, 7), generator=random)
    labels[0, :2] = IGNORE_ID
    slices = torch.rand(3, 3, 6, 7, generator=random)
    return TwoStream(slices, torch.zeros(3), labels, torch.zeros(1, 6, 7, dtype=torch.bool))


def gradients(loss, network):
    return torch.autograd.grad(loss, list(network.parameters()), retain_graph=True)


def test_swapping_the_networks_swaps_the_losses(batch):
    a, b = Pixels(1), Pixels(2)
    one = cps_step(Pair(a, b), batch, progress=0.5, cps=CPS)
    other = cps_step(Pair(b, a), batch, progress=0.5, cps=CPS)
    torch.testing.assert_close(one.loss, other.loss)
    for name in ("supervised", "pseudo"):
        torch.testing.assert_close(one.parts[name], other.parts[name])
    for network in (a, b):
        for mine, theirs in zip(
            gradients(one.loss, network), gradients(other.loss, network), strict=True
        ):
            torch.testing.assert_close(mine, theirs)


def test_the_parts_add_up(batch):
    result = cps_step(Pair(Pixels(1), Pixels(2)), batch, progress=0.2, cps=CPS)
    parts = {name: float(value) for name, value in result.parts.items()}
    assert parts["pseudo"] > 0
    assert parts["weight"] == pytest.approx(ramp(0.2, CPS))
    assert float(result.loss.detach()) == pytest.approx(
        parts["supervised"] + parts["weight"] * parts["pseudo"]
    )


def test_weight_0_and_no_unlabelled_slices_are_supervised_training(batch):
    pair = Pair(Pixels(1), Pixels(2))
    a, b = pair(batch.slices[:2])
    wanted = ce_and_dice(a, batch.labels) + ce_and_dice(b, batch.labels)
    labelled = TwoStream(batch.slices[:2], batch.position[:2], batch.labels, batch.outside[:0])
    for given, weight in ((batch, 0.0), (labelled, 0.7)):
        result = cps_step(pair, given, progress=0.9, cps=CpsRecipe(weight=weight))
        torch.testing.assert_close(result.loss, wanted)
        assert set(result.parts) == {"supervised"}
        for mine, theirs in zip(gradients(result.loss, pair), gradients(wanted, pair), strict=True):
            torch.testing.assert_close(mine, theirs)


def test_pseudo_labels_carry_no_gradient(batch):
    """Each network learns from the other's labels as from fixed ones."""
    pair = Pair(Pixels(1), Pixels(2))
    nothing = replace(batch, labels=torch.full_like(batch.labels, IGNORE_ID))
    loss = cps_step(pair, nothing, progress=1.0, cps=CPS).loss
    with torch.no_grad():
        labels_a, labels_b = (logits[2:].argmax(1) for logits in pair(batch.slices))
    for network, labels in ((pair.a, labels_b), (pair.b, labels_a)):
        alone = CPS.weight * ce_and_dice(network(batch.slices[2:]), labels)
        for mine, theirs in zip(gradients(loss, network), gradients(alone, network), strict=True):
            torch.testing.assert_close(mine, theirs)


def test_networks_of_one_mind_have_nothing_to_teach_when_sure(batch):
    a = Pixels(1)
    with torch.no_grad():
        a.layer.weight.mul_(1e4)
    result = cps_step(Pair(a, a), batch, progress=1.0, cps=CPS)
    assert float(result.parts["pseudo"]) < 0.01


def test_unsure_pseudo_labels_are_passed_over(batch):
    shy = CpsRecipe(weight=0.7, confidence=0.999999)
    result = cps_step(Pair(Pixels(1), Pixels(2)), batch, progress=1.0, cps=shy)
    assert float(result.parts["pseudo"]) == 0


def test_pixels_outside_of_an_unlabelled_slice_teach_nothing(batch):
    outside = batch.outside.clone()
    outside[:, :, 3:] = True
    padded = batch.slices.clone()
    padded[2:, :, :, 3:] = 0.77
    pair = Pair(Pixels(1), Pixels(2))
    one = cps_step(pair, replace(batch, outside=outside), progress=1.0, cps=CPS)
    other = cps_step(pair, replace(batch, outside=outside, slices=padded), progress=1.0, cps=CPS)
    torch.testing.assert_close(one.loss, other.loss)
    assert float(one.parts["pseudo"]) > 0


def test_the_ramp_climbs_to_the_weight_over_its_share_of_the_run():
    assert ramp(0.0, CPS) == pytest.approx(0.7 * math.exp(-5))
    assert ramp(0.2, CPS) == pytest.approx(0.7 * math.exp(-1.25))
    assert ramp(0.4, CPS) == ramp(1.0, CPS) == 0.7
    steps = [ramp(step / 100, CPS) for step in range(101)]
    assert steps == sorted(steps)
    assert ramp(0.0, CpsRecipe(weight=0.7, ramp_share=0)) == 0.7


@pytest.fixture
def make(scans, make_recipe):
    """Two labelled scans, one unlabelled, one standing for phantoms."""

    def build(*, unlabelled=True, phantoms=False, **training):
        return TwoStreamBatches(
            scans[:2],
            phantoms=scans[3:] if phantoms else (),
            unlabelled=scans[2:3] if unlabelled else (),
            recipe=make_recipe(**{"batch": 3, "batch_unlabelled": 2, **training}),
        )

    return build


def equal(one, other):
    return all(torch.equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))


def test_a_batch_is_a_function_of_its_step_alone(make):
    batches = make()
    first = batches(7)
    batches(8)
    assert equal(first, batches(7))
    assert equal(first, make()(7))
    assert not equal(first, batches(8))
    assert not equal(first, make(seed=1)(7))


def test_a_batch_holds_labelled_slices_first(make):
    batch = make()(0)
    assert batch.slices.shape == (5, 3, 48, 64)
    assert batch.slices.dtype == torch.float32
    assert batch.slices.is_contiguous(memory_format=torch.channels_last)
    assert 0 <= float(batch.slices.min()) <= float(batch.slices.max()) <= 1
    assert batch.labels.shape == (3, 48, 64)
    assert batch.labels.dtype == torch.int64
    assert batch.position.shape == (5,)
    assert 0 <= float(batch.position.min()) <= float(batch.position.max()) <= 1
    known = batch.labels[batch.labels != IGNORE_ID]
    assert 0 < int(known.max()) <= 13
    assert batch.outside.shape == (2, 48, 64)
    alone = make(unlabelled=False)(0)
    assert alone.slices.shape == (3, 3, 48, 64)
    assert alone.outside.shape == (0, 48, 64)


def test_phantoms_are_a_share_of_the_labelled_slices(make, monkeypatch):
    drawn = []

    def remember(scans, *args, **options):
        drawn.append(scans[0].name)
        return original(scans, *args, **options)

    original = module.draw_slice
    monkeypatch.setattr(module, "draw_slice", remember)
    for share, wanted in ((0.0, 0), (0.5, 15), (1.0, 30)):
        drawn.clear()
        batches = make(phantoms=True, unlabelled=False, phantom_share=share)
        for step in range(10):
            batches(step)
        assert drawn.count("phantom 3") == pytest.approx(wanted, abs=6 if share == 0.5 else 0)


def test_labels_of_unlabelled_scans_are_never_looked_at(scans, make, make_recipe):
    bare = [CachedScan(scan.name, scan.slices, None, scan.step_mm) for scan in scans[2:3]]
    batches = make()
    blind = TwoStreamBatches(scans[:2], phantoms=(), unlabelled=bare, recipe=batches.recipe)
    for step in range(4):
        assert equal(batches(step), blind(step))
