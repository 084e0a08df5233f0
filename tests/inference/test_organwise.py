"""The pipeline's way of carrying guides organ by organ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from slicekit.data.grid import InPlane
from slicekit.data.region import Region
from slicekit.inference.organwise import Opinions, OrganGuide, carry_organs
from slicekit.inference.stretch import Followed, Task

SHAPE = (9, 40, 50)
GRID = InPlane((40, 50), (4, 36, 5, 45), (16, 20))


def square(top: int, left: int, side: int = 10) -> NDArray[np.bool_]:
    mask = np.zeros(SHAPE[1:], bool)
    mask[top : top + side, left : left + side] = True
    return mask


class Copies:
    """Follows by copying a guide's mask, with a probability of 0.8."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []

    def follow(self, tasks: Sequence[Task]) -> Iterator[tuple[int, list[Followed]]]:
        self.tasks += tasks
        region = Region(-5, 0, 50, 50, 50)
        for n, task in reversed(list(enumerate(tasks))):
            shown = [mask for mask in task.guides.values() if mask.any()]
            plane = np.zeros((50, 50), np.uint8)
            if shown:
                plane[5:45][shown[0]] = 204
            pieces = [Followed(z, region, plane, 0.0) for z in task.gap.slices] if shown else []
            yield n, pieces


def guide(z: int, masks: dict[int, NDArray[np.bool_]], known: set[int]) -> OrganGuide:
    labels = np.zeros(SHAPE[1:], np.uint8)
    for number, mask in masks.items():
        labels[mask] = number
    return OrganGuide(z, labels, frozenset(known))


def test_every_organ_walks_between_the_guides_that_speak_of_it() -> None:
    follower = Copies()
    guides = [
        guide(1, {1: square(5, 5)}, {1}),
        guide(4, {2: square(20, 30)}, {2}),
        guide(7, {1: square(5, 5)}, {1, 2}),
    ]
    labels = carry_organs(guides, follower, shape=SHAPE, opinions=None, shares={})  # type: ignore[arg-type]
    gaps = [(task.gap.left, task.gap.right) for task in follower.tasks]
    assert gaps == [(None, 1), (1, 7), (7, None), (None, 4), (4, 7), (7, None)]
    assert (labels[3] == 1).sum() == 100  # slice 4 does not speak of organ 1
    assert (labels[6] == 2).any()
    assert not (labels[8] == 2).any()  # known to be absent on slice 7


def test_guides_come_back_as_they_are_whatever_others_claim() -> None:
    guides = [guide(2, {1: square(5, 5)}, {1}), guide(6, {2: square(8, 8)}, {2})]
    labels = carry_organs(guides, Copies(), shape=SHAPE, opinions=None, shares={})  # type: ignore[arg-type]
    assert np.array_equal(labels[2] == 1, square(5, 5))
    assert np.array_equal(labels[6] == 2, square(8, 8))


def test_the_references_view_is_weighed_in() -> None:
    """At equal shares 0.8 and the reference's 0.1 make 0.45, which is not enough."""
    opinions = Opinions(SHAPE[0], GRID)
    sure, unsure = torch.zeros(3, 16, 20), torch.zeros(3, 16, 20)
    sure[1], unsure[1], unsure[0] = 0.9, 0.1, 0.9
    for z in range(SHAPE[0]):
        opinions.note(z, sure if z < 5 else unsure)
    guides = [guide(4, {1: square(10, 10)}, {1})]
    carried = carry_organs(guides, Copies(), shape=SHAPE, opinions=opinions, shares={1: 0.5})  # type: ignore[arg-type]
    assert (carried[3] == 1).sum() == 100
    assert not carried[6].any()
    alone = carry_organs(guides, Copies(), shape=SHAPE, opinions=opinions, shares={})  # type: ignore[arg-type]
    assert (alone[6] == 1).sum() == 100


def test_an_organ_without_guides_is_left_to_the_references_view() -> None:
    opinions = Opinions(SHAPE[0], GRID)
    said = torch.zeros(3, 16, 20)
    said[2, :4] = 0.9
    opinions.note(6, said)
    guides = [guide(4, {1: square(10, 10)}, {1})]
    lone = frozenset({2})
    found = carry_organs(
        guides, Copies(), shape=SHAPE, opinions=opinions, shares={}, alone=lone,
    )  # type: ignore[arg-type]  # fmt: skip
    assert (found[6] == 2).sum() > 50
    assert not (np.delete(found, 6, axis=0) == 2).any()
    assert (found[3] == 1).sum() == 100


def test_an_opinion_lies_on_the_scans_own_pixels() -> None:
    opinions = Opinions(2, GRID)
    said = torch.zeros(3, 16, 20)
    said[0] = 1.0
    said[:, 4:8, 5:10] = torch.tensor([0.1, 0.2, 0.7])[:, None, None]
    opinions.note(1, said)
    plane = opinions.of(1, 2)
    assert plane.shape == (40, 50)
    inside = plane > 0.35
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (12, 19, 15, 24)
    assert not plane[:4].any()
    assert opinions.of(1, 1).max() == pytest.approx(0.2, abs=0.01)
    assert not opinions.of(0, 2).any()


def test_progress_is_told_gap_by_gap() -> None:
    told: list[tuple[int, int]] = []
    carry_organs(
        [guide(4, {1: square(10, 10)}, {1})], Copies(), shape=SHAPE, opinions=None, shares={},  # type: ignore[arg-type]
        told=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert told == [(1, 2), (2, 2)]
