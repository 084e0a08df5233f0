"""The folder of a new dataset: links, names, and what an unfinished one lacks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slicekit.data.annotations import FILE_NAME
from slicekit.data.cases import Case, find_cases
from slicekit.errors import DatasetError, ReadError, WriteError
from slicekit.io import read_labels, write_labels
from slicekit.training.pseudo.folder import (
    FolderPlan,
    begin_folder,
    finish_folder,
    image_name,
    labels_path,
    link,
)


@pytest.fixture
def plan(boxes):
    """The boxes: odd has a liver, of sound nothing was accepted."""
    dataset = find_cases(boxes)
    labelled = [case for case in dataset.cases if case.labels is not None]
    free = [case for case in dataset.cases if case.labels is None]
    return FolderPlan(dataset, labelled, {"odd": ["liver"], "sound": []}, free, ())


@pytest.fixture
def odd(patients, tmp_path):
    """Write the accepted labels of the case odd."""

    def write():
        labels = patients.labels()
        labels.array[labels.array != 1] = 0
        write_labels(labels_path(tmp_path / "out", "odd"), labels, like=labels, overwrite=True)

    return write


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_is_a_dataset_only_when_it_is_finished(plan, odd, tmp_path):
    out = tmp_path / "out"
    begin_folder(out, plan)
    odd()
    with pytest.raises(DatasetError, match="is missing"):
        find_cases(out)
    finish_folder(out, plan)
    assert names_in(out) == [
        FILE_NAME, "dataset.json", "imagesTr", "labelsTr", "splits.json"
    ]  # fmt: skip
    dataset = find_cases(out)
    assert dataset.splits["unlabelled"] == ("sound",)
    assert dataset.splits["pseudo"] == ("odd",)
    begin_folder(out, plan)
    with pytest.raises(DatasetError, match="is missing"):
        find_cases(out)


def test_what_does_not_belong_there_any_more_is_taken_away(plan, odd, tmp_path):
    out = tmp_path / "out"
    begin_folder(out, plan)
    odd()
    truth = read_labels(plan.labelled[0].labels)
    write_labels(labels_path(out, "sound"), truth, like=truth)
    begin_folder(out, FolderPlan(plan.source, plan.labelled[:1], {}, (), ()))
    assert names_in(out / "imagesTr") == ["one_0000.nii.gz"]
    assert names_in(out / "labelsTr") == ["one.nii.gz"]
    assert len(names_in(plan.source.folder / "imagesTr")) == 4  # of the source nothing


def test_where_there_are_no_links_files_are_copied(plan, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    begin_folder(tmp_path / "out", plan)
    copy = tmp_path / "out" / "labelsTr" / "one.nii.gz"
    assert not copy.is_symlink()
    assert copy.read_bytes() == plan.labelled[0].labels.read_bytes()


def test_links_lead_to_the_files_themselves(plan, boxes, tmp_path):
    """A dataset may be made of links already, and a link may have led elsewhere."""
    begin_folder(tmp_path / "out", plan)
    finish_folder(tmp_path / "out", FolderPlan(plan.source, plan.labelled, {}, plan.free, ()))
    source = find_cases(tmp_path / "out")
    again = FolderPlan(source, source.cases[:1], {}, (), ())
    target = tmp_path / "again" / "imagesTr" / source.cases[0].image.name
    target.parent.mkdir(parents=True)
    target.symlink_to("nowhere")
    begin_folder(tmp_path / "again", again)
    assert target.readlink() == boxes / "imagesTr" / source.cases[0].image.name


def test_faults_of_the_disk_are_told(plan, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(WriteError, match="out"):
        begin_folder(tmp_path / "out", plan)
    (plan.source.folder / "dataset.json").write_text(json.dumps({})[:1])
    begin_folder(tmp_path / "new", plan)
    with pytest.raises(ReadError, match="cannot be read any more"):
        finish_folder(tmp_path / "new", plan)
    assert not (tmp_path / "new" / "dataset.json").exists()


def test_a_folder_of_slices_is_called_as_its_case(tmp_path):
    (tmp_path / "images").mkdir()
    names = ("p", "p_0001", "p_0000")
    found = [image_name(Case(name, tmp_path / "images", None)) for name in names]
    assert found == ["p", "p_0001", "p_0000_0000"]  # four zeros would be taken for a channel


@pytest.mark.parametrize("knows_links", [True, False])
def test_files_and_folders_are_linked_or_copied(knows_links, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    if not knows_links:
        monkeypatch.setattr(Path, "symlink_to", refuse)
    (tmp_path / "scan").mkdir()
    (tmp_path / "scan" / "1.png").write_text("slice")
    for name in ("scan", "scan/1.png"):
        target = tmp_path / f"to_{Path(name).name}"
        link(tmp_path / name, target)
        assert target.is_symlink() == knows_links
    assert (tmp_path / "to_scan" / "1.png").read_text() == "slice"
    assert (tmp_path / "to_1.png").read_text() == "slice"
