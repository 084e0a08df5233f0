from __future__ import annotations

import pytest
import timm
import torch

from slicekit.errors import RecipeError, ShapeError
from slicekit.networks import build, transunet


def test_the_paper_preset_counts_as_the_paper_does() -> None:
    with torch.device("meta"):
        network = build("transunet", "paper", classes=14)
    assert sum(parameter.numel() for parameter in network.parameters()) == 105_913_836


def test_the_paper_encoder_is_the_published_hybrid() -> None:
    with torch.device("meta"):
        ours = transunet("paper", classes=14).encoder
        theirs = timm.create_model(
            "vit_base_r50_s16_224", pretrained=False, class_token=False, global_pool="",
            img_size=512, num_classes=0,
        )  # fmt: skip
    shapes = {name: value.shape for name, value in ours.state_dict().items()}
    assert shapes == {name: value.shape for name, value in theirs.state_dict().items()}


def test_our_walk_through_the_encoder_is_timms_own() -> None:
    torch.manual_seed(0)
    network = transunet("tiny", classes=3).eval()
    slices = torch.rand(2, 3, 64, 64)  # the size of the learned positions, so timm takes it too
    with torch.inference_mode():
        coarse, skips = network.encode(*network.prepare(slices)[0])
        tokens = network.encoder.forward_features(slices)
    torch.testing.assert_close(coarse.flatten(2).transpose(1, 2), tokens)
    assert [tuple(skip.shape[-2:]) for skip in skips] == [(8, 8), (16, 16), (32, 32)]


def test_the_position_matters_where_it_is_asked_for() -> None:
    torch.manual_seed(0)
    told, untold = (transunet("tiny", classes=3, position=yes).eval() for yes in (True, False))
    slices, ends = torch.rand(2, 3, 32, 32), torch.tensor([0.0, 1.0])
    with torch.inference_mode():
        assert not torch.equal(told(slices, ends), told(slices))
        assert torch.equal(told(slices, torch.tensor([0.5, 0.5])), told(slices))
        assert torch.equal(untold(slices, ends), untold(slices))


@pytest.mark.parametrize("slices", [torch.rand(3, 32, 32), torch.rand(1, 1, 32, 32)])
def test_other_axes_are_refused(slices: torch.Tensor) -> None:
    with pytest.raises(ShapeError, match="slices must be"):
        transunet("tiny", classes=3)(slices)


def test_one_position_a_slice_is_wanted() -> None:
    with pytest.raises(ShapeError, match="position must be"):
        transunet("tiny", classes=3)(torch.rand(2, 3, 32, 32), torch.rand(1))


def test_an_unknown_preset_names_the_likely_one() -> None:
    with pytest.raises(RecipeError, match="did you mean 'small'"):
        transunet("smal", classes=3)
