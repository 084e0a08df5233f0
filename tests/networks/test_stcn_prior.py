"""What the decoder is told of the neighbouring slice, where a network takes it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from slicekit.errors import ShapeError
from slicekit.networks import STCN, stcn
from slicekit.networks.stcn import PRESETS


@pytest.fixture(scope="module")
def network() -> STCN:
    torch.manual_seed(0)
    return STCN(replace(PRESETS["tiny"], prior=True)).eval()


@pytest.fixture(scope="module")
def plain() -> STCN:
    torch.manual_seed(0)
    return stcn("tiny").eval()


def asked(network: STCN, *, objects: int = 3, size: tuple[int, int] = (32, 48)):
    """A readout of some objects, and the features of two slices."""
    generator = torch.Generator().manual_seed(1)
    with torch.inference_mode():
        features = network.encode_key(torch.rand(2, 3, *size, generator=generator))
    shape = (2, objects, network.config.value_dim, size[0] // 16, size[1] // 16)
    return torch.randn(shape, generator=generator), features


def priors(objects: int, size: tuple[int, int] = (32, 48)) -> torch.Tensor:
    return 2 * torch.rand(2, objects, *size, generator=torch.Generator().manual_seed(2)) - 1


@pytest.mark.parametrize("preset", ["paper", "small", "tiny"])
def test_the_published_shapes_hold_no_prior(preset: str) -> None:
    with torch.device("meta"):
        names = stcn(preset).state_dict()
    assert not [name for name in names if "prior" in name]


def test_the_region_preset_is_the_small_one_and_its_prior() -> None:
    with torch.device("meta"):
        small, region = stcn("small").state_dict(), stcn("region").state_dict()
    shapes = {name: value.shape for name, value in region.items() if "decoder.prior." not in name}
    assert shapes == {name: value.shape for name, value in small.items()}
    assert len(region) == len(small) + 6  # three convolutions


def test_a_network_without_prior_ignores_one(plain: STCN) -> None:
    readout, features = asked(plain)
    with torch.inference_mode():
        without = plain.decode(readout, features)
        given = plain.decode(readout, features, priors(3))
        wrong = plain.decode(readout, features, torch.zeros(1, 1, 3, 5))
    assert torch.equal(without, given)
    assert torch.equal(without, wrong)


def test_a_prior_changes_what_is_said_and_none_is_an_answer_too(network: STCN) -> None:
    readout, features = asked(network)
    with torch.inference_mode():
        without = network.decode(readout, features)
        given = network.decode(readout, features, priors(3))
        unknown = network.decode(readout, features, torch.zeros(2, 3, 32, 48))
    assert without.shape == given.shape == unknown.shape == (2, 3, 32, 48)
    assert without.isfinite().all() and unknown.isfinite().all()
    assert not torch.allclose(without, given, atol=1e-4)
    assert not torch.allclose(unknown, given, atol=1e-4)


def test_without_a_prior_the_decoder_is_the_published_one(network: STCN) -> None:
    shared = {k: v for k, v in network.state_dict().items() if "decoder.prior." not in k}
    other = stcn("tiny").eval()
    other.load_state_dict(shared)
    readout, features = asked(network)
    with torch.inference_mode():
        assert torch.equal(network.decode(readout, features), other.decode(readout, features))


def test_a_prior_works_where_it_lies() -> None:
    torch.manual_seed(3)
    network = STCN(replace(PRESETS["tiny"], prior=True)).eval()
    readout, features = asked(network, objects=1, size=(128, 128))
    here = torch.zeros(2, 1, 128, 128)
    here[:, :, :16, :16] = 1
    with torch.inference_mode():
        change = network.decode(readout, features, here) - network.decode(
            readout, features, torch.zeros_like(here)
        )
    assert change[..., :16, :16].abs().max() > 0
    assert change[..., 112:, 112:].abs().max() < 0.5 * change[..., :16, :16].abs().max()


@pytest.mark.parametrize("objects", [1, 3, 5])
def test_each_object_has_its_own_prior_whatever_their_number(network: STCN, objects: int) -> None:
    readout, features = asked(network, objects=objects)
    prior = priors(objects)
    with torch.inference_mode():
        together = network.decode(readout, features, prior)
        alone = [
            network.decode(readout[:, n : n + 1], features, prior[:, n : n + 1])
            for n in range(objects)
        ]
    assert together.shape == (2, objects, 32, 48)
    torch.testing.assert_close(together, torch.cat(alone, dim=1), atol=1e-5, rtol=1e-5)


def test_a_batch_of_two_is_two_batches_of_one(network: STCN) -> None:
    readout, features = asked(network)
    prior = priors(3)
    with torch.inference_mode():
        together = network.decode(readout, features, prior)
        for n in range(2):
            one = network.decode(
                readout[n : n + 1],
                type(features)(*(p[n : n + 1] for p in features)),
                prior[n, None],
            )
            torch.testing.assert_close(together[n : n + 1], one, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "shape", [(2, 3, 32, 32), (2, 2, 32, 48), (1, 3, 32, 48), (2, 3, 2, 3), (2, 32, 48)]
)
def test_a_prior_must_lie_on_the_slices_of_its_objects(
    network: STCN, shape: tuple[int, ...]
) -> None:
    readout, features = asked(network)
    with pytest.raises(ShapeError, match=r"prior must be \(2, 3, 32, 48\)"):
        network.decode(readout, features, torch.zeros(shape))


def test_channels_last_and_another_precision_say_the_same(network: STCN) -> None:
    readout, features = asked(network)
    prior = priors(3)
    last = type(features)(
        *(part.contiguous(memory_format=torch.channels_last) for part in features)
    )
    with torch.inference_mode():
        wanted = network.decode(readout, features, prior)
        got = network.decode(readout, last, prior.double())
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)


def test_every_weight_of_the_prior_learns() -> None:
    torch.manual_seed(4)
    network = STCN(replace(PRESETS["tiny"], prior=True)).train()
    features = network.encode_key(torch.rand(2, 3, 32, 48))
    logits = network.decode(torch.randn(2, 3, 16, 2, 3), features, priors(3))
    logits.square().mean().backward()
    for parameter in network.decoder.prior.parameters():
        assert float(parameter.grad.abs().sum()) > 0
