"""Ids get their names from the files near a label map."""

from __future__ import annotations

import json

import pytest

from slicekit.errors import LabelError, ReadError
from slicekit.report.naming import name_all, name_drawn, names_near


def test_the_json_beside_goes_before_the_dataset(tmp_path):
    mask = tmp_path / "labelsTr" / "a.nii.gz"
    mask.parent.mkdir()
    assert names_near(mask) == (None, "")
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
