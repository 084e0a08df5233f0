"""The page and the JSON of an inspection."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from slicekit.errors import WriteError
from slicekit.report.inspection import files_in, inspect_dataset, mend_dataset, write_inspection


def test_the_page_needs_nothing_else_and_is_inert(data: Path, tmp_path: Path) -> None:
    name = "<script>alert(1)<"
    (data / "imagesTr" / f"{name}_0000.nii.gz").write_bytes(b"<b>x</b>")
    files = write_inspection(inspect_dataset(data), tmp_path / "out")
    assert files == files_in(tmp_path / "out")
    page = files.page.read_text("utf-8")
    assert "<script" not in page and "&lt;script&gt;alert(1)" in page
    assert not re.search(r"(src|href)=", page)
    assert (
        page.count("<details") == page.count("</details>") == len(inspect_dataset(data).by_kind())
    )
    assert "8 x 10 x 12" in page and "5 x 2 x 2" in page
    assert "liver, spleen" in page and "6 of 8" in page


def test_the_json_holds_every_finding_and_case(data: Path, tmp_path: Path) -> None:
    for name in "abcd":
        (data / "labelsTr" / f"{name}.nii.gz").write_bytes(b"x")
    files = write_inspection(inspect_dataset(data), tmp_path)
    told = json.loads(files.facts.read_text("utf-8"))
    assert told["counts"] == {"errors": 4, "warnings": 0, "notes": 0}
    (kind,) = told["findings"]
    assert (kind["kind"], kind["severity"], kind["count"]) == ("unreadable", "error", 4)
    assert [one["where"] for one in kind["all"]] == list("abcd")
    assert [case["name"] for case in told["cases"]] == list("abcd")
    assert told["cases"][0]["shape"] == [8, 10, 12]
    assert told["cases"][0]["voxels"] is None


def test_what_was_mended_is_on_the_page(data: Path, tmp_path: Path, say: Any) -> None:
    say(data, "dataset.json", {"labels": {"liver": 1, "spleen": 2}, "numTraining": 0})
    found = inspect_dataset(data)
    mended = mend_dataset(found, tmp_path / "copy")
    files = write_inspection(found, tmp_path / "out", mended)
    assert "numTraining is 4" in files.page.read_text("utf-8")
    told = json.loads(files.facts.read_text("utf-8"))
    assert told["mended"]["changes"] == [{"file": "dataset.json", "what": "numTraining is 4"}]


def test_nothing_found_is_said(data: Path, tmp_path: Path) -> None:
    page = write_inspection(inspect_dataset(data), tmp_path).page.read_text("utf-8")
    assert "Nothing was found." in page


def test_a_folder_in_the_way_is_told(data: Path, tmp_path: Path) -> None:
    (tmp_path / "check.html").mkdir()
    with pytest.raises(WriteError, match=r"check\.html"):
        write_inspection(inspect_dataset(data), tmp_path)


def test_names_that_are_no_text_stop_nothing(data: Path, tmp_path: Path) -> None:
    for name in (b"\xff\xfe", b"line\nbreak\x1b[31m"):
        (data / "imagesTr" / f"{os.fsdecode(name)}_0000.nii.gz").write_bytes(b"x")
    found = inspect_dataset(data)
    files = write_inspection(found, tmp_path / "out")
    assert "\\udcff\\udcfe" in files.page.read_text("utf-8")
    assert "'line\\nbreak\\x1b[31m': " in found.to_text()
    json.loads(files.facts.read_text("utf-8"))
