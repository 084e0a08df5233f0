from __future__ import annotations

import pytest
import torch

from slicekit.errors import RecipeError
from slicekit.networks import Committee, build

KINDS = ("transunet", "deeplabv3plus", "attention-unet")


def test_the_pair_of_the_paper_counts_as_the_paper_does() -> None:
    with torch.device("meta"):
        pair = Committee(*(build(kind, "paper", classes=14) for kind in KINDS[:2]))
    assert sum(parameter.numel() for parameter in pair.parameters()) == 117_597_362


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_committee_says_what_its_members_say(count: int) -> None:
    torch.manual_seed(0)
    members = tuple(build(kind, "tiny", classes=3).eval() for kind in KINDS[:count])
    committee = Committee(*members)
    slices, position = torch.rand(2, 3, 32, 48), torch.tensor([0.2, 0.4])
    with torch.inference_mode():
        said = committee(slices, position)
        alone = tuple(member(slices, position) for member in members)
    assert committee.members == members
    assert {name.split(".")[0] for name in committee.state_dict()} == set("abc"[:count])
    assert len(said) == count
    for mine, theirs in zip(said, alone, strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("count", [0, 4])
def test_none_and_four_are_refused(count: int) -> None:
    with pytest.raises(RecipeError, match=f"1 to 3 networks, got {count}"):
        Committee(*(torch.nn.Identity() for _ in range(count)))


def test_a_network_may_sit_there_twice() -> None:
    member = torch.nn.Identity()
    assert len(Committee(member, member).members) == 2
