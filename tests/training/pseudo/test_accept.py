"""What a sidecar and a partial-label loss are given."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slicekit.data.phantom import PHANTOM_LABELS
from slicekit.errors import LabelError, ShapeError
from slicekit.labels import LabelSet
from slicekit.training.pseudo import Judgement, accepted_labels

NAMES = LabelSet({"liver": 1, "spleen": 2, "colon": 7})


def said(**accepted):
    return {organ: Judgement(organ, taken, False, ()) for organ, taken in accepted.items()}


def test_refused_organs_become_unknown_and_others_stay(patient):
    judgements = said(**{o: o not in ("liver", "aorta") for o in PHANTOM_LABELS.names})
    kept = accepted_labels(patient.array, judgements, PHANTOM_LABELS)
    assert "liver" not in kept.labels_present and len(kept.labels_present) == 11
    held = set(np.unique(kept.labels).tolist())
    assert held == {0, *PHANTOM_LABELS.ids.values()} - {6, 8}
    same = ~np.isin(patient.array, [6, 8])
    np.testing.assert_array_equal(kept.labels[same], patient.array[same])
    assert kept.labels.dtype == patient.array.dtype and not np.shares_memory(
        kept.labels, patient.array
    )


def test_an_organ_accepted_as_absent_is_annotated_and_one_without_judgement_is_not():
    labels = np.array([[[1, 2, 7, 0]]], np.uint8)
    judgements = {"liver": Judgement("liver", True, True, ())} | said(spleen=True)
    kept = accepted_labels(np.where(labels == 1, 0, labels), judgements, NAMES)
    assert kept.labels_present == ("liver", "spleen")
    assert kept.labels.tolist() == [[[0, 2, 0, 0]]]


def test_a_case_of_which_nothing_is_accepted_is_an_unlabelled_one():
    labels = np.array([[[1, 2, 7, 0]]], np.uint16)
    kept = accepted_labels(labels, said(liver=False, spleen=False, colon=False), NAMES)
    assert kept.labels_present == () and not kept.labels.any()


def test_what_was_unknown_stays_unknown():
    labels = np.array([[[1, 255, 7, 9]]], np.uint8)
    assert accepted_labels(labels, said(liver=True), NAMES).labels.tolist() == [[[1, 255, 0, 0]]]
    many = LabelSet({"liver": 1, "last": 255})
    assert accepted_labels(labels, said(liver=True), many).labels.tolist() == [[[1, 0, 0, 0]]]


def test_what_cannot_be_meant_is_refused():
    labels = np.zeros((1, 2, 3), np.uint8)
    with pytest.raises(LabelError, match="did you mean 'liver'"):
        accepted_labels(labels, said(lver=True), NAMES)
    with pytest.raises(LabelError, match="whole numbers"):
        accepted_labels(labels.astype(float), said(liver=True), NAMES)
    with pytest.raises(ShapeError):
        accepted_labels(labels[0], said(liver=True), NAMES)


@given(st.sets(st.sampled_from(NAMES.names)), st.sets(st.sampled_from(NAMES.names)))
def test_accepting_more_never_loses_a_voxel(some, more):
    labels = np.array([[[0, 1, 2, 7, 7, 1]]], np.uint8)
    few = accepted_labels(labels, said(**{o: o in some for o in NAMES.names}), NAMES)
    all_ = accepted_labels(labels, said(**{o: o in some | more for o in NAMES.names}), NAMES)
    assert set(few.labels_present) <= set(all_.labels_present)
    assert ((few.labels == 0) | (few.labels == all_.labels)).all()
    assert set(np.unique(few.labels)) - {0} == {NAMES.id_of(o) for o in few.labels_present}
