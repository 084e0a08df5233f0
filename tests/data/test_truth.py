"""Labels are taken as they were meant: what nobody annotated is unknown, contradictions end it."""

from __future__ import annotations

import numpy as np
import pytest

from slicekit.data.cases import Case
from slicekit.data.truth import read_truth
from slicekit.errors import DatasetError, DataWarning, LabelError
from slicekit.io import read_volume, write_volume
from slicekit.labels import IGNORE_ID, LabelSet
from slicekit.volume import Volume

ORGANS = LabelSet({"liver": 1, "spleen": 2, "aorta": 3})


@pytest.fixture
def drawn():
    """(z, y, x) labels: the liver on slices 1 to 4, the spleen on 3, the aorta on none."""
    ids = np.zeros((6, 5, 4), np.uint8)
    ids[1:5, 1:3, 1:3] = 1
    ids[3, 4, 0] = 2
    return ids


@pytest.fixture
def lay(tmp_path, drawn):
    """Write a scan and its labels, stored from the head down if asked to; return the case."""

    def write(ids=drawn, *, downwards=False, **case):
        affine = np.diag([5.0, -2.0, -2.0, 1.0])[[2, 1, 0, 3]]  # to the head, the back, the left
        noise = np.random.default_rng(0).integers(-100, 200, drawn.shape).astype(np.int16)
        image, labels = Volume(noise, affine), Volume(ids, affine)
        if downwards:  # the same world, the first stored slice at the head
            flip = affine.copy()
            flip[:3, 3] = affine[:3, 0] * (len(ids) - 1)
            flip[:3, 0] *= -1
            image, labels = Volume(noise[::-1], flip), Volume(ids[::-1], flip)
        path = write_volume(tmp_path / "a.nii.gz", image, overwrite=True)
        truth = write_volume(tmp_path / "a_labels.nii.gz", labels, overwrite=True)
        return Case("a", path, truth, **{"organs": ORGANS} | case)

    return write


def truth_of(case, organs=ORGANS):
    return read_truth(case.labels, case, image=read_volume(case.image), organs=organs)


def test_everything_annotated_is_taken_as_it_is(lay, drawn):
    labels, known = truth_of(lay())
    np.testing.assert_array_equal(labels.array, drawn)
    assert known is None


def test_annotated_organs_are_told_by_their_ids(lay, drawn):
    case = lay(labels_present=frozenset({"liver", "spleen"}))
    for organs in (ORGANS, None):  # the case knows its own
        labels, known = truth_of(case, organs)
        assert known == {1, 2}
        np.testing.assert_array_equal(labels.array, drawn)
    with pytest.raises(DatasetError, match="labels_present needs the ids of the organs"):
        truth_of(lay(labels_present=frozenset({"liver"}), organs=None), None)


@pytest.mark.parametrize("downwards", [False, True])
def test_slices_nobody_annotated_are_unknown_counted_as_the_file_does(lay, drawn, downwards):
    with pytest.warns(DataWarning, match=r"does not call annotated.*: \[") as told:
        labels, _ = truth_of(lay(downwards=downwards, annotated_slices=(0, 3)))
    unseen = np.isin(np.arange(6), [5, 2] if downwards else [0, 3], invert=True)
    assert (labels.array[unseen] == IGNORE_ID).all()
    np.testing.assert_array_equal(labels.array[~unseen], drawn[~unseen])
    stray = "[1, 2, 4]"  # liver on 1 to 4 inside, which is 4 to 1 from the head
    assert stray in str(told[0].message)


def test_labels_on_annotated_slices_only_raise_no_doubt(lay, drawn):
    labels, _ = truth_of(lay(annotated_slices=(1, 2, 3, 4)))
    assert (labels.array[[0, 5]] == IGNORE_ID).all()
    np.testing.assert_array_equal(labels.array[1:5], drawn[1:5])


def test_a_slice_outside_of_the_volume_is_refused(lay):
    with pytest.raises(DatasetError, match=r"a\.nii\.gz: its slices go from 0 to 5, .*\[6, 70\]"):
        truth_of(lay(annotated_slices=(0, 6, 70)))


def test_an_organ_that_is_said_to_be_unannotated_is_a_contradiction(lay):
    for organs in (ORGANS, None):
        with pytest.raises(DatasetError) as caught:
            truth_of(lay(labels_present=frozenset({"liver", "aorta"})), organs)
        said = str(caught.value)
        assert "a_labels.nii.gz holds the ids {2: 'spleen'}" in said
        assert "the labels_present of a in annotations.json are aorta, liver" in said
        assert "take them out of the labels" in said


def test_all_faults_of_a_case_are_told_at_once(lay, drawn):
    ids = np.where(drawn == 1, 77, drawn)[:-1]
    case = lay(ids, labels_present=frozenset({"aorta"}), annotated_slices=(9,))
    with pytest.raises(DatasetError) as caught:
        truth_of(case)
    said = str(caught.value)
    assert said.startswith("a: ")
    for part in (
        "a_labels.nii.gz is (5, 5, 4)",
        "holds the ids [77]",
        "{2: 'spleen'}",
        "name [9]",
    ):
        assert part in said


def test_labels_that_are_no_ids_are_still_looked_at_for_their_grid(lay, drawn):
    with pytest.raises(LabelError, match="must be whole numbers"):
        truth_of(lay(drawn + np.float32(0.25)))
    with pytest.raises(DatasetError) as caught:
        truth_of(lay(drawn[1:] + np.float32(0.25)))
    assert "must be whole numbers" in str(caught.value)
    assert "is (5, 5, 4)" in str(caught.value)


def test_voxels_that_dataset_json_ignores_are_unknown(lay, drawn):
    labels, _ = truth_of(lay(np.where(drawn == 2, 9, drawn), ignore_id=9))
    assert (labels.array[drawn == 2] == IGNORE_ID).all()


def test_a_label_map_without_an_organ_is_doubtful_unless_it_was_said_so(lay, drawn):
    with pytest.warns(DataWarning, match='holds no organ.*"labels_present": \\[\\]'):
        truth_of(lay(np.zeros_like(drawn)))
    truth_of(lay(np.zeros_like(drawn), labels_present=frozenset({"liver"})))
