"""A dataset folder is read as it is meant, or refused with what was found."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slicekit.data.cases import find_cases, training_split
from slicekit.errors import DatasetError, LabelError, ReadError


@pytest.fixture
def make(tmp_path):
    """Lay out a dataset of empty files: only names are looked at."""

    def lay(images, labels=(), splits=None, description=None):
        for folder, names in (("imagesTr", images), ("labelsTr", labels)):
            (tmp_path / folder).mkdir(exist_ok=True)
            for name in names:
                (tmp_path / folder / name).touch()
        what = {"labels": {"background": 0, "liver": 1}} if description is None else description
        (tmp_path / "dataset.json").write_text(json.dumps(what))
        if splits is not None:
            (tmp_path / "splits.json").write_text(json.dumps(splits))
        return tmp_path

    return lay


def pairs(dataset):
    return {case.name: case.labels is not None and case.labels.name for case in dataset.cases}


def test_a_case_without_labels_is_an_unlabelled_one(make):
    dataset = find_cases(make(["b_0000.nii.gz", "a_0000.nii"], ["a.nii.gz"]))
    assert pairs(dataset) == {"a": "a.nii.gz", "b": False}
    assert [case.name for case in dataset.cases] == ["a", "b"]
    assert dict(dataset.labels.ids) == {"liver": 1}
    assert "2 scans (1 labelled, 1 unlabelled), 1 organs" in str(dataset)


@pytest.mark.parametrize(
    ("images", "labels", "names"),
    [
        (["a_0000.nii.gz"], ["a.nii.gz"], {"a"}),
        (["a.nii.gz"], ["a.nii.gz"], {"a"}),
        # the digits belong to the name
        (
            ["ct_0007_0000.nii.gz", "ct_0008_0000.nii.gz"],
            ["ct_0007.nii.gz"],
            {"ct_0007", "ct_0008"},
        ),
        (["ct_0007.nii.gz", "ct_0008.nii.gz"], ["ct_0007.nii.gz"], {"ct_0007", "ct_0008"}),
        (["ct_0000.nii.gz", "ct_0001.nii.gz"], ["ct_0000.nii.gz"], {"ct_0000", "ct_0001"}),
        (["_0000.nii.gz"], [], {"_0000"}),
        (["Ärzte 1, links_0000.nii.gz"], ["Ärzte 1, links.nii"], {"Ärzte 1, links"}),
    ],
)
def test_names_with_and_without_the_channel_are_accepted(make, images, labels, names):
    dataset = find_cases(make(images, labels))
    assert {case.name for case in dataset.cases} == names
    assert sum(case.labels is not None for case in dataset.cases) == len(labels)


def test_further_channels_are_refused(make):
    with pytest.raises(DatasetError, match=r"a_0001\.nii\.gz is a further channel"):
        find_cases(make(["a_0000.nii.gz", "a_0001.nii.gz"], ["a.nii.gz"]))


def test_the_id_of_what_nobody_could_name_is_told(make):
    labels = {"background": 0, "liver": 1, "ignore": 2}
    dataset = find_cases(make(["a.nii"], ["a.nii"], description={"labels": labels}))
    assert dict(dataset.labels.ids) == {"liver": 1}
    assert [case.ignore_id for case in dataset.cases] == [2]
    with pytest.raises(LabelError, match="'ignore': 'two'"):
        find_cases(make(["a.nii"], description={"labels": labels | {"ignore": "two"}}))


def test_other_files_are_passed_over(make):
    folder = make(["a.nii.gz", ".hidden.nii.gz", "notes.txt"], ["a.nii.gz", ".DS_Store"])
    assert pairs(find_cases(folder)) == {"a": "a.nii.gz"}


def test_mismatches_are_listed_with_what_was_found_and_paired(make):
    folder = make(["a.nii.gz", "b.nii.gz"], ["b.nii.gz", "lab_a.nii.gz", "lab_c.nii.gz"])
    with pytest.raises(DatasetError) as caught:
        find_cases(folder)
    assert (
        "2 images, 3 label files, 1 pairs; these labels have no image: lab_a, lab_c; "
        "the images are a, b" in str(caught.value)
    )


@pytest.mark.parametrize("files", [["a.nii.gz", "a.nii"], ["a_0000.nii", "a.nii"]])
def test_two_files_for_one_case_are_refused(make, files):
    with pytest.raises(DatasetError, match=r"two files for the case 'a': .*\.nii.* and .*\.nii"):
        find_cases(make(files))


def test_what_is_missing_is_named(tmp_path, make):
    with pytest.raises(DatasetError, match=r"dataset\.json is missing"):
        find_cases(tmp_path)
    with pytest.raises(DatasetError, match=r"imagesTr holds no \.nii"):
        find_cases(make([]))
    with pytest.raises(DatasetError, match="has no 'labels'"):
        find_cases(make(["a.nii"], description={"name": "x"}))
    with pytest.raises(DatasetError, match="must hold a JSON object, got list"):
        find_cases(make(["a.nii"], description=[1]))
    with pytest.raises(LabelError, match="share the id 1"):
        find_cases(make(["a.nii"], description={"labels": {"liver": 1, "spleen": 1}}))
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(ReadError, match=r"dataset\.json: is not readable JSON"):
        find_cases(tmp_path)


@pytest.mark.parametrize(
    ("splits", "cause"),
    [
        ({"train": "a"}, "'train' must be a list"),
        ({"train": ["a", "z"]}, "'train' names cases that have no image: z"),
        ({"train": [["a"], 3]}, "'train' names cases that have no image: .*'a'.*, 3"),
        ([{"train": ["a"]}], "must hold a JSON object"),
    ],
)
def test_splits_that_cannot_be_meant_are_refused(make, splits, cause):
    with pytest.raises(DatasetError, match=cause):
        find_cases(make(["a.nii"], splits=splits))


SPLITS = {
    "train": ["a", "b", "u"],
    "few": ["a"],
    "rest": ["b", "u"],
    "val": ["c"],
    "both": ["b", "c"],
}


@pytest.fixture
def dataset(make):
    labels = [f"{name}.nii" for name in "abcd"]
    return find_cases(make([*labels, "u.nii", "v.nii"], labels, splits=SPLITS))


def names(cases):
    return "".join(case.name for case in cases)


@pytest.mark.parametrize(
    ("groups", "wanted"),
    [
        (("train", None, "val"), ("ab", "uv", "c")),
        ((None, None, "val"), ("abd", "uv", "c")),
        ((None, None, None), ("abcd", "uv", "")),
        (("few", "rest", "val"), ("a", "bu", "c")),
    ],
)
def test_groups_say_what_is_learned_from(dataset, groups, wanted):
    labelled, unlabelled, held_out = groups
    split = training_split(dataset, labelled=labelled, unlabelled=unlabelled, held_out=held_out)
    assert tuple(names(cases) for cases in split) == wanted


def test_what_is_learned_from_and_held_out_is_refused(dataset):
    for groups in (("both", None), ("train", "both")):
        with pytest.raises(DatasetError, match="held out and trained on at once: c"):
            training_split(dataset, labelled=groups[0], unlabelled=groups[1], held_out="val")


def test_what_is_labelled_and_unlabelled_at_once_is_refused(dataset):
    with pytest.raises(DatasetError, match="labelled and unlabelled at once: a"):
        training_split(dataset, labelled="few", unlabelled="train", held_out="val")


def test_an_unknown_group_is_refused_with_the_likely_one(dataset):
    with pytest.raises(DatasetError, match=r"splits\.json has no group 'trian'; did you mean 'tra"):
        training_split(dataset, labelled="trian", unlabelled=None, held_out=None)


def test_nothing_to_learn_from_is_refused(make):
    with pytest.raises(DatasetError, match="no labelled case to learn from"):
        training_split(find_cases(make(["a.nii"])), labelled=None, unlabelled=None, held_out=None)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(groups=st.tuples(*[st.sampled_from([None, *SPLITS])] * 3))
def test_no_held_out_case_ever_leaks_into_training(dataset, groups):
    labelled, unlabelled, held_out = groups
    try:
        teach, free, apart = training_split(
            dataset, labelled=labelled, unlabelled=unlabelled, held_out=held_out
        )
    except DatasetError:
        return
    groups = [{case.name for case in cases} for cases in (teach, free, apart)]
    assert len(set.union(*groups)) == sum(map(len, groups))
    assert all(case.labels is not None for case in teach)


def test_a_real_dataset_is_read(shared_data):
    dataset = find_cases(shared_data / "abdomen_ct")
    assert len(dataset.cases) == 18
    assert len(dataset.labels) == 13
    assert all(case.labels is not None for case in dataset.cases)
    teach, free, apart = training_split(
        dataset, labelled="few_labelled", unlabelled="unlabelled", held_out="val"
    )
    assert (len(teach), len(free), len(apart)) == (4, 10, 4)
    assert not {case.name for case in apart} & {case.name for case in teach + free}


def test_a_scan_may_be_a_folder_of_slices_with_a_folder_of_masks(tmp_path):
    for folder in ("imagesTr/p1_0000", "imagesTr/p2", "imagesTr/empty", "labelsTr/p1"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("imagesTr/p1_0000/1.png", "imagesTr/p2/1.NPY", "labelsTr/p1/1.png"):
        (tmp_path / file).touch()
    (tmp_path / "imagesTr" / "empty" / "notes.txt").touch()
    (tmp_path / "imagesTr" / "p3.nii.gz").touch()
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "liver": 1}}))
    dataset = find_cases(tmp_path)
    assert pairs(dataset) == {"p1": "p1", "p2": False, "p3": False}
    assert [case.image.is_dir() for case in dataset.cases] == [True, True, False]


def test_a_folder_of_masks_without_a_scan_is_refused(tmp_path):
    for folder in ("imagesTr/p1", "labelsTr/p2"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "1.png").touch()
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "liver": 1}}))
    with pytest.raises(DatasetError, match="these labels have no image: p2"):
        find_cases(tmp_path)


def test_a_folder_that_is_not_there_is_told_before_its_files(tmp_path):
    with pytest.raises(DatasetError, match="nowhere does not exist; name a dataset folder"):
        find_cases(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="file is no folder"):
        find_cases(tmp_path / "file")


def test_a_group_without_a_splits_file_is_told(make):
    with pytest.raises(DatasetError, match=r"there is no .*splits\.json.* no group 'unlabeled'"):
        find_cases(make(["a.nii"])).select("unlabeled")
