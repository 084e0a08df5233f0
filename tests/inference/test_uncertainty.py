"""One number a pixel: known mixtures, bounds, and what changes nothing."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from slicekit.errors import ShapeError
from slicekit.inference.uncertainty import uncertainty

LOGITS = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(2, 6), st.integers(1, 3), st.integers(1, 3)),
    elements=st.floats(-30, 30, width=32),
)


def one_pixel(*members: list[float]) -> float:
    return float(uncertainty(torch.tensor(members)[:, :, None, None]))


def test_known_mixtures() -> None:
    sure, other = [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]
    toss_up, nothing = [0.5, 0.5, 0.0, 0.0], [0.25] * 4
    assert one_pixel(sure) == one_pixel(sure, sure) == one_pixel(sure, sure, sure) == 0
    assert one_pixel(sure, other) == pytest.approx(1)
    assert one_pixel(toss_up) == pytest.approx(log(2) / log(4))
    assert one_pixel(toss_up, toss_up) == pytest.approx(log(2) / log(4))
    assert one_pixel(nothing) == one_pixel(nothing, nothing) == pytest.approx(1)
    third = [0.0, 0.0, 1.0, 0.0]
    assert one_pixel(sure, other, third) == pytest.approx(1)
    entropy = -(2 / 3 * log(2 / 3) + 1 / 3 * log(1 / 3))
    by_hand = 1 - (1 - entropy / log(4)) * (1 - entropy / log(3))
    assert one_pixel(sure, sure, other) == pytest.approx(by_hand, abs=1e-6)


@given(LOGITS)
def test_it_lies_between_0_and_1_and_is_never_less_than_the_entropy(logits: np.ndarray) -> None:
    shares = torch.from_numpy(logits).softmax(dim=1)
    found = uncertainty(shares)
    assert found.shape == shares.shape[2:]
    assert found.dtype == torch.float32
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    alone = uncertainty(shares.mean(dim=0, keepdim=True))
    assert (found >= alone - 1e-5).all()


@given(LOGITS)
def test_the_order_of_members_and_classes_changes_nothing(logits: np.ndarray) -> None:
    shares = torch.from_numpy(logits).softmax(dim=1)
    for turned in (shares.flip(0), shares.flip(1), shares.half()):
        torch.testing.assert_close(uncertainty(turned), uncertainty(shares), atol=5e-3, rtol=0)


@pytest.mark.parametrize("shape", [(2, 3, 4), (0, 2, 1, 1), (2, 1, 1, 1), (1, 0, 1, 1)])
def test_what_is_no_committee_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="probabilities must be"):
        uncertainty(torch.zeros(shape))
