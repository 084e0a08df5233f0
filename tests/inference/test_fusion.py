import torch
from hypothesis import given
from hypothesis import strategies as st

from slicekit.inference.fusion import Seen, fuse, join, shrink

SHARE = st.floats(0, 1)


@given(SHARE, SHARE, SHARE)
def test_a_fused_probability_lies_between_both_and_mirrors(a, b, share):
    one, other = torch.tensor(a), torch.tensor(b)
    fused = fuse(one, other, share=share)
    assert min(a, b) - 1e-6 <= fused <= max(a, b) + 1e-6
    torch.testing.assert_close(fused, fuse(other, one, share=1 - share))


def test_distance_weighs_between_equally_sure_directions():
    assert fuse(torch.tensor(1.0), torch.tensor(0.0), share=0.9).item() == torch.tensor(0.9)


def test_the_undecided_direction_yields():
    assert fuse(torch.tensor(0.5), torch.tensor(0.0), share=0.5) < 0.05


def test_an_object_of_one_direction_counts_as_that_one_says():
    planes = torch.rand(2, 4, 6)
    there, back = Seen(3, (1, 2), planes), Seen(3, (2, 5), planes)
    joined = join(shrink(there, 1), back, share=0.25, size=(4, 6))
    assert joined.objects == (1, 2, 5)
    torch.testing.assert_close(joined.planes[0], planes[0], atol=1e-3, rtol=0)
    torch.testing.assert_close(joined.planes[2], planes[1], atol=1e-3, rtol=0)


def test_nothing_followed_back_leaves_the_way_there():
    there = Seen(3, (1,), torch.full((1, 5, 7), 0.75))
    joined = join(shrink(there, 2), Seen(3, (), torch.empty(0)), share=0.5, size=(5, 7))
    assert joined.planes.shape == (1, 5, 7)
    torch.testing.assert_close(joined.planes, torch.full((1, 5, 7), 0.75))
