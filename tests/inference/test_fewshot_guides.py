"""Which slices become guides."""

from __future__ import annotations

import numpy as np
import pytest

from slicekit.inference.fewshot_guides import (
    Evidence,
    GuideSettings,
    best_run,
    choose_guides,
    largest_piece,
    weigh,
)

SETTINGS = GuideSettings()


def judged(z: int, score: float, *, linked: bool = True) -> Evidence:
    return Evidence(z, 100.0, 0.9, 0.2, score, linked)


def judge(probability: np.ndarray, margin: float = 0.1, **changes: object) -> Evidence:
    options = {"pixel_mm": 2.0, "expected": 0.0, "settings": SETTINGS} | changes
    before = options.pop("before", None)
    apart = np.full_like(probability, margin)
    return weigh(4, probability, apart, before, **options)[0]


@pytest.fixture
def square() -> np.ndarray:
    plane = np.full((20, 20), 0.1, np.float32)
    plane[4:14, 4:14] = 0.8
    return plane


def test_a_score_is_area_times_probability_times_margin(square: np.ndarray) -> None:
    found = judge(square)
    assert found.area_mm2 == 400
    assert found.confidence == pytest.approx(0.8)
    assert found.score == pytest.approx(400 * 0.8 * 0.1)
    assert judge(square, 0.2).score == pytest.approx(2 * found.score)
    assert judge(square, -0.1).score == 0
    assert judge(np.zeros((20, 20), np.float32)).score == 0
    assert "4.0 cm2, probability 0.80, cosine margin 0.10" in found.reason


def test_only_the_largest_piece_counts(square: np.ndarray) -> None:
    before = judge(square)
    square[17:19, 17:19] = 0.9
    assert judge(square) == before
    hole = square > 0.5
    hole[8, 8] = False
    assert largest_piece(hole).sum() == 100


def test_far_from_where_it_is_expected_a_slice_is_trusted_less(square: np.ndarray) -> None:
    near, far = judge(square), judge(square, expected=0.3)
    assert far.score == pytest.approx(near.score * np.exp(-0.5))


def test_slices_are_linked_where_the_organ_overlaps(square: np.ndarray) -> None:
    same, apart = square > 0.5, np.roll(square > 0.5, 10, axis=1)
    assert judge(square, before=same).linked
    assert not judge(square, before=apart & ~same).linked
    assert not judge(square).linked


def test_the_best_run_wins_over_a_single_better_slice() -> None:
    found = [judged(0, 5.0, linked=False), judged(1, 0.0), judged(2, 3.0), judged(3, 3.0)]
    assert [one.z for one in best_run(found)] == [2, 3]
    assert best_run([judged(0, 0.0)]) == []
    assert best_run([]) == []


def test_guides_keep_their_distance_and_a_least_score() -> None:
    run = [judged(z, s) for z, s in enumerate([1.0, 6.0, 9.0, 10.0, 8.0, 7.0, 3.0])]
    chosen = choose_guides(run, slice_mm=8.0, settings=GuideSettings(guides=4))
    assert [one.z for one in chosen] == [1, 3, 5]
    few = choose_guides(run, slice_mm=8.0, settings=SETTINGS)
    assert [one.z for one in few] == [3, 5]
    assert [one.z for one in choose_guides(run[-1:], slice_mm=8.0, settings=SETTINGS)] == [6]
    assert choose_guides([], slice_mm=8.0, settings=SETTINGS) == []


def test_settings_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        GuideSettings(guides=0)
