"""Ids get their names from the files near a label map."""

from __future__ import annotations

import json

import numpy as np
import pytest
from made_series import write_series

from slicekit.errors import DatasetError, LabelError, ReadError
from slicekit.io import read_volume, write_labels
from slicekit.labels import LabelSet
from slicekit.report.naming import name_all, name_drawn, name_files, names_of


def test_the_json_beside_goes_before_the_dataset(tmp_path):
    mask = tmp_path / "labelsTr" / "a.nii.gz"
    mask.parent.mkdir()
    assert names_of(mask) == (None, "")
    assert dict(name_all(mask, [4, 2]).ids) == {"label_2": 2, "label_4": 4}
    dataset = {"labels": {"background": 0, "liver": 1, "spleen": 2}}
    (tmp_path / "dataset.json").write_text(json.dumps(dataset))
    assert dict(name_all(mask, [2, 4]).ids) == {"liver": 1, "spleen": 2, "label_4": 4}
    (mask.parent / "a.json").write_text(json.dumps({"labels": {"aorta": 2}}))
    assert dict(name_all(mask, [2]).ids) == {"aorta": 2}
    assert dict(name_drawn(mask, [2]).ids) == {"aorta": 2}


def test_what_is_drawn_must_be_named_whole(tmp_path):
    mask = tmp_path / "a.nii.gz"
    (tmp_path / "a.json").write_text(json.dumps({"labels": {"aorta": 2, "liver": 1}}))
    assert dict(name_drawn(mask, [1]).ids) == {"liver": 1}
    with pytest.raises(LabelError, match=r"holds the ids \[3\], which the a\.json"):
        name_drawn(mask, [2, 3])
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ReadError, match="is not readable JSON"):
        name_all(mask, [1])


def test_damaged_names_are_refused_with_the_file(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ReadError, match=r"a\.json"):
        names_of(tmp_path / "a.nii.gz")
    (tmp_path / "a.json").write_text('{"labels": {"liver": "six"}}')
    with pytest.raises(DatasetError, match=r"a\.json, key 'labels'"):
        names_of(tmp_path / "a.nii.gz")
    (tmp_path / "a.json").write_text('{"made_by": "somebody else"}')
    assert names_of(tmp_path / "a.nii.gz") == (None, "")


def test_dicom_labels_name_themselves(tmp_path):
    write_series(tmp_path / "series")
    scan = read_volume(tmp_path / "series")
    (tmp_path / "a.json").write_text(json.dumps({"labels": {"aorta": 1}}))
    names = LabelSet({"liver": 1, "spleen": 2})
    for ending in (".dcm", ".rtstruct.dcm"):
        file = tmp_path / f"a{ending}"
        assert dict(names_of(file)[0].ids) == {"aorta": 1}  # of a file that is to be written
        ids = np.zeros(scan.shape, np.uint8)
        ids[1, 2:6, 2:6] = 2
        write_labels(file, ids, like=scan, names=names)
        found, source = names_of(file)
        assert (dict(found.ids)["spleen"], source) == (2, file.name)


def test_where_names_may_lie(tmp_path):
    places = name_files(tmp_path / "labelsTr" / "a.RTSTRUCT.dcm")
    assert [place.relative_to(tmp_path).as_posix() for place in places] == [
        "labelsTr/a.json", "labelsTr/dataset.json", "dataset.json",
    ]  # fmt: skip
