"""What must not be written is refused before anything is computed."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from slicekit.errors import WriteError
from slicekit.io import expect_writable


def test_a_new_name_is_allowed_even_below_missing_folders(tmp_path: Path) -> None:
    target = tmp_path / "new" / "deeper" / "mask.nii.gz"
    assert expect_writable(str(target)) == target
    assert not target.parent.exists()


def test_existing_output_needs_overwrite(tmp_path: Path) -> None:
    target = tmp_path / "mask.nii.gz"
    target.touch()
    with pytest.raises(WriteError, match="exists already"):
        expect_writable(target)
    assert expect_writable(target, overwrite=True) == target


@pytest.mark.parametrize("kind", ["same", "dotted", "hard link", "soft link"])
def test_the_input_is_never_an_output(tmp_path: Path, kind: str) -> None:
    scan = tmp_path / "scan.nii.gz"
    scan.touch()
    output = {"same": scan, "dotted": tmp_path / "x" / ".." / "scan.nii.gz"}.get(
        kind, tmp_path / "other"
    )
    (tmp_path / "x").mkdir()
    if kind == "hard link":
        os.link(scan, output)
    elif kind == "soft link":
        output.symlink_to(scan)
    with pytest.raises(WriteError, match="is the input itself"):
        expect_writable(output, overwrite=True, inputs=[scan])


@pytest.mark.parametrize("aim", ["real", "nowhere"])
def test_a_symbolic_link_is_refused(tmp_path: Path, aim: str) -> None:
    (tmp_path / "real").touch()
    link = tmp_path / "link"
    link.symlink_to(aim)
    with pytest.raises(WriteError, match="symbolic link"):
        expect_writable(link, overwrite=True)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="is not a folder"):
        expect_writable(tmp_path / "file" / "mask.nii.gz")


@pytest.mark.parametrize(
    ("mode", "why"), [(0o555, "read-only"), (0o000, "[Pp]ermission|read-only")]
)
def test_a_closed_folder_is_refused(
    open_folder: Path, as_nobody: Callable[[], AbstractContextManager[None]], mode: int, why: str
) -> None:
    (open_folder / "mask.nii.gz").touch()
    open_folder.chmod(mode)
    with as_nobody(), pytest.raises(WriteError, match=why):
        expect_writable(open_folder / "mask.nii.gz", overwrite=True)
