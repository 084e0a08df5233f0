from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.models.resnet import BasicBlock, Bottleneck

from slicekit.errors import ShapeError
from slicekit.networks.blocks import Cbam, ResBlock, pad_to_multiple, residual_stage

sides = st.integers(1, 70)


@given(sides, sides, st.sampled_from([1, 2, 16, 32]), st.sampled_from([1, 32]))
def test_padding_is_cut_off_again(y: int, x: int, multiple: int, least: int) -> None:
    slices = torch.rand(1, 2, y, x) + 1
    padded, box = pad_to_multiple(slices, multiple, least=least)
    assert torch.equal(box.cut(padded), slices)
    assert padded.sum() == pytest.approx(float(slices.sum()))
    for side in padded.shape[-2:]:
        assert side % multiple == 0
        assert side >= least
    assert padded.shape[-2] < max(y + multiple, least + 1)
    assert (box.top, box.left) == ((padded.shape[-2] - y) // 2, (padded.shape[-1] - x) // 2)


def test_a_slice_that_fits_is_not_copied() -> None:
    slices = torch.rand(1, 3, 32, 48)
    assert pad_to_multiple(slices, 16)[0] is slices


def test_the_smaller_half_of_an_odd_padding_comes_first() -> None:
    _, box = pad_to_multiple(torch.zeros(1, 3, 13, 16), 16)
    assert (box.top, box.left) == (1, 0)


def test_an_empty_slice_is_refused() -> None:
    with pytest.raises(ShapeError, match="at least one pixel"):
        pad_to_multiple(torch.zeros(1, 3, 0, 4), 16)


@pytest.mark.parametrize(("inputs", "outputs"), [(10, 6), (10, 10)])
def test_a_split_residual_block_equals_the_joined_one(inputs: int, outputs: int) -> None:
    torch.manual_seed(0)
    block = ResBlock(inputs, outputs)
    own, shared = torch.randn(6, 7, 5, 4), torch.randn(2, 3, 5, 4)
    joined = torch.cat([own, shared.repeat_interleave(3, dim=0)], dim=1)
    torch.testing.assert_close(block(own, shared), block(joined), atol=1e-5, rtol=1e-5)


def test_the_attention_gates_only_ever_damp() -> None:
    features = torch.randn(2, 32, 6, 5)
    gated = Cbam(32)(features)
    assert gated.shape == features.shape
    assert (gated.abs() <= features.abs()).all()


@pytest.mark.parametrize(("block", "outputs"), [(BasicBlock, 6), (Bottleneck, 24)])
def test_a_residual_stage_halves_and_widens(
    block: type[BasicBlock | Bottleneck], outputs: int
) -> None:
    stage = residual_stage(block, 4, 6, blocks=2, stride=2)
    assert stage(torch.rand(1, 4, 8, 8)).shape == (1, outputs, 4, 4)
