"""A correction of given labels reaches its neighbourhood only."""

from __future__ import annotations

import numpy as np

from slicekit.labels import LabelSet
from slicekit.review.anchors import guides_of
from slicekit.review.sheet import Sheet

NAMES = LabelSet({"liver": 1, "spleen": 2})


def given() -> np.ndarray:
    labels = np.zeros((30, 4, 4), np.uint8)
    labels[5:25, :2] = 1
    labels[:, 3] = 2
    return labels


def test_without_given_labels_drawings_alone_are_told() -> None:
    sheet = Sheet((30, 4, 4), NAMES)
    sheet.put(7, np.ones((4, 4), np.uint8), {1})
    assert {name: sorted(masks) for name, masks in guides_of(sheet, slice_mm=5.0).items()} == {
        "liver": [7]
    }


def test_far_slices_keep_what_was_given_and_near_ones_are_asked_for() -> None:
    sheet = Sheet((30, 4, 4), NAMES, given())
    plane = given()[15]
    plane[2] = 1
    sheet.put(15, plane, {1})
    found = guides_of(sheet, slice_mm=5.0, reach_mm=15.0)
    assert list(found) == ["liver"], "the spleen was not touched"
    asked = set(range(30)) - set(found["liver"])
    assert asked == {12, 13, 14, 16, 17, 18}
    assert (found["liver"][15] == (plane == 1)).all()
    assert (found["liver"][6] == (given()[6] == 1)).all()
    assert not found["liver"][2].any()


def test_a_slice_that_is_right_is_no_correction_and_shields_what_lies_behind() -> None:
    sheet = Sheet((30, 4, 4), NAMES, given())
    sheet.put(17, given()[17], {1})
    assert guides_of(sheet, slice_mm=5.0, reach_mm=15.0) == {}, "nothing to carry"
    plane = given()[15]
    plane[2] = 1
    sheet.put(15, plane, {1})
    found = guides_of(sheet, slice_mm=5.0, reach_mm=15.0)
    assert set(range(30)) - set(found["liver"]) == {12, 13, 14, 16}


def test_given_masks_make_room_for_what_is_drawn_of_another_organ() -> None:
    sheet = Sheet((30, 4, 4), NAMES, given())
    taken = given()[20]
    taken[0] = 2
    sheet.put(20, taken, {2})
    wider = given()[5]
    wider[2] = 1
    sheet.put(5, wider, {1})
    found = guides_of(sheet, slice_mm=5.0, reach_mm=10.0)
    assert not (found["liver"][20] & found["spleen"][20]).any()
