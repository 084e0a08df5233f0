"""What is measured can be counted by hand."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from slicekit.data.phantom import PHANTOM_LABELS
from slicekit.errors import LabelError, ShapeError
from slicekit.labels import LabelSet
from slicekit.training.pseudo import measure_facts
from slicekit.volume import Volume

NAMES = LabelSet({"liver": 1, "spleen": 2})
# z to the head, y to the back, x to the left, as scans are read
AFFINE = np.array([[0, 0, -2.0, 10.0], [0, -3.0, 0, 20.0], [5.0, 0, 0, 30.0], [0, 0, 0, 1]])


def case(array=None):
    """A liver of 4 x 2 x 3 voxels, z 2 to 5, y 1 to 2, x 4 to 6, of 5 x 3 x 2 mm."""
    if array is None:
        array = np.zeros((10, 6, 8), np.uint8)
        array[2:6, 1:3, 4:7] = 1
    return Volume(array, AFFINE)


def liver(labels, **inputs):
    return measure_facts(labels, NAMES, **inputs)["liver"]


def test_size_place_and_wholeness():
    found = liver(case())
    assert found.voxels == 24
    assert found.volume_ml == pytest.approx(24 * 0.03)
    assert found.centroid_mm == pytest.approx((10 - 2 * 5, 20 - 3 * 1.5, 30 + 5 * 3.5))
    assert found.largest_share == found.continuity == 1.0
    assert found.touches_border == frozenset()


def test_an_organ_that_is_not_there_has_no_place():
    found = measure_facts(case(), NAMES, confidence=np.ones((10, 6, 8)))["spleen"]
    assert (found.voxels, found.volume_ml) == (0, 0.0)
    for field in ("largest_share", "continuity", "centroid_mm", "confidence", "from_body_mm"):
        assert getattr(found, field) is None


def test_pieces_and_gaps_are_counted():
    labels = case()
    labels.array[4] = 0  # slices 2, 3 and 5 are left: 12 voxels in one piece, 6 in another
    found = liver(labels)
    assert found.largest_share == pytest.approx(2 / 3)
    assert found.continuity == pytest.approx(3 / 4)


def test_voxels_that_share_a_corner_are_one_piece():
    array = np.zeros((4, 4, 4), np.uint8)
    array[1, 1, 1] = array[2, 2, 2] = 1
    assert liver(case(array)).largest_share == 1.0


@pytest.mark.parametrize(
    ("box", "faces"),
    [
        (np.s_[:1, 2:3, 2:3], {"inferior"}),
        (np.s_[-1:, 2:3, 2:3], {"superior"}),
        (np.s_[2:3, :1, 2:3], {"anterior"}),
        (np.s_[2:3, -1:, 2:3], {"posterior"}),
        (np.s_[2:3, 2:3, :1], {"right"}),
        (np.s_[2:3, 2:3, -1:], {"left"}),
        (np.s_[:, :, :], {"left", "right", "anterior", "posterior", "inferior", "superior"}),
    ],
)
def test_sides_are_named_as_the_patients(box, faces):
    array = np.zeros((5, 6, 7), np.uint8)
    array[box] = 1
    assert liver(case(array)).touches_border == faces


@pytest.mark.parametrize("flips", list(itertools.product([1, -1], repeat=3)))
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1)])
def test_the_axes_of_the_grid_do_not_matter(patient, flips, order):
    # the same patient stored with other axes: permuted, then some of them reversed
    array, affine = patient.array.transpose(order), patient.affine[:, [*order, 3]].copy()
    for axis, sign in enumerate(flips):
        if sign < 0:
            array = np.flip(array, axis)
            affine[:, 3] += affine[:, axis] * (array.shape[axis] - 1)
            affine[:, axis] *= -1
    turned = measure_facts(Volume(array, affine), PHANTOM_LABELS)
    for organ, facts in measure_facts(patient, PHANTOM_LABELS).items():
        assert turned[organ].centroid_mm == pytest.approx(facts.centroid_mm)
        assert replace(turned[organ], centroid_mm=None) == replace(facts, centroid_mm=None)


def test_the_place_in_the_body_is_told_in_the_slice():
    # rows 0 to 4 and columns 2 to 6: the middle is row 2, column 4; the liver's 1.5 and 5
    found = liver(case(), body=(0, 5, 2, 7))
    assert found.from_body_mm == pytest.approx((-2.0, 1.5))


def test_confidence_of_all_and_of_the_surest():
    sure = np.zeros((10, 6, 8), np.float32)
    sure[2:6, 1:3, 4:7] = np.linspace(0.5, 0.96, 24).reshape(4, 2, 3)
    found = liver(case(), confidence=sure, top_k=2)
    assert found.confidence == pytest.approx(0.73)
    assert found.confidence_top == pytest.approx(0.95)
    everything = liver(case(), confidence=sure, top_k=500)
    assert everything.confidence_top == pytest.approx(everything.confidence)


def test_members_are_compared_with_the_labels():
    whole, half = case().array, case().array.copy()
    half[4:6] = 0
    assert liver(case()).agreement is None
    assert liver(case(), members=[whole]).agreement == 1.0
    assert liver(case(), members=[whole, half]).agreement == pytest.approx((1 + 2 / 3) / 2)
    # a member that sees what the others do not
    seeing = whole.copy()
    seeing[8, 4, 2] = 2
    assert measure_facts(case(), NAMES, members=[whole, seeing])["spleen"].agreement == 0.5


def test_earlier_rounds_both_ways_and_losses_are_told_where_given():
    half = case().array.copy()
    half[4:6] = 0
    found = liver(case(), earlier=half, both_ways=(half, half), losses={"liver": 0.25})
    assert found.stability == pytest.approx(2 / 3)
    assert (found.both_ways, found.loss) == (1.0, 0.25)
    bare = measure_facts(case(), NAMES, losses={"liver": 0.25})["spleen"]
    assert (bare.stability, bare.both_ways, bare.loss) == (None, None, None)


def test_only_the_named_organs_are_measured_and_nothing_is_changed():
    labels = case()
    labels.array[0, 0, 0] = 255
    before = labels.array.copy()
    assert list(measure_facts(labels, NAMES.subset(["spleen"]))) == ["spleen"]
    assert measure_facts(labels, LabelSet({})) == {}
    assert liver(labels).touches_border == frozenset()
    np.testing.assert_array_equal(labels.array, before)


@pytest.mark.parametrize("dtype", [bool, np.uint16, np.int64])
def test_any_integer_type_may_hold_the_labels(dtype):
    assert liver(case(case().array.astype(dtype))) == liver(case())


def test_inputs_that_cannot_be_meant_are_refused():
    labels = case()
    with pytest.raises(LabelError, match="whole numbers"):
        liver(labels.with_array(labels.array.astype(np.float32)))
    for name in ("confidence", "earlier"):
        with pytest.raises(ShapeError):
            liver(labels, members=[labels.array], **{name: labels.array[1:]})
    with pytest.raises(ShapeError, match="both_ways"):
        liver(labels, both_ways=(labels.array[1:], labels.array[1:]))
    for logits in (labels.array * 7.0, labels.array * np.nan, labels.array * -0.5):
        with pytest.raises(ValueError, match="softmax"):
            liver(labels, confidence=logits)
    with pytest.raises(LabelError, match="did you mean 'liver'"):
        liver(labels, losses={"lver": 0.1})
    with pytest.raises(ValueError, match="top_k"):
        liver(labels, top_k=0)
