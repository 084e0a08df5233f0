"""Volumes of boxes that can be counted by hand."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
import SimpleITK
from scipy import ndimage

from slicekit.errors import GeometryError, LabelError
from slicekit.io import read_labels, read_volume
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


BOX = {"voxels": 12, "volume_ml": 1.2, "touches_border": False, "mean_hu": 45.0}
CORNER = {"voxels": 2, "volume_ml": 0.2, "touches_border": True, "mean_hu": -500.0}
ABSENT = {"voxels": 0, "volume_ml": 0.0, "touches_border": False, "mean_hu": None}


def part(entry, like):
    return {key: entry[key] for key in like}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64, np.uint64])
def test_boxes_are_measured(dtype):
    labels, image = scene(dtype)
    result = statistics(labels, NAMES, image=image)
    assert list(result) == ["box", "corner", "absent"]
    for name, wanted in {"box": BOX, "corner": CORNER, "absent": ABSENT}.items():
        assert part(result[name], wanted) == wanted
    json.dumps(result, allow_nan=False)


def test_boxes_lie_where_they_were_put():
    labels, image = scene()
    result = statistics(labels, NAMES, image=image)
    # z, y, x lie along the world's x, y, z here; nothing but arrays: indices are x, y, z
    assert part(result["box"], ("centroid_voxel", "box_first_voxel", "box_last_voxel")) == {
        "centroid_voxel": [3.0, 2.5, 2.5],
        "box_first_voxel": [2, 2, 2],
        "box_last_voxel": [4, 3, 3],
    }
    assert result["box"]["centroid_mm"] == [5.0, 12.5, 30.0]
    assert result["box"]["box_mm"] == [30.0, 10.0, 4.0]
    assert result["corner"]["centroid_mm"] == [0.0, 0.0, 5.0]
    gone = ("centroid_mm", "centroid_voxel", "box_first_voxel", "box_last_voxel", "box_mm")
    assert part(result["absent"], gone) == dict.fromkeys(gone)


def test_intensities_have_a_spread():
    labels, image = scene()
    result = statistics(labels, NAMES, image=image, in_hu=False)
    assert "mean_hu" not in result["box"]
    values = image.array[labels.array == 1]
    assert part(result["box"], ("mean", "minimum", "maximum")) == {
        "mean": 45.0, "minimum": 40.0, "maximum": 100.0
    }  # fmt: skip
    assert result["box"]["deviation"] == pytest.approx(values.std(), rel=1e-5)
    assert result["absent"]["deviation"] is result["absent"]["minimum"] is None


def test_small_spreads_of_large_numbers_survive():
    labels = Volume(np.ones((40, 5, 5), np.uint8), AFFINE)
    values = 1e8 + np.random.default_rng(1).normal(size=labels.shape)
    image = labels.with_array(values)
    found = statistics(labels, LabelSet({"all": 1}), image=image)["all"]
    assert found["deviation"] == pytest.approx(values.std(), rel=1e-5)


@pytest.mark.parametrize(("corners", "parts"), [(True, 1), (False, 2)])
def test_components_are_counted_by_26_or_6_neighbours(corners, parts):
    array = np.zeros((4, 4, 4), np.uint8)
    array[1, 1, 1] = array[2, 2, 2] = 1
    found = statistics(Volume(array, AFFINE), NAMES, corners=corners)
    assert found["box"]["components"] == parts
    assert found["absent"]["components"] == 0


def test_every_figure_is_that_of_the_organ_alone():
    rng = np.random.default_rng(3)
    array = rng.integers(0, 4, (7, 9, 8)).astype(np.uint8)
    image = Volume(rng.normal(size=array.shape).astype(np.float32), AFFINE)
    result = statistics(Volume(array, AFFINE), NAMES, image=image)
    for name, number in NAMES.ids.items():
        mask, entry = array == number, result[name]
        where = np.argwhere(mask)
        assert entry["voxels"] == mask.sum()
        assert entry["components"] == ndimage.label(mask, np.ones((3, 3, 3)))[1]
        assert entry["box_first_voxel"] == where.min(0)[::-1].tolist()
        assert entry["box_last_voxel"] == where.max(0)[::-1].tolist()
        assert entry["centroid_voxel"] == pytest.approx(where.mean(0)[::-1], abs=0.006)
        assert entry["mean"] == pytest.approx(float(image.array[mask].mean()), rel=1e-4)
        assert entry["deviation"] == pytest.approx(float(image.array[mask].std()), rel=1e-4)
        assert entry["maximum"] == pytest.approx(float(image.array[mask].max()), rel=1e-5)


@pytest.mark.parametrize("turn", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_indices_are_those_of_the_file(turn, tmp_path):
    stored = np.zeros((5, 6, 7), np.uint8)
    stored[1, 2, 3] = stored[1, 2, 4] = 1  # as nibabel and viewers count
    affine = np.eye(4)
    affine[:3, :3] = np.diag([-2.0, 3.0, -4.0])[:, list(turn)]
    affine[:3, 3] = (7, 8, 9)
    nibabel.save(nibabel.Nifti1Image(stored, affine), tmp_path / "a.nii")
    entry = statistics(read_labels(tmp_path / "a.nii"), LabelSet({"dot": 1}))["dot"]
    assert entry["centroid_voxel"] == [1.0, 2.0, 3.5]
    assert (entry["box_first_voxel"], entry["box_last_voxel"]) == ([1, 2, 3], [1, 2, 4])
    assert entry["centroid_mm"] == (affine @ [1, 2, 3.5, 1])[:3].tolist()
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    assert entry["box_mm"] == (steps * [1, 1, 2]).tolist()


@pytest.mark.parametrize("name", ["abdomen_ct/labelsTr/btcv_0005", "abdomen_mr/labelsTr"])
def test_real_labels_measure_what_simpleitk_measures(name, shared_data):
    place = shared_data / name
    file = sorted(place.glob("*.nii.gz"))[0] if place.is_dir() else place.with_suffix(".nii.gz")
    image_file = file.parents[1] / "imagesTr" / file.name.replace(".nii.gz", "_0000.nii.gz")
    labels = read_labels(file)
    names = LabelSet({str(n): n for n in np.unique(labels.array).tolist() if n})
    result = statistics(labels, names, image=read_volume(image_file), in_hu=False)
    peer = SimpleITK.LabelIntensityStatisticsImageFilter()
    peer.Execute(SimpleITK.ReadImage(str(file)), SimpleITK.ReadImage(str(image_file)))
    for key, entry in result.items():
        number = int(key)
        assert entry["voxels"] == peer.GetNumberOfPixels(number)
        assert entry["volume_ml"] == pytest.approx(peer.GetPhysicalSize(number) / 1000, abs=2e-3)
        x, y, z = peer.GetCentroid(number)  # ITK's world runs to left and back
        assert entry["centroid_mm"] == pytest.approx([-x, -y, z], abs=0.02)
        box = peer.GetBoundingBox(number)
        assert entry["box_first_voxel"] == list(box[:3])
        ends = [a + n - 1 for a, n in zip(box[:3], box[3:], strict=True)]
        assert entry["box_last_voxel"] == ends
        assert entry["mean"] == pytest.approx(peer.GetMean(number), rel=1e-5)
        assert entry["minimum"] == peer.GetMinimum(number)
        spread = peer.GetStandardDeviation(number)  # of a sample: one voxel less
        assert entry["deviation"] == pytest.approx(spread, rel=1e-2)


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
