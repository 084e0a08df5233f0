"""What a propagator learns from: clips by step number, and masks carried forward."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from slicekit.labels import IGNORE_ID
from slicekit.networks import build
from slicekit.training import propagator as module
from slicekit.training.propagator import ClipBatches, carry, propagation_step


@pytest.fixture
def make(scans, make_recipe):
    def build_batches(*, phantoms=False, **training):
        recipe = make_recipe("propagator", **training)
        return ClipBatches(scans[:2], phantoms=scans[2:] if phantoms else (), recipe=recipe)

    return build_batches


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build("stcn", "tiny").train()


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


def test_guides_are_one_channel_an_object(make):
    for step in range(4):
        batch = make(clips={"objects": 2, "degrade_share": 0.0})(step)
        assert batch.slices.shape == (2, 3, 3, 48, 64)
        assert batch.objects.shape == (2, 3, 48, 64)
        assert batch.guides.shape == (2, 2, 48, 64)
        assert 0 <= float(batch.slices.min()) <= float(batch.slices.max()) <= 1
        for number in (1, 2):
            wanted = (batch.objects[:, 0] == number).float()
            assert torch.equal(batch.guides[:, number - 1], wanted)


def test_gaps_grow_in_the_first_half_of_the_run(make, monkeypatch):
    reaches = []

    def remember(*args, reach, **options):
        reaches.append(reach)
        return original(*args, reach=reach, **options)

    original = module.draw_clip
    monkeypatch.setattr(module, "draw_clip", remember)
    batches = make(steps=100, batch=1)
    for step in (0, 25, 50, 99):
        batches(step)
    assert reaches == pytest.approx([0.3, 0.65, 1.0, 1.0])


def test_phantoms_are_a_share_of_the_clips(make):
    some, none = make(phantoms=True, phantom_share=1.0), make(phantoms=True, phantom_share=0.0)
    assert not equal(some(0), none(0))


def test_every_later_slice_gets_probabilities_that_sum_to_1(make, network):
    batch = make()(0)
    results = carry(network, batch.slices, batch.guides)
    assert len(results) == 2
    for logs in results:
        assert logs.shape == (2, 4, 48, 64)
        torch.testing.assert_close(logs.exp().sum(dim=1), torch.ones(2, 48, 64), atol=1e-4, rtol=0)


def test_slice_2_is_predicted_from_slice_1_alone(make, network):
    batch = make()(0)
    network.eval()
    with torch.no_grad():
        first, second = carry(network, batch.slices, batch.guides)
        (alone,) = carry(network, batch.slices[:, :2], batch.guides)
        other = batch.slices.clone()
        other[:, 2] = 0.5
        first_again, second_other = carry(network, other, batch.guides)
    torch.testing.assert_close(first, alone)
    torch.testing.assert_close(first, first_again)
    assert not torch.allclose(second, second_other)


def test_a_step_has_a_gradient_for_every_weight(make, network):
    recipe = make().recipe.training.clips
    result = propagation_step(network, make()(0), progress=0.0, average=network, clips=recipe)
    result.loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    parts = {name: float(value) for name, value in result.parts.items()}
    assert float(result.loss.detach()) == pytest.approx(
        parts["ce"] + recipe.lovasz_weight * parts["lovasz"], rel=1e-5
    )


def test_the_loss_looks_at_the_hardest_pixels_late_in_the_run(make, network):
    network.eval()
    batch, clips = make()(0), make().recipe.training.clips
    early, late = (
        propagation_step(network, batch, progress=progress, average=network, clips=clips).parts[
            "ce"
        ]
        for progress in (0.0, 0.99)
    )
    assert float(late) > float(early)


def test_unknown_pixels_do_not_count(make, network):
    network.eval()
    batch, clips = make()(0), make().recipe.training.clips
    hidden = batch.objects.clone()
    hidden[:, 1:, :20] = IGNORE_ID
    logs = carry(network, batch.slices, batch.guides)
    loss = propagation_step(
        network, replace(batch, objects=hidden), progress=0.0, average=network, clips=clips
    ).parts["ce"]
    wanted = sum(
        torch.nn.functional.nll_loss(
            one.log_softmax(1), hidden[:, t].long(), ignore_index=IGNORE_ID
        )
        for t, one in enumerate(logs, start=1)
    )
    assert float(loss) == pytest.approx(float(wanted.detach()), rel=1e-4)
    assert np.isfinite(float(loss))
