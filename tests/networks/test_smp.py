from __future__ import annotations

import copy
import socket

import pytest
import torch
from torch import nn

from slicekit.errors import RecipeError, ShapeError
from slicekit.networks import SmpNetwork, build, smp
from slicekit.networks.smp import ARCHITECTURES

TINY = "tu-test_resnet"
BOUND = {"DPT": "tu-test_vit"}
"""Encoders of architectures that take no ordinary one."""


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("it asked the network"))


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_every_architecture_takes_any_size_and_trains_on_a_batch_of_one(architecture: str) -> None:
    torch.manual_seed(0)
    network = smp(architecture, BOUND.get(architecture, TINY), classes=3)
    assert network.training
    logits = network(torch.rand(1, 3, 33, 70), torch.tensor([0.3]))
    logits.mean().backward()
    assert logits.shape == (1, 3, 33, 70)
    network.eval()
    with torch.inference_mode():
        for size in ((1, 1), (150, 20)):
            logits = network(torch.rand(2, 3, *size))
            assert logits.shape == (2, 3, *size)
            assert logits.isfinite().all()


@pytest.mark.parametrize(
    ("architecture", "encoder"),
    [
        ("Unet", "mit_b0"),
        ("FPN", "tu-convnext_atto"),
        ("Unet", "tu-hrnet_w18_small"),
        ("Unet", "tu-swin_tiny_patch4_window7_224"),  # told to take other sizes than 224
        ("Unet", "tu-maxvit_pico_rw_256"),  # its windows ask for multiples of 256
    ],
)
def test_encoders_of_both_libraries_take_any_size(architecture: str, encoder: str) -> None:
    network = smp(architecture, encoder, classes=2).eval()
    with torch.inference_mode():
        assert network(torch.rand(1, 3, 41, 90)).shape == (1, 2, 41, 90)


def test_pooling_pyramids_are_given_slices_they_can_pool() -> None:
    pan, unet = (smp(name, TINY, classes=2) for name in ("PAN", "Unet"))
    assert (pan.multiple, pan.least) == (16, 128)
    assert (unet.multiple, unet.least) == (32, 64)


def test_norms_behind_a_global_pooling_use_what_they_know_of_earlier_batches() -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(3)
    norm.running_mean += 2
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), norm)
    network = SmpNetwork(pooled, classes=3, multiple=1, least=1)
    slices = torch.rand(1, 3, 4, 4)
    alone = network.train()(slices)
    assert norm.training
    assert torch.equal(norm.running_mean, torch.full((3,), 2.0))
    torch.testing.assert_close(alone, network.eval()(slices))
    assert not norm.training
    network.train()(slices.repeat(2, 1, 1, 1))
    assert not torch.equal(norm.running_mean, torch.full((3,), 2.0))
    twin = copy.deepcopy(network).train()
    twin(slices)
    assert twin.network[1].training


def test_unknown_names_are_refused_with_the_likely_one() -> None:
    with pytest.raises(RecipeError, match="architecture 'Unett'; did you mean 'Unet'"):
        smp("Unett", TINY, classes=2)
    with pytest.raises(RecipeError, match=r"'resnet1'; did you mean 'resnet1\d'\? .*and tu-NAME"):
        smp("Unet", "resnet1", classes=2)
    with pytest.raises(RecipeError, match="did you mean 'tu-convnext_atto'"):
        smp("Unet", "convnext_atto", classes=2)
    with pytest.raises(RecipeError, match="did you mean 'tu-convnext_atto'"):
        smp("Unet", "tu-convnext_ato", classes=2)
    for reference in ("tu-hf_hub:timm/resnet18", "hf-hub:timm/resnet18", "timm-resnest14d"):
        with pytest.raises(RecipeError, match="unknown encoder"):
            smp("Unet", reference, classes=2)


@pytest.mark.parametrize(
    ("architecture", "encoder"),
    [("Linknet", "mit_b0"), ("Unet", "tu-test_vit"), ("PAN", "vgg11"), ("DPT", "resnet18")],
)
def test_what_does_not_go_together_is_told(architecture: str, encoder: str) -> None:
    with pytest.raises(RecipeError, match=rf"{architecture} cannot be built on '{encoder}' .*\(.+"):
        smp(architecture, encoder, classes=2)


def test_both_names_are_wanted() -> None:
    assert isinstance(build("smp", classes=2, architecture="FPN", encoder=TINY), SmpNetwork)
    with pytest.raises(RecipeError, match="an architecture and an encoder"):
        build("smp", classes=2, architecture="FPN")
    with pytest.raises(RecipeError, match="no slice position"):
        build("smp", classes=2, architecture="FPN", encoder=TINY, position=True)


def test_other_axes_are_refused() -> None:
    network = smp("FPN", TINY, classes=2)
    with pytest.raises(ShapeError, match="slices must be"):
        network(torch.rand(1, 1, 32, 32))
    with pytest.raises(ShapeError, match="position must be"):
        network(torch.rand(2, 3, 32, 32), torch.rand(1))
