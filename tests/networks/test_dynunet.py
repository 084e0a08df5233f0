"""The volumetric U-Net: MONAI's network, each of its weights once."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets.dynunet import DynUNet as Monai

from slicekit.errors import RecipeError, ShapeError
from slicekit.networks import DynUNet, build, expect_patch
from slicekit.networks.dynunet import PRESETS, dynunet


@pytest.fixture
def network():
    torch.manual_seed(0)
    return dynunet("tiny", classes=4).eval()


def test_it_is_the_network_of_monai_and_as_large(network):
    filters = PRESETS["tiny"].filters
    theirs = Monai(
        spatial_dims=3, in_channels=1, out_channels=4, kernel_size=[3] * 3, strides=[1, 2, 2],
        upsample_kernel_size=[2, 2], filters=filters,
    ).eval()  # fmt: skip
    missing, unknown = theirs.load_state_dict(network.state_dict(), strict=False)
    assert unknown == []
    assert all(name.startswith("skip_layers.") for name in missing)  # what it holds twice
    solid = torch.rand(2, 1, 8, 12, 16, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(network(solid), theirs(solid))


def test_a_state_dict_names_every_weight_once(network):
    state = network.state_dict()
    assert len({tensor.data_ptr() for tensor in state.values()}) == len(state)
    assert sum(tensor.numel() for tensor in state.values()) == sum(
        parameter.numel() for parameter in network.parameters()
    )


def test_the_size_of_the_paper():
    count = sum(p.numel() for p in build("dynunet", "paper", classes=14).parameters())
    assert count == 31_189_806


@pytest.mark.parametrize("size", [(4, 4, 8), (16, 8, 4), (12, 20, 24)])
def test_a_solid_comes_out_as_it_came_in(network, size):
    with torch.inference_mode():
        logits = network(torch.rand(1, 1, *size))
    assert logits.shape == (1, 4, *size)
    assert logits.isfinite().all()


def test_the_gradient_reaches_every_parameter(network):
    logits = network.train()(torch.rand(1, 1, 8, 8, 16))
    (logits * torch.randn_like(logits)).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def test_other_axes_are_refused(network):
    for shape in ((1, 8, 8, 8), (1, 3, 8, 8, 8)):
        with pytest.raises(ShapeError, match=r"solids must be \(b, 1, z, y, x\), got"):
            network(torch.zeros(shape))


@pytest.mark.parametrize(
    ("preset", "patch", "fits"),
    [
        ("paper", (128, 128, 128), True),
        ("paper", (32, 32, 64), True),
        ("paper", (100, 128, 128), False),
        ("paper", (32, 32, 32), False),
        ("small", (48, 32, 16), True),
        ("tiny", (4, 4, 4), False),
        ("tiny", (4, 4, 8), True),
    ],
)
def test_a_patch_must_go_through_all_levels(preset, patch, fits):
    if fits:
        expect_patch(preset, patch)
        return
    with pytest.raises(RecipeError, match=rf"'{preset}' must be multiples of .*got \[{patch[0]}"):
        expect_patch(preset, patch)


def test_patches_that_are_let_through_are_those_the_network_can_learn_from():
    network = dynunet("tiny", classes=2).train()
    assert isinstance(network, DynUNet)
    network(torch.rand(1, 1, 4, 4, 8)).sum().backward()
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        network(torch.rand(1, 1, 4, 4, 4))
