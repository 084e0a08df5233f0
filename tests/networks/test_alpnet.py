"""What stands for a class, and how places are compared with it; features are made by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from slicekit.errors import RecipeError, ShapeError
from slicekit.networks import ALPNet, alpnet, build
from slicekit.networks.alpnet import SHARPNESS

SIDE = 64  # pixels: 8 x 8 places


@pytest.fixture
def network() -> ALPNet:
    torch.manual_seed(0)
    return alpnet("tiny").eval()


def box(top: int, bottom: int, left: int, right: int) -> Tensor:
    """A mask (1, 1, 1, y, x), edges counted in places of 8 pixels."""
    mask = torch.zeros(1, 1, 1, SIDE, SIDE)
    mask[..., 8 * top : 8 * bottom, 8 * left : 8 * right] = 1
    return mask


def two_stuffs(mask: Tensor) -> Tensor:
    """Features (1, 1, 2, 8, 8): one direction inside of a mask, another outside."""
    inside = torch.nn.functional.avg_pool2d(mask[0], 8)
    return torch.cat([inside, 1 - inside], dim=1)[None]


def test_full_windows_stand_for_a_class_and_one_mean_for_the_organ(network: ALPNet) -> None:
    mask = box(0, 4, 0, 4)
    known = network.prototypes(two_stuffs(mask), mask)
    # 16 windows of 2 x 2 places, then the background's mean and the organ's
    assert known.vectors.shape == (1, 18, 2)
    assert known.used[0, :, :16].sum(dim=1).tolist() == [12, 4]
    assert known.used[0, :, 16:].tolist() == [[False, False], [False, True]]


def test_what_nobody_knows_stands_for_nothing(network: ALPNet) -> None:
    mask = box(0, 4, 0, 4)
    known = torch.ones(1, 1, SIDE, SIDE, dtype=torch.bool)
    told = network.prototypes(two_stuffs(mask), mask, known)
    assert torch.equal(told.used, network.prototypes(two_stuffs(mask), mask).used)
    known[..., 32:, :] = False  # of 12 windows of background 8 are not known
    used = network.prototypes(two_stuffs(mask), mask, known).used
    assert used[0, :, :16].sum(dim=1).tolist() == [4, 4]


def test_windows_are_larger_in_training(network: ALPNet) -> None:
    mask = box(0, 4, 0, 4)
    known = network.train().prototypes(two_stuffs(mask), mask)
    assert known.used[0].tolist() == [
        [False, True, True, True, False, False], [True, False, False, False, False, True],
    ]  # fmt: skip


def test_a_window_counts_when_more_than_95_percent_of_it_is_inside(network: ALPNet) -> None:
    mask = box(0, 2, 0, 2)  # one window of 16 x 16 pixels
    mask[..., 0, :12] = 0  # 12 of 256 are missing: 95.3 %
    assert network.prototypes(two_stuffs(mask), mask).used[0, 1, :16].sum() == 1
    mask[..., 0, 12] = 0  # 94.9 %
    assert network.prototypes(two_stuffs(mask), mask).used[0, 1, :16].sum() == 0


def test_an_organ_smaller_than_a_window_has_its_mean_alone(network: ALPNet) -> None:
    mask = torch.zeros(1, 1, 1, SIDE, SIDE)
    mask[..., 3:6, 3:6] = 1
    features = torch.rand(1, 1, 2, 8, 8)
    known = network.prototypes(features, mask)
    assert known.used[0, 1].nonzero().flatten().tolist() == [17]
    wanted = torch.nn.functional.normalize(features[0, 0, :, 0, 0], dim=0)
    torch.testing.assert_close(known.vectors[0, 17], wanted)


def test_the_background_has_its_mean_where_no_window_is_left(network: ALPNet) -> None:
    mask = box(0, 8, 0, 7)  # half of the last windows
    known = network.prototypes(two_stuffs(mask), mask)
    assert known.used[0, 0].nonzero().flatten().tolist() == [16]


def test_the_same_stuff_is_found_elsewhere(network: ALPNet) -> None:
    mask, other = box(0, 4, 0, 4), box(3, 7, 2, 6)
    logits = network.compare(network.prototypes(two_stuffs(mask), mask), two_stuffs(other)[0])
    inside = torch.nn.functional.avg_pool2d(other[0, 0], 8)[0] == 1
    assert torch.equal(logits.argmax(dim=1)[0] == 1, inside)
    torch.testing.assert_close(logits[0, 1][inside], torch.full((16,), SHARPNESS))
    torch.testing.assert_close(logits[0, 1][~inside], torch.zeros(48), atol=1e-4, rtol=0)


def test_prototypes_of_several_supports_are_joined(network: ALPNet) -> None:
    mask = box(0, 4, 0, 4)
    features = two_stuffs(mask)
    other = features.flip(2)  # the organ looks as the background does in the first
    both = network.prototypes(torch.cat([features, other], dim=1), torch.cat([mask] * 2, dim=1))
    assert both.vectors.shape[1] == 36
    logits = network.compare(both, features[0])
    torch.testing.assert_close(logits[0, 0], logits[0, 1], atol=0.1, rtol=0)


def test_a_support_without_the_organ_teaches_the_background_only(network: ALPNet) -> None:
    mask = box(0, 4, 0, 4)
    masks = torch.cat([mask, torch.zeros_like(mask)], dim=1)
    known = network.prototypes(two_stuffs(mask).repeat(1, 2, 1, 1, 1), masks)
    assert known.used[0].sum(dim=1).tolist() == [12 + 16, 4 + 1]


def test_what_no_support_shows_has_the_lowest_logit(network: ALPNet) -> None:
    empty = torch.zeros(1, 1, 1, SIDE, SIDE)
    features = torch.rand(1, 1, 2, 8, 8)
    logits = network.compare(network.prototypes(features, empty), features[0])
    assert (logits[:, 1] == -SHARPNESS).all()
    assert (logits[:, 0] > 0).all()


def test_the_background_is_what_is_in_no_class(network: ALPNet) -> None:
    masks = torch.cat([box(0, 4, 0, 4), box(4, 8, 4, 8)], dim=2)
    known = network.prototypes(torch.rand(1, 1, 3, 8, 8), masks)
    assert known.used[0, :, :16].sum(dim=1).tolist() == [8, 4, 4]
    assert known.used[0, :, :16].sum(dim=0).tolist() == [1] * 16


def test_random_weights_tell_bright_from_dark(network: ALPNet) -> None:
    slices = torch.full((1, 3, 64, 64), 0.1)
    slices[..., 16:48, 16:48] = 0.9
    masks = (slices[:, :1] > 0.5).float()[:, None]
    with torch.inference_mode():
        guess = network(slices[:, None], masks, slices).argmax(dim=1)[0] == 1
    truth = masks[0, 0, 0] == 1
    assert 2 * (guess & truth).sum() / (guess.sum() + truth.sum()) > 0.6  # all: 0.4


def test_features_lie_at_an_eighth() -> None:
    network = build("alpnet", "small").eval()
    with torch.inference_mode():
        assert network.encode(torch.zeros(1, 3, 256, 256)).shape == (1, 256, 32, 32)


def test_axes_that_disagree_are_refused(network: ALPNet) -> None:
    slices = torch.zeros(1, 2, 3, 32, 32)
    with pytest.raises(ShapeError, match="masks must be"):
        network(slices, torch.zeros(1, 1, 1, 32, 32), slices[:, 0])
    with pytest.raises(ShapeError, match="query must be"):
        network(slices, torch.zeros(1, 2, 1, 32, 32), slices)


def test_presets_are_named() -> None:
    with pytest.raises(RecipeError, match="unknown preset 'resnet5' of alpnet"):
        alpnet("resnet5")
