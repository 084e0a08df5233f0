"""A JSON file of a dataset is an object, whole, and names no key twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from slicekit.data.json_file import read_json
from slicekit.errors import DatasetError, ReadError


def test_an_object_comes_back(tmp_path: Path) -> None:
    file = tmp_path / "one.json"
    file.write_text('{"a": {"b": [1]}}')
    assert read_json(file, what="") == {"a": {"b": [1]}}


@pytest.mark.parametrize("text", ["{", '{"a": 1, "a": 2}', "[" * 100_000, "\0"])
def test_what_is_damaged_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "one.json"
    file.write_text(text)
    with pytest.raises(ReadError, match=r"one.json"):
        read_json(file, what="")


def test_what_is_no_object_or_not_there_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "one.json"
    file.write_text("[1]")
    with pytest.raises(DatasetError, match="must hold a JSON object, got list"):
        read_json(file, what="")
    with pytest.raises(DatasetError, match=r"gone.json is missing; it is needed"):
        read_json(tmp_path / "gone.json", what="it is needed")
