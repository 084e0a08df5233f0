"""One process works on a batch; what a killed one left unfinished stays known until it is seen."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from slicekit.errors import WriteError
from slicekit.report.claim import Claim

KILLED = """
import os, signal, sys
from pathlib import Path
from slicekit.report.claim import Claim

claim = Claim(Path(sys.argv[1]), (int(sys.argv[3]), 4) if sys.argv[3:] else None)
claim.begin(sys.argv[2])
os.kill(os.getpid(), signal.SIGKILL)
"""


def die_at(folder: Path, *words: object) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), *map(str, words)], timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL


def test_nothing_is_left_of_a_batch_that_ended(tmp_path: Path) -> None:
    with Claim(tmp_path / "out") as claim:
        assert claim.unfinished == frozenset()
        claim.begin("a.nii.gz")
        claim.end("a.nii.gz")
    assert list((tmp_path / "out").iterdir()) == []


def test_two_batches_in_one_folder_are_refused_but_not_two_parts(tmp_path: Path) -> None:
    with (
        Claim(tmp_path, (1, 2)),
        Claim(tmp_path, (2, 2)) as other,
        pytest.raises(WriteError, match="another slicekit works on this batch"),
    ):
        assert other.unfinished == frozenset()
        Claim(tmp_path, (1, 2))


def test_a_killed_batch_names_the_case_it_was_at(tmp_path: Path) -> None:
    die_at(tmp_path, "a.nii.gz")
    die_at(tmp_path, "ä \ud83d.nii.gz".encode("utf-8", "surrogatepass").decode("latin-1"), 3)
    with pytest.raises(KeyboardInterrupt), Claim(tmp_path, (1, 2)) as claim:
        assert len(claim.unfinished) == 2
        assert "a.nii.gz" in claim.unfinished
        claim.begin("b.nii.gz")
        claim.end("b.nii.gz")
        claim.begin("a.nii.gz")
        claim.end("a.nii.gz")
        raise KeyboardInterrupt
    with Claim(tmp_path, (1, 2)) as claim:  # the one that was not seen is still known
        assert len(claim.unfinished) == 1
        assert "a.nii.gz" not in claim.unfinished
    assert list(tmp_path.iterdir()) == []


def test_a_torn_or_foreign_file_names_no_case(tmp_path: Path) -> None:
    for content in (b'{"cases": ["a', b"[]", b"null", b'{"cases": 3}'):
        (tmp_path / ".slicekit-batch").write_bytes(content)
        with Claim(tmp_path) as claim:
            assert claim.unfinished == frozenset()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError):
        Claim(tmp_path / "file" / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
