from __future__ import annotations

import pytest
import torch

from slicekit.errors import RecipeError, ShapeError
from slicekit.networks import build, deeplabv3plus
from slicekit.networks.deeplab import PooledNorm


def test_the_paper_preset_counts_as_the_paper_does() -> None:
    with torch.device("meta"):
        network = build("deeplabv3plus", "paper", classes=14)
    assert sum(parameter.numel() for parameter in network.parameters()) == 11_683_526


def test_pooled_norm_is_batch_norm_but_for_a_batch_of_one() -> None:
    torch.manual_seed(0)
    ours, plain = PooledNorm(4), torch.nn.BatchNorm2d(4)
    pooled = torch.rand(3, 4, 1, 1)
    assert torch.equal(ours(pooled), plain(pooled))
    alone = ours(pooled[:1])
    ours.eval()
    torch.testing.assert_close(alone, ours(pooled[:1]))


def test_a_batch_of_one_leaves_the_running_mean_alone() -> None:
    norm = PooledNorm(4)
    norm(torch.rand(1, 4, 1, 1))
    assert torch.equal(norm.running_mean, torch.zeros(4))


def test_a_position_is_accepted_and_ignored() -> None:
    network = deeplabv3plus("tiny", classes=3).eval()
    slices = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(network(slices, torch.tensor([0.0, 1.0])), network(slices))
    with pytest.raises(ShapeError, match="position must be"):
        network(slices, torch.rand(3))


def test_an_unknown_preset_names_the_likely_one() -> None:
    with pytest.raises(RecipeError, match="did you mean 'paper'"):
        deeplabv3plus("papper", classes=3)
