"""The engine gives what the textbook gives: same masks, same numbers but for rounding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from textbook_stcn import aggregate, carry, read_memory

from slicekit.checkpoint import load_weights
from slicekit.data.phantom import make_phantom
from slicekit.inference.guides import Guide
from slicekit.inference.memory import MemoryBank
from slicekit.inference.model import build_network
from slicekit.inference.propagate import propagate
from slicekit.inference.resample import most_likely
from slicekit.inference.settings import PropagateSettings
from slicekit.networks import build, soft_aggregate
from slicekit.windows import three_channels

WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "ct_abdomen_propagator.safetensors"
SLICE_MM = 3.0


def remember(keys, values, *, top_k):
    """A bank of keys (t, 1, ck, h, w) and values (t, 1, k, cv, h, w)."""
    bank = MemoryBank.like(keys[0], values[0], slots=len(keys), top_k=top_k)
    bank.remember_guide(keys[0], values[0])
    for key, value in zip(keys[1:], values[1:], strict=True):
        bank.remember(key, value)
    return bank


def flat(slices):
    """Slices (t, 1, ..., h, w) as one table (..., t h w)."""
    return torch.cat([one[0].flatten(-2) for one in slices], dim=-1)


@pytest.mark.parametrize("top_k", [1, 20, 10_000])
@pytest.mark.parametrize("objects", [1, 3])
@pytest.mark.parametrize("slices", [1, 6])
def test_the_bank_reads_what_the_textbook_reads(slices, objects, top_k):
    torch.manual_seed(slices)
    keys = torch.randn(slices, 1, 64, 5, 7)
    values = torch.randn(slices, 1, objects, 24, 5, 7)
    query = torch.randn(1, 64, 6, 4)
    read = remember(keys, values, top_k=top_k).read(query)
    wanted = read_memory(flat(keys), flat(values), query[0].flatten(1), top_k=top_k)
    torch.testing.assert_close(read[0].flatten(2), wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("objects", [1, 3])
def test_objects_compete_as_in_the_textbook(objects):
    torch.manual_seed(objects)
    probabilities = torch.rand(objects, 9, 8) ** 3
    shares = soft_aggregate(probabilities[None])[0]
    torch.testing.assert_close(shares, aggregate(probabilities), atol=1e-6, rtol=0)


def walk(network, frames, labels, runtime, *, every, **settings):
    """The engine from one guide on slice 0, to the end: probabilities and labels a slice."""
    objects = frozenset(range(1, int(labels.max()) + 1))
    drawn = []

    def decide(probabilities):
        drawn.append(probabilities)
        return most_likely(probabilities)

    answers = propagate(
        lambda z: frames[z], [Guide(0, labels, objects)], network,
        length=len(frames), slice_mm=SLICE_MM, runtime=runtime, decide=decide,
        settings=PropagateSettings(
            memory_every_mm=1e6 if every is None else every * SLICE_MM, vanish_mm=1e6, **settings
        ),
    )  # fmt: skip
    found = {answer.z: answer.labels for answer in answers}
    assert np.array_equal(found[0], labels)
    return drawn, [found[z] for z in range(1, len(frames))]


def expect_same(network, frames, labels, runtime, *, every, close, top_k=20, **settings):
    """Hold the engine to the textbook on a whole walk; return the textbook's labels."""
    masks = torch.stack([torch.from_numpy(labels == n).float() for n in range(1, labels.max() + 1)])
    steps = carry(network, frames, masks, every=every, top_k=top_k)
    drawn, found = walk(network, frames, labels, runtime, every=every, top_k=top_k, **settings)
    assert len(drawn) == len(found) == len(steps)
    for step, shares, label in zip(steps, drawn, found, strict=True):
        torch.testing.assert_close(shares, step.shares, atol=close, rtol=0)
        first, second = step.shares.topk(2, dim=0).values
        sure = (first - second > 2 * close).numpy()  # else a rounding may decide
        assert sure.mean() > 0.95
        assert np.array_equal(label[sure], step.shares.argmax(dim=0).numpy()[sure])
    return np.stack([step.shares.argmax(dim=0).numpy() for step in steps])


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(4)
    network = build("stcn", "tiny").eval()
    for parameter in network.decoder.parameters():
        parameter.data *= 1.5
    torch.nn.init.constant_(network.decoder.pred.bias, 0.1)  # random weights, yet it draws
    return network


def some_slices(*, objects, size, length):
    random = torch.Generator().manual_seed(objects)
    frames = torch.rand(length, 3, size[0] + 4, size[1] + 4, generator=random)
    frames = torch.nn.functional.avg_pool2d(frames, 5, stride=1)
    labels = np.zeros(size, dtype=np.uint8)
    for n in range(objects):
        labels[6 + 9 * n : 14 + 9 * n, 3 + 5 * n : 25 + 5 * n] = n + 1
    return frames, labels


@pytest.mark.parametrize("every", [None, 1, 2, 3])
@pytest.mark.parametrize("objects", [1, 3])
@pytest.mark.parametrize("top_k", [20, 1000])  # a slice has 12 places
def test_a_walk_is_that_of_the_textbook(tiny, runtime, top_k, objects, every):
    frames, labels = some_slices(objects=objects, size=(45, 58), length=7)
    found = expect_same(tiny, frames, labels, runtime, every=every, close=1e-5, top_k=top_k)
    assert len(np.unique(found)) > 1


def test_objects_in_small_groups_walk_as_in_the_textbook(tiny, runtime):
    frames, labels = some_slices(objects=3, size=(48, 64), length=5)
    expect_same(tiny, frames, labels, runtime, every=1, close=1e-5, objects_at_once=2)


@pytest.fixture(scope="module")
def trained():
    weights = load_weights(WEIGHTS)
    network = build_network(weights.recipe).eval()
    network.load_state_dict(weights.state)
    return network, weights.recipe.input


@pytest.mark.parametrize("every", [None, 2])
def test_trained_weights_walk_as_in_the_textbook(trained, runtime, every):
    network, recipe = trained
    made = make_phantom(np.random.default_rng(1), shape=(24, 120, 136), spacing_mm=(7.0, 3.0, 3.0))
    start, count = 12, 6
    images = made.image.array[start : start + count].astype(np.float32)
    frames = torch.stack(
        [torch.from_numpy(three_channels(image, recipe.three_windows)) for image in images]
    )
    shown = np.unique(made.labels.array[start])
    labels = np.searchsorted(shown, made.labels.array[start]).astype(np.uint8)  # without gaps
    assert labels.max() >= 6
    found = expect_same(network, frames, labels, runtime, every=every, close=1e-4)
    assert set(np.unique(found)) >= {0, 1, 2, 3}
