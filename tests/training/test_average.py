"""An averaged network follows the trained one as slowly as it is told."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from slicekit.training.average import follow


@pytest.fixture
def pair():
    """Two networks of one build with nothing in common."""
    old = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    new = copy.deepcopy(old)
    with torch.no_grad():
        for parameter in new.parameters():
            parameter.add_(torch.rand_like(parameter) + 1)
    new(torch.rand(2, 1, 5, 5))  # moves the running mean and counts a batch
    return old, new


def test_a_decay_of_0_copies(pair):
    old, new = pair
    follow(old, new, decay=0.0)
    for name, tensor in new.state_dict().items():
        assert torch.equal(old.state_dict()[name], tensor), name


def test_a_decay_of_1_freezes_all_but_counts(pair):
    old, new = pair
    before = {name: tensor.clone() for name, tensor in old.state_dict().items()}
    follow(old, new, decay=1.0)
    for name, tensor in old.state_dict().items():
        wanted = new.state_dict()[name] if name.endswith("tracked") else before[name]
        assert torch.equal(tensor, wanted), name


def test_between_them_it_is_the_weighted_mean(pair):
    old, new = pair
    before = {name: tensor.clone() for name, tensor in old.state_dict().items()}
    trained = {name: tensor.clone() for name, tensor in new.state_dict().items()}
    follow(old, new, decay=0.75)
    for name, tensor in old.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, 0.75 * before[name] + 0.25 * trained[name])
        assert torch.equal(new.state_dict()[name], trained[name])  # the trained one stays


def test_integer_buffers_are_copied_and_no_gradient_flows(pair):
    old, new = pair
    assert int(old[1].num_batches_tracked) == 0
    follow(old, new, decay=0.9)
    assert int(old[1].num_batches_tracked) == 1
    assert all(parameter.grad_fn is None for parameter in old.parameters())
    new[1].num_batches_tracked.add_(1)
    assert int(old[1].num_batches_tracked) == 1  # a copy, not the same tensor
