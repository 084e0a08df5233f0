from __future__ import annotations

import torch

from slicekit.networks import Pair, build


def test_the_paper_pair_counts_as_the_paper_does() -> None:
    with torch.device("meta"):
        pair = Pair(*(build(kind, "paper", classes=14) for kind in ("transunet", "deeplabv3plus")))
    assert sum(parameter.numel() for parameter in pair.parameters()) == 117_597_362


def test_a_pair_says_what_its_networks_say() -> None:
    torch.manual_seed(0)
    a, b = (build(kind, "tiny", classes=3).eval() for kind in ("transunet", "deeplabv3plus"))
    slices = torch.rand(2, 3, 32, 48)
    with torch.inference_mode():
        said = Pair(a, b)(slices, torch.tensor([0.2, 0.4]))
        assert torch.equal(said.a, a(slices))
        assert torch.equal(said.b, b(slices))
