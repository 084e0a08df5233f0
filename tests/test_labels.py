"""Names and ids of organs: whole, unique, and mirrored with the patient."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from slicekit.data.phantom import PHANTOM_LABELS
from slicekit.errors import LabelError
from slicekit.labels import LabelSet

KIDNEYS = LabelSet({"right_kidney": 3, "liver": 1, "left_kidney": 2, "left_lung": 7})


def test_organs_come_in_the_order_of_their_ids():
    assert KIDNEYS.names == ("liver", "left_kidney", "right_kidney", "left_lung")
    assert KIDNEYS.names_by_id == {1: "liver", 2: "left_kidney", 3: "right_kidney", 7: "left_lung"}
    assert len(KIDNEYS) == 4
    assert "liver" in KIDNEYS
    assert "spleen" not in KIDNEYS


def test_an_unknown_organ_is_refused_with_the_likely_one():
    assert KIDNEYS.id_of("liver") == 1
    with pytest.raises(LabelError, match="unknown organ 'lver'; did you mean 'liver'"):
        KIDNEYS.id_of("lver")
    with pytest.raises(LabelError, match="did you mean 'left_lung'"):
        KIDNEYS.subset(["liver", "left_lun"])


def test_a_subset_keeps_its_ids():
    assert dict(KIDNEYS.subset(["right_kidney", "liver"]).ids) == {"liver": 1, "right_kidney": 3}


@pytest.mark.parametrize(
    ("ids", "cause"),
    [
        ({"liver": 0}, "0 is the background"),
        ({"liver": -1}, "from 1 to"),
        ({"liver": 65_536}, "from 1 to"),
        ({"liver": 1, "spleen": 1}, "share the id 1"),
        ({"": 1}, "must not be empty"),
        ({"  ": 1}, "must not be empty"),
        ({"liver": 1.0}, "whole number"),
        ({"liver": True}, "whole number"),
    ],
)
def test_ids_that_cannot_be_meant_are_refused(ids, cause):
    with pytest.raises(LabelError, match=cause):
        LabelSet(ids)


def test_both_forms_of_a_dataset_json_are_read():
    new = LabelSet.from_dataset({"background": 0, "liver": 1, "spleen": 2, "ignore": 3})
    old = LabelSet.from_dataset({"0": "background", "1": "liver", "2": "spleen"})
    assert dict(new.ids) == dict(old.ids) == {"liver": 1, "spleen": 2}


@pytest.mark.parametrize(
    ("labels", "cause"),
    [
        ({"background": 1, "liver": 2}, "background must have the id 0"),
        ({"liver": "one"}, "whole numbers, got 'liver': 'one'"),
        ({"liver": 1.5}, "whole numbers"),
        ({"liver": True}, "whole numbers"),
        ({"liver": [1, 2]}, "whole numbers"),
        ({"liver": None}, "whole numbers"),
        ({"1": "liver", "2": "liver"}, "'liver' has two ids, 1 and 2"),
    ],
)
def test_a_dataset_json_that_cannot_be_meant_is_refused(labels, cause):
    with pytest.raises(LabelError, match=cause):
        LabelSet.from_dataset(labels)


def test_left_and_right_are_found_by_name():
    assert KIDNEYS.pairs == ((2, 3),)  # no right lung
    names = {PHANTOM_LABELS.names_by_id[n] for pair in PHANTOM_LABELS.pairs for n in pair}
    assert names == {
        f"{side}_{o}" for side in ("left", "right") for o in ("kidney", "adrenal_gland")
    }


@given(arrays(np.uint8, (3, 4), elements=st.integers(0, 255)))
def test_swapping_sides_twice_changes_nothing(mask):
    once = KIDNEYS.swap_sides(mask)
    assert np.array_equal(KIDNEYS.swap_sides(once), mask)
    assert np.array_equal(once == 2, mask == 3)
    assert np.array_equal(once == 3, mask == 2)
    rest = (mask != 2) & (mask != 3)
    assert np.array_equal(once[rest], mask[rest])
    assert once.dtype == mask.dtype


def test_a_mirrored_patient_has_the_left_kidney_on_the_left(phantoms):
    mask = phantoms[0].labels.array
    mirrored = PHANTOM_LABELS.swap_sides(mask[..., ::-1])
    left, right = (PHANTOM_LABELS.id_of(f"{side}_kidney") for side in ("left", "right"))
    # x grows toward the left
    assert np.argwhere(mirrored == left)[:, 2].mean() > np.argwhere(mirrored == right)[:, 2].mean()


def test_colours_are_colours_and_neighbours_differ():
    colours = [KIDNEYS.colour(number) for number in range(1, 40)]
    assert all(0 <= part <= 1 for colour in colours for part in colour)
    assert len(set(colours)) == len(colours)
    assert KIDNEYS.colour(5) == PHANTOM_LABELS.colour(5)
