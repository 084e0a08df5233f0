"""Following one object at a time through regions of interest."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from slicekit.data.region import Region
from slicekit.errors import BudgetError
from slicekit.inference.follow import Follower, _shared
from slicekit.inference.stretch import CERTAIN, Followed, FollowSettings, Stretch, Task
from slicekit.inference.walk import gaps
from slicekit.networks import STCN, Features
from slicekit.networks.stcn import PRESETS
from slicekit.runtime import Runtime

SHAPE = (20, 60, 70)
SPACING = (5.0, 2.0, 2.0)
SMALL = FollowSettings(size=32, least_mm=20.0)
CPU = Runtime(torch.device("cpu"), bf16=False, threads=1)


class Hand:
    """A network that answers by what was said of the slice before, changed by a rule."""

    def __init__(self, rule: Callable[[Tensor], Tensor]) -> None:
        self.rule, self.encoded = rule, 0

    def encode_key(self, frames: Tensor) -> Features:
        self.encoded += len(frames)
        b, _, y, x = frames.shape
        parts = [torch.zeros(b, 4, y // s, x // s) for s in (16, 16, 16, 8, 4)]
        return Features(*parts)

    def encode_value(self, frames: Tensor, masks: Tensor, s16: Tensor) -> Tensor:
        return torch.zeros(len(frames), 1, 4, *s16.shape[-2:])

    def decode(self, readout: Tensor, features: Features, prior: Tensor | None = None) -> Tensor:
        assert prior is not None
        return self.rule(prior) * 12


def disc(centre: tuple[int, int], radius: float) -> NDArray[np.bool_]:
    y, x = np.ogrid[: SHAPE[1], : SHAPE[2]]
    return np.asarray((y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2)


def blank(zs: Sequence[int], region: Region) -> Tensor:
    return torch.zeros(len(zs), 3, region.size, region.size)


def tasks(guides: Mapping[int, NDArray[np.bool_]]) -> list[Task]:
    return [
        Task(gap, {z: guides[z] for z in (gap.left, gap.right) if z is not None})
        for gap in gaps(SHAPE[0], sorted(guides))
    ]


def masks(found: Sequence[Followed]) -> dict[int, NDArray[np.bool_]]:
    out = {}
    for one in found:
        plane = np.zeros(SHAPE[1:], bool)
        where, likely = one.paste(SHAPE[1:])
        plane[where] = likely >= 128
        out[one.z] = plane
    return out


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def follow(network: Any, guides: Mapping[int, NDArray[np.bool_]], **options: Any) -> Any:
    settings = FollowSettings(**({"size": 32, "least_mm": 20.0} | options))
    follower = Follower(blank, network, CPU, SPACING, settings)
    return dict(follower.follow(tasks(guides)))


def test_what_stays_is_carried_to_every_slice_of_every_gap() -> None:
    shape = disc((30, 40), 9)
    found = follow(Hand(lambda prior: prior), {5: shape, 12: shape})
    assert [sorted(masks(found[n])) for n in range(3)] == [
        list(range(5)), list(range(6, 12)), list(range(13, 20)),
    ]  # fmt: skip
    for n in range(3):
        assert min(dice(mask, shape) for mask in masks(found[n]).values()) > 0.97


def test_both_ways_are_weighed_by_distance() -> None:
    small, large = disc((30, 35), 6), disc((30, 35), 14)
    found = follow(Hand(lambda prior: prior), {2: small, 10: large})[1]
    areas = [int(mask.sum()) for mask in masks(found).values()]
    assert areas[0] < 1.2 * small.sum()
    assert areas[-1] > 0.8 * large.sum()
    doubts = [one.doubt for one in found]
    assert min(doubts) > 0.3  # both ways disagree about the ring everywhere


def test_what_has_vanished_is_followed_no_further() -> None:
    network = Hand(lambda prior: prior - 1.5)  # nothing is left after one slice
    shape = disc((30, 40), 9)
    found = follow(network, {4: shape}, vanish_mm=10.0)
    assert found[1] == []
    assert network.encoded < 1 + 4 + 15 + 8  # the tail of 15 slices was not seen to its end


def test_an_object_that_the_far_guide_shows_is_followed_though_out_of_sight() -> None:
    walked: list[int] = []

    def hide(prior: Tensor) -> Tensor:
        walked.append(len(prior))
        return torch.full_like(prior, -1.0)

    follow(Hand(hide), {0: disc((30, 40), 9), 19: disc((30, 40), 9)}, vanish_mm=5.0)
    assert walked == [2] * 18


def test_an_empty_guide_ahead_ends_the_organ() -> None:
    shape, nothing = disc((30, 40), 9), np.zeros(SHAPE[1:], bool)
    found = follow(Hand(lambda prior: prior), {5: shape, 10: nothing})
    assert found[2] == []  # nothing is carried from a slice that does not show it
    assert all(one.z < 10 for one in found[1])


def test_two_empty_guides_cost_nothing() -> None:
    network = Hand(lambda prior: prior)
    nothing = np.zeros(SHAPE[1:], bool)
    assert follow(network, {5: nothing, 9: nothing}) == {0: [], 1: [], 2: []}
    assert network.encoded == 0


def grown(prior: Tensor) -> Tensor:
    """Let an object grow by a pixel a slice."""
    return torch.nn.functional.max_pool2d(prior, 3, stride=1, padding=1)


def test_a_region_that_proves_too_small_becomes_larger() -> None:
    shape = disc((30, 40), 5)
    once = follow(Hand(grown), {10: shape}, attempts=1)[1]
    more = follow(Hand(grown), {10: shape}, attempts=3)[1]
    assert max(one.region.height for one in more) > max(one.region.height for one in once)
    assert masks(more)[16].sum() > masks(once)[16].sum()


def test_an_object_at_the_edge_of_the_slice_needs_no_larger_region() -> None:
    shape = disc((30, 69), 6)
    shape[:, :55] = False
    found = follow(Hand(lambda prior: prior), {10: shape})[1]
    assert {one.region for one in found} == {found[0].region}
    assert dice(masks(found)[12], shape) > 0.95


@pytest.fixture(scope="module")
def network() -> STCN:
    from dataclasses import replace

    torch.manual_seed(3)
    net = STCN(replace(PRESETS["tiny"], prior=True)).eval()
    torch.nn.init.constant_(net.decoder.pred.bias, 0.3)  # else random weights see nothing
    return net


def noise(zs: Sequence[int], region: Region) -> Tensor:
    return torch.stack([torch.rand(3, region.size, region.size, generator=_seed(z)) for z in zs])


def _seed(z: int) -> torch.Generator:
    return torch.Generator().manual_seed(z)


def answers(network: STCN, **options: Any) -> dict[tuple[int, int], NDArray[np.uint8]]:
    settings = FollowSettings(
        **({"size": 32, "least_mm": 20.0, "attempts": 1, "least_certainty": 0.0} | options)
    )
    guides = [{4: disc((30, 40), 9), 12: disc((28, 42), 7)}, {9: disc((15, 20), 6)}]
    todo = [task for some in guides for task in tasks(some)]
    found = Follower(noise, network, CPU, SPACING, settings).follow(todo)
    return {(n, one.z): one.plane for n, pieces in found for one in pieces}


def test_neither_company_nor_budget_changes_an_answer(network: STCN) -> None:
    usual = answers(network)
    assert len(usual) > 20
    for options in ({"walks_at_once": 1}, {"budget_bytes": 200_000}):
        other = answers(network, **options)
        assert other.keys() == usual.keys()
        apart = [np.abs(other[key].astype(int) - usual[key]).max() for key in usual]
        assert max(apart) <= 1  # of 255: sums in another order


def test_what_was_walked_is_let_go_at_once(network: STCN, monkeypatch: pytest.MonkeyPatch) -> None:
    born: list[weakref.ref[Stretch]] = []

    class Watched(Stretch):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            born.append(weakref.ref(self))

    monkeypatch.setattr("slicekit.inference.follow.Stretch", Watched)
    gc.disable()
    try:
        alive = []
        settings = FollowSettings(size=32, least_mm=20.0, attempts=1, walks_at_once=1)
        todo = tasks({4: disc((30, 40), 9), 12: disc((28, 42), 7)})
        for _ in Follower(noise, network, CPU, SPACING, settings).follow(todo):
            alive.append(sum(ref() is not None for ref in born))
    finally:
        gc.enable()
    assert len(born) == 3
    assert alive == [0, 0, 0]


@pytest.mark.parametrize(
    ("lengths", "room", "shares"),
    [([5, 5], 20, [5, 5]), ([30, 2, 30], 22, [10, 2, 10]), ([3, 50], 9, [3, 6]), ([8], 4, [4])],
)
def test_short_gaps_keep_all_and_long_ones_share_the_rest(
    lengths: list[int], room: int, shares: list[int]
) -> None:
    assert _shared(lengths, room) == shares


def test_a_budget_too_small_for_a_guide_is_refused(network: STCN) -> None:
    with pytest.raises(BudgetError, match=r"too small for one guide.*raise budget_bytes"):
        answers(network, budget_bytes=1000)


def test_certain_is_the_largest_number_a_plane_holds() -> None:
    shape = disc((30, 40), 9)
    found = follow(Hand(lambda prior: prior), {10: shape})[0]
    assert {one.plane.dtype for one in found} == {np.dtype(np.uint8)}
    assert max(int(one.plane.max()) for one in found) > 0.9 * CERTAIN
