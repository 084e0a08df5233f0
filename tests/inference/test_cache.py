"""Slow results are kept between runs; a folder that fails costs time, never a result."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slicekit.inference.cache import Cache


def unwanted() -> bytes:
    raise AssertionError("it was made again")


def test_what_was_made_is_found_again(tmp_path: Path) -> None:
    assert Cache(tmp_path / "new").get("one", lambda: b"slow") == b"slow"
    assert Cache(tmp_path / "new").get("one", unwanted) == b"slow"


@pytest.mark.parametrize("damage", [b"", b"short", b"x" * 40])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: bytes) -> None:
    Cache(tmp_path).get("one", lambda: b"slow")
    (tmp_path / "one").write_bytes(damage)
    assert Cache(tmp_path).get("one", lambda: b"anew") == b"anew"
    assert Cache(tmp_path).get("one", unwanted) == b"anew"


def test_one_changed_bit_is_noticed(tmp_path: Path) -> None:
    Cache(tmp_path).get("one", lambda: b"slow")
    content = bytearray((tmp_path / "one").read_bytes())
    content[-1] ^= 1
    (tmp_path / "one").write_bytes(content)
    assert Cache(tmp_path).get("one", lambda: b"anew") == b"anew"


def test_a_folder_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert Cache(tmp_path / "file").get("one", lambda: b"slow") == b"slow"


def test_what_was_not_used_for_longest_makes_room(tmp_path: Path) -> None:
    cache = Cache(tmp_path, most_bytes=3 * (32 + 10))
    for age, name in enumerate("abc"):
        cache.get(name, lambda: bytes(10))
        os.utime(tmp_path / name, (age, age))
    cache.get("a", unwanted)  # used just now
    cache.get("d", lambda: bytes(10))
    assert {file.name for file in tmp_path.iterdir()} == {"a", "c", "d"}
