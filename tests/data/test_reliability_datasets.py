"""Faulty datasets, one test a case: told at once and before anything starts, or read right.

The numbers are those of the project's list of fault cases.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
import unicodedata
import warnings
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicekit.data.cases import find_cases
from slicekit.data.doubts import expect_no_leak, tell_doubles
from slicekit.data.slices import cache_scan, cache_scans, read_case
from slicekit.errors import DatasetError, DataWarning, ReadError
from slicekit.io import write_volume
from slicekit.labels import LabelSet
from slicekit.recipes import InputRecipe
from slicekit.volume import Volume

ORGANS = LabelSet({"liver": 1, "spleen": 2})
AFFINE = np.diag([5.0, -2.0, -2.0, 1.0])[[2, 1, 0, 3]]
RECIPE = InputRecipe(windows="ct-body", spacing_mm=2.0, body_above_hu=None)


def noise(seed):
    return np.random.default_rng(seed).integers(-100, 200, (4, 12, 10)).astype(np.int16)


def masks():
    ids = np.zeros((4, 12, 10), np.uint8)
    ids[1:3, 2:6, 2:6] = 1
    ids[2, 8:11, 2:5] = 2
    return ids


@pytest.fixture
def lay(tmp_path):
    """Lay out a dataset: name to (image, labels), arrays or volumes; ``None`` for no labels."""

    def write(cases, *, annotations=None, splits=None):
        for number, (name, (image, labels)) in enumerate(cases.items()):
            for folder, content, ending in (
                ("imagesTr", noise(number) if image is None else image, "_0000.nii.gz"),
                ("labelsTr", labels, ".nii.gz"),
            ):
                if content is not None:
                    volume = content if isinstance(content, Volume) else Volume(content, AFFINE)
                    write_volume(tmp_path / folder / f"{name}{ending}", volume)
        (tmp_path / "dataset.json").write_text(json.dumps({"labels": dict(ORGANS.ids)}))
        for file, content in (("annotations", annotations), ("splits", splits)):
            if content is not None:
                (tmp_path / f"{file}.json").write_text(json.dumps(content))
        return tmp_path

    return write


def read_all(folder):
    cases = find_cases(folder).cases
    return cache_scans(
        [partial(read_case, case, labels=ORGANS, recipe=RECIPE) for case in cases],
        budget_bytes=1 << 30,
    )


def refusal(folder):
    with pytest.raises(DatasetError) as caught:
        read_all(folder)
    return str(caught.value)


MOVED = AFFINE + np.outer([40.0, 0, 0, 0], [0, 0, 0, 1])  # to the patient's right
WIDER = AFFINE * [1.0, 1.0, 1.5, 1.0]


@pytest.mark.parametrize(
    ("labels", "cause"),
    [
        (masks()[1:], r"is \(3, 12, 10\) \(z, y, x\) but .*bad_0000"),
        (Volume(masks(), MOVED), "lies elsewhere"),
        (Volume(masks(), WIDER), "lies elsewhere"),
        (masks() * np.float32(1.0000001), "must be whole numbers"),
        (masks() - np.int16(1), "must be from 0 to 65535, got -1"),
        (masks() * np.uint16(150), r"holds the ids \[300\]; ids go up to 254"),
        (masks() * 3, r"holds the ids \[3, 6\], but the recipe's organs are"),
    ],
)
def test_case_20_every_kind_of_bad_label_file_is_named_with_its_cause(lay, labels, cause):
    folder = lay({"good": (None, masks()), "bad": (None, labels), "worse": (None, masks() * 9)})
    said = refusal(folder)
    lines = said.splitlines()
    assert lines[0] == "2 scans cannot be used:"
    assert re.search(rf"^- .*bad.*{cause}", lines[1])
    assert "worse.nii.gz holds the ids [9, 18]" in lines[2]


def test_case_20_all_faults_of_one_case_are_listed_at_once(lay):
    labels = Volume(masks()[1:] * np.uint16(150), AFFINE)
    said = refusal(lay({"bad": (None, labels)}, annotations={"bad": {"annotated_slices": [4]}}))
    for part in ("is (3, 12, 10)", "[300]", "[150]", "name [4]"):
        assert part in said, said


def test_case_20_swapped_image_and_labels_are_recognised(lay):
    said = refusal(lay({"a": (masks().astype(np.int16), noise(0))}))
    assert "is it an image?" in said
    assert "a_0000.nii.gz holds nothing but ids: are image and labels swapped?" in said


def test_case_20_an_empty_label_map_is_doubtful(lay):
    with pytest.warns(DataWarning, match=r"a\.nii\.gz holds no organ"):
        (scan,) = read_all(lay({"a": (None, np.zeros_like(masks()))}))
    assert scan.slices_of == {}


def coarse(labels, *, spacing_mm, image=None):
    image = Volume(noise(0) if image is None else image, AFFINE)
    recipe = RECIPE.model_copy(update={"spacing_mm": spacing_mm})
    return cache_scan("a", image, Volume(labels, AFFINE), recipe=recipe)


def test_case_22_a_label_of_one_voxel_that_vanishes_is_reported():
    labels = masks()
    labels[0, 0, 0] = 7
    with pytest.warns(DataWarning, match=r"a: the ids \[7\] have no pixel left"):
        scan = coarse(labels, spacing_mm=8.0)
    assert set(scan.slices_of) == {1, 2}
    assert set(coarse(labels, spacing_mm=2.0).slices_of) == {1, 2, 7}


def test_case_22_a_thin_tube_that_vanishes_is_reported():
    labels = masks()
    labels[:, 0, 9] = 5  # one pixel wide, through all slices
    with pytest.warns(DataWarning, match=r"the ids \[5\] have no pixel left"):
        coarse(labels, spacing_mm=8.0)


def test_case_22_labels_outside_of_the_body_are_reported():
    image = np.full((4, 12, 10), -1000, np.int16)
    image[:, 1:9, 1:9] = 40
    labels = masks()
    labels[1, 11, 9] = 9
    recipe = RECIPE.model_copy(update={"body_above_hu": -300.0})
    with pytest.warns(DataWarning, match=r"the ids \[.*9\] have no pixel left"):
        cache_scan("a", Volume(image, AFFINE), Volume(labels, AFFINE), recipe=recipe)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), spacing_mm=st.sampled_from([1.3, 2.0, 3.1, 5.0, 9.0]))
def test_case_22_resampled_labels_are_nearest_ones_and_each_is_kept_or_reported(seed, spacing_mm):
    labels = np.random.default_rng(seed).choice(
        np.array([0, 0, 0, 3, 40, 250], np.uint8), (4, 12, 10)
    )
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        scan = coarse(labels, spacing_mm=spacing_mm)
    held, kept = set(np.unique(labels)), set(np.unique(scan.labels))
    assert kept <= held
    said = " ".join(str(one.message) for one in told)
    assert all(str(number) in said for number in held - kept - {0})


def test_case_23_one_scan_under_two_names_is_found_by_its_voxels(lay, tmp_path):
    """A copy, a link, another compression and another type of numbers."""
    folder = lay({"train": (None, masks()), "held": (None, masks())})
    held = folder / "imagesTr" / "held_0000.nii.gz"
    shutil.copy(held, folder / "imagesTr" / "copied_0000.nii.gz")
    (folder / "imagesTr" / "linked_0000.nii.gz").symlink_to(held)
    plain = gzip.decompress(held.read_bytes())
    (folder / "imagesTr" / "plain_0000.nii").write_bytes(plain)
    write_volume(
        folder / "imagesTr" / "float_0000.nii.gz", Volume(noise(1).astype(np.float32), AFFINE)
    )
    scans = {scan.name: scan for scan in read_all(folder)}
    apart, taught = [scans.pop("held")], list(scans.values())
    with pytest.raises(DatasetError) as caught:
        expect_no_leak(apart, taught)
    said = str(caught.value)
    for name in ("copied", "linked", "plain", "float"):
        assert f"{name} is held" in said
    assert "train is" not in said
    expect_no_leak(apart, [scans["train"]])
    with pytest.warns(DataWarning, match="copied and float and linked and plain are one scan"):
        tell_doubles(taught)


def test_case_23_the_same_case_twice_in_a_list_is_refused(lay):
    folder = lay({"a": (None, masks())}, splits={"train": ["a", "a"]})
    with pytest.raises(DatasetError, match="'train' names a twice"):
        find_cases(folder)
    (folder / "splits.json").write_text('{"train": ["a"], "train": []}')
    with pytest.raises(ReadError, match="'train' twice"):
        find_cases(folder)
    (folder / "splits.json").unlink()
    (folder / "dataset.json").write_text('{"labels": {"liver": 1, "liver": 2}}')
    with pytest.raises(ReadError, match="'liver' twice"):
        find_cases(folder)


@pytest.mark.parametrize(
    "name",
    ["Bäuche & Söhne", "två  ord ", "肝臓-01", "a'b\"c;$(x)", "new\nline", "n" * 230, "-o", "a..b"],
)
def test_case_23_odd_names_stay_what_they_are(lay, name):
    folder = lay(
        {name: (None, masks()), "other": (None, None)},
        splits={"train": [name]},
        annotations={name: {"labels_present": ["liver", "spleen"]}},
    )
    dataset = find_cases(folder)
    assert [case.name for case in dataset.select("train")] == [unicodedata.normalize("NFC", name)]
    scans = {scan.name: scan for scan in read_all(folder)}
    assert set(scans[name].slices_of) == {1, 2}


def test_case_23_an_umlaut_is_one_whether_written_as_one_character_or_two(lay):
    one, two = (unicodedata.normalize(form, "Jürgen") for form in ("NFC", "NFD"))
    assert one != two
    folder = lay({two: (None, None)}, splits={"train": [two]}, annotations={one: {}})
    write_volume(folder / "labelsTr" / f"{one}.nii.gz", Volume(masks(), AFFINE))
    (case,) = find_cases(folder).select("train")
    assert (case.name, case.labels.name) == (one, f"{one}.nii.gz")
    write_volume(folder / "imagesTr" / f"{one}_0000.nii.gz", Volume(noise(3), AFFINE))
    with pytest.raises(DatasetError, match="two files for the case"):
        find_cases(folder)


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "imagesTr/a", "a/../a"])
def test_case_23_names_that_leave_the_folder_are_no_cases(lay, name):
    folder = lay({"a": (None, masks())}, splits={"train": [name]})
    with pytest.raises(DatasetError, match="cases that have no image"):
        find_cases(folder)
    (folder / "splits.json").unlink()
    (folder / "annotations.json").write_text(json.dumps({name: {}}))
    with pytest.raises(DatasetError, match="there is no case"):
        find_cases(folder)


def test_case_23_links_to_cases_are_followed_and_broken_ones_named(lay, tmp_path):
    folder = lay({"a": (None, masks())})
    elsewhere = tmp_path / "elsewhere.nii.gz"
    (folder / "labelsTr" / "a.nii.gz").rename(elsewhere)
    (folder / "labelsTr" / "a.nii.gz").symlink_to(elsewhere)
    (scan,) = read_all(folder)
    assert set(scan.slices_of) == {1, 2}
    elsewhere.unlink()
    with pytest.raises(ReadError, match=r"labelsTr/a\.nii\.gz"):
        read_all(folder)
