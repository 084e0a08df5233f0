from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from slicekit.errors import RecipeError, ShapeError
from slicekit.networks import attention_unet, build
from slicekit.networks.attention_unet import AttentionGate


def test_the_paper_preset_has_the_widths_of_a_u_net() -> None:
    with torch.device("meta"):
        network = build("attention-unet", "paper", classes=14)
        maps = [network.encoder[0](torch.rand(1, 3, 32, 32))]
        for stage in network.encoder[1:]:
            maps.append(stage(F.max_pool2d(maps[-1], 2)))
    assert [tuple(one.shape[1:]) for one in maps] == [
        (64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (1024, 2, 2),
    ]  # fmt: skip


def test_a_gate_is_the_additive_one_of_the_paper() -> None:
    torch.manual_seed(0)
    gate, skip, coarse = AttentionGate(6, 5), torch.randn(2, 6, 8, 12), torch.randn(2, 5, 4, 6)
    of_skip = F.conv2d(skip, gate.of_skip.weight, stride=2)
    of_coarse = F.conv2d(coarse, gate.of_coarse.weight, gate.of_coarse.bias)
    weights = torch.sigmoid(gate.weigh(torch.relu(of_skip + of_coarse)))
    weights = F.interpolate(weights, size=(8, 12), mode="bilinear")
    torch.testing.assert_close(gate(skip, coarse), skip * weights)


def test_what_a_gate_shuts_out_does_not_come_through() -> None:
    torch.manual_seed(0)
    network = attention_unet("tiny", classes=3).eval()
    slices = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        for gate in network.gates:
            gate.weigh.weight.zero_()
            gate.weigh.bias.fill_(-100)
        shut = network(slices)
        for block, fine in zip(network.decoder[:-1], (16, 16, 8), strict=True):
            block.conv1[0].weight[:, -fine:].normal_()  # of the skip connection
        assert torch.equal(network(slices), shut)
        network.gates[-1].weigh.bias.fill_(100)
        assert not torch.equal(network(slices), shut)


def test_a_position_is_accepted_and_ignored() -> None:
    network = attention_unet("tiny", classes=3).eval()
    slices = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(network(slices, torch.tensor([0.0, 1.0])), network(slices))
    with pytest.raises(ShapeError, match="position must be"):
        network(slices, torch.rand(3))
    with pytest.raises(ShapeError, match="slices must be"):
        network(slices[:, :1])


def test_an_unknown_preset_names_the_likely_one() -> None:
    with pytest.raises(RecipeError, match="of attention-unet; did you mean 'small'"):
        attention_unet("smal", classes=3)
