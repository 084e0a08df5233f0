"""Slices come in the order of their numbers, and a missing one is never skipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slicekit.errors import DataWarning, ReadError
from slicekit.io.numbering import order_slices

HERE = Path("folder")


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["1.png", "2.png", "10.png"][:2], (1, 2)),
        ([f"{n}.png" for n in range(8, 12)], (8, 9, 10, 11)),
        ([f"ct_{n:03}.PNG" for n in range(46, 50)], (46, 47, 48, 49)),
        ([f"case12_t1_{n}.npy" for n in range(3)], (0, 1, 2)),
        ([f"{n}_case12.tif" for n in range(9, 12)], (9, 10, 11)),
        ([f"IM{n}-pos{n * n * 7}.png" for n in range(4)], (0, 1, 2, 3)),
        (["only.png"], None),
        (["only7.png"], (7,)),
    ],
)
def test_natural_order(names: list[str], numbers: tuple[int, ...] | None) -> None:
    shuffled = list(np.random.default_rng(3).permutation(names))
    ordered = order_slices(HERE, shuffled)
    assert list(ordered.names) == names
    assert ordered.numbers == numbers


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([46, 47, 49], "lacks 1 slices between 046.png and 049.png: 048;"),
        ([1, 2, 5, 6, 9], "lacks 4 slices between 001.png and 009.png: 003, 004, 007, 008;"),
        ([1, 3], "lacks 1 slices between 001.png and 003.png: 002;"),
        ([0, 1, 900], "002, 003, 004, 005, 006, 007, 008, 009, 010, 011 and 888 more;"),
        ([0, 1, 10**12], "and 999999999988 more"),
    ],
)
def test_missing_slices_are_named(numbers: list[int], said: str) -> None:
    with pytest.raises(ReadError) as caught:
        order_slices(HERE, [f"{n:03}.png" for n in numbers])
    assert said in caught.value.cause


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["1.png", "01.png", "2.png"], "one slice twice: 01.png and 1.png"),
        (["a1.png", "a2.png", "b1.png"], r"more than one stack.*a#.png \(2\), b#.png \(1\)"),
        (["1.png", "2.jpg"], "more than one stack"),
        (["1.png", "localizer.png"], "more than one stack"),
    ],
)
def test_several_stacks_are_refused(names: list[str], said: str) -> None:
    with pytest.raises(ReadError, match=said):
        order_slices(HERE, names)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["back.png", "front.png"], "hold no numbers"),
        (["0.png", "5.png", "10.png"], "steps of 5"),
        (["a1b5.png", "a3b9.png", "a9b2.png"], "would go unseen"),
    ],
)
def test_doubtful_orders_are_said(names: list[str], said: str) -> None:
    with pytest.warns(DataWarning, match=said):
        assert list(order_slices(HERE, names[::-1]).names) == names
