"""Features come back from the shelf as they were put there."""

from __future__ import annotations

import torch

from slicekit.inference.shelf import Shelf
from slicekit.networks.stcn import Features


def features(count: int, seed: int) -> Features:
    rng = torch.Generator().manual_seed(seed)
    sizes = ((4, 2, 3), (5, 2, 3), (6, 2, 3), (3, 4, 6), (2, 8, 12))
    return Features(*(torch.rand(count, *size, generator=rng) for size in sizes))


def test_rows_come_back_in_the_order_asked_for() -> None:
    shelf = Shelf(features(1, 0), 6)
    first, second = features(2, 1), features(3, 2)
    shelf.put([4, 0], first)
    shelf.put([1, 5, 3], second)
    for got, a, b in zip(shelf.get([5, 4, 3]), first, second, strict=True):
        assert torch.equal(got, torch.stack([b[1], a[0], b[2]]))


def test_a_row_is_written_over_and_what_was_taken_before_stays() -> None:
    shelf = Shelf(features(1, 0), 2)
    old, new = features(1, 1), features(1, 2)
    shelf.put([1], old)
    taken = shelf.get([1])
    shelf.put([1], new)
    assert all(map(torch.equal, taken, old))
    assert all(map(torch.equal, shelf.get([1]), new))
