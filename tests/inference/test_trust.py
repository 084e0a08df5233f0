import numpy as np
import pytest

from slicekit.inference.evidence import SliceEvidence
from slicekit.inference.selection import GuideChoice
from slicekit.inference.trust import trust_in
from slicekit.labels import LabelSet


def evidence(certainty: list[list[float]], area: list[list[int]]) -> SliceEvidence:
    sure, px = np.array(certainty), np.array(area)
    ones = np.ones(sure.shape)
    zs = np.arange(len(px)) * 4
    labels = LabelSet({"liver": 1, "spleen": 2, "pancreas": 3})
    return SliceEvidence(zs, zs * 3.0, labels, px, px * 1.0, sure, ones, ones, px)


SEEN = evidence(
    [[1.0, 0.4, 0.1], [0.8, 0.2, 0.1], [0.0, 0.0, 0.0]], [[9, 9, 3], [9, 9, 0], [0, 0, 0]]
)


def choice(z: int, *organs: int) -> GuideChoice:
    return GuideChoice(z, frozenset(organs), frozenset(), "sure")


def test_carried_masks_count_as_much_as_their_guides_are_sure() -> None:
    both = trust_in(SEEN, [choice(0, 1, 2), choice(4, 1)], share=0.5)
    assert both.shares[1] == pytest.approx(0.5), "sure guides"
    assert both.shares[2] == pytest.approx(1.0), "doubtful guides"
    halfway = evidence([[0.7, 0.0, 0.0]], [[9, 0, 0]])
    assert trust_in(halfway, [choice(0, 1)], share=0.5).shares == pytest.approx({1: 0.75})


def test_what_no_sure_guide_carries_is_left_to_the_reference() -> None:
    assert trust_in(SEEN, [choice(0, 1)], share=0.5).alone == {2, 3}
    assert trust_in(SEEN, [choice(0, 1, 2)], share=0.5).alone == {2, 3}, "2 has doubtful guides"
    absent = evidence([[0.9, 0.0, 0.0]], [[9, 0, 0]])
    assert trust_in(absent, [choice(0, 1)], share=0.5).alone == frozenset()


def test_carried_masks_alone_leave_nothing_to_the_reference() -> None:
    assert trust_in(SEEN, [choice(0, 1)], share=0.0) == ({}, frozenset())
