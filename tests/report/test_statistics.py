"""Volumes of boxes that can be counted by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from slicekit.errors import GeometryError, LabelError
from slicekit.labels import LabelSet
from slicekit.report.statistics import statistics
from slicekit.volume import Volume

NAMES = LabelSet({"box": 1, "corner": 2, "absent": 3})
AFFINE = np.diag([2.0, 5.0, 10.0, 1.0])  # a voxel is 0.1 ml


def scene(dtype=np.uint8):
    array = np.zeros((6, 7, 8), dtype)
    array[2:4, 2:4, 2:5] = 1
    array[0, 0, :2] = 2
    array[5, 6, 7] = 9 if dtype is not np.bool_ else 0
    image = np.zeros(array.shape, np.int16)
    image[2:4, 2:4, 2:5] = 40
    image[2, 2, 2] = 100
    image[0, 0, 0] = -1000
    return Volume(array, AFFINE), Volume(image, AFFINE)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64, np.uint64])
def test_boxes_are_measured(dtype):
    labels, image = scene(dtype)
    result = statistics(labels, NAMES, image=image)
    assert result == {
        "box": {"voxels": 12, "volume_ml": 1.2, "touches_border": False, "mean_hu": 45.0},
        "corner": {"voxels": 2, "volume_ml": 0.2, "touches_border": True, "mean_hu": -500.0},
        "absent": {"voxels": 0, "volume_ml": 0.0, "touches_border": False, "mean_hu": None},
    }
    json.dumps(result, allow_nan=False)


def test_without_an_image_there_is_no_intensity():
    labels, _ = scene()
    assert "mean_hu" not in statistics(labels, NAMES)["box"]


def test_a_mask_and_an_empty_label_set_are_label_maps_too():
    labels, _ = scene(np.bool_)
    assert statistics(labels, LabelSet({"all": 1}))["all"]["voxels"] == 14
    assert statistics(labels, LabelSet({})) == {}


def test_doubtful_input_is_refused_and_nan_is_not_passed_on():
    labels, image = scene()
    with pytest.raises(LabelError, match="whole numbers"):
        statistics(labels.with_array(labels.array.astype(float)), NAMES)
    with pytest.raises(LabelError, match="from 0"):
        statistics(labels.with_array(labels.array.astype(np.int8) - 1), NAMES)
    with pytest.raises(GeometryError):
        statistics(labels, NAMES, image=Volume(image.array[1:], AFFINE))
    holes = image.array.astype(np.float32)
    holes[2, 2, 3] = np.nan
    assert statistics(labels, NAMES, image=image.with_array(holes))["box"]["mean_hu"] is None
