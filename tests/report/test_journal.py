"""Lines are appended whole or not at all, by one process or several, and torn ones are mended."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from slicekit.errors import WriteError
from slicekit.report.journal import append_line, journal_path, journals_in, read_journals


def cases(path: Path) -> list[str]:
    return [json.loads(line)["case"] for line in path.read_text().splitlines()]


def test_a_batch_and_its_parts_have_journals_of_their_own(tmp_path: Path) -> None:
    names = [journal_path(tmp_path, part).name for part in (None, 1, 12)]
    assert names == ["run.jsonl", "run-1.jsonl", "run-12.jsonl"]
    for name in (*names, "run-a.jsonl", "runs.jsonl", "run-.jsonl"):
        (tmp_path / name).touch()
    assert [path.name for path in journals_in(tmp_path)] == [
        "run-1.jsonl",
        "run-12.jsonl",
        names[0],
    ]


@pytest.mark.parametrize("torn", [b'{"case": "b', b"x" * 200_000, b"\xff", b'{"case": "whole"}'])
def test_a_torn_last_line_is_cut_off(torn: bytes, tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.jsonl"
    append_line(path, {"case": "a"})
    with path.open("ab") as stream:
        stream.write(torn)
    append_line(path, {"case": "c"})
    assert cases(path) == ["a", "c"]


def test_a_journal_of_one_torn_line_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(b'{"case": "half')
    append_line(path, {"case": "\udcff ä\n"})
    assert path.read_bytes().count(b"\n") == 1
    assert json.loads(path.read_text()) == {"case": "\udcff ä\n"}


def test_the_last_line_of_a_case_counts_whichever_journal_it_is_in(tmp_path: Path) -> None:
    append_line(tmp_path / "run-1.jsonl", {"case": "b", "at": "2", "status": "failed"})
    append_line(tmp_path / "run.jsonl", {"case": "b", "at": "1", "status": "done"})
    append_line(tmp_path / "run.jsonl", {"case": "a", "at": "1"})
    with (tmp_path / "run.jsonl").open("a") as stream:
        stream.write('[]\n{"no": "case"}\n{"case": "c", "at": "3", "st')
    entries, torn = read_journals(tmp_path)
    assert [(one["case"], one.get("status")) for one in entries] == [("a", None), ("b", "failed")]
    assert torn == 3
    assert read_journals(tmp_path / "nowhere") == ([], 0)


def test_case_34_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    append_line(path, {"case": "a"})
    before = path.read_bytes()
    old, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, old[1]))
    try:
        with pytest.raises(WriteError, match=r"run\.jsonl: could not be written whole"):
            append_line(path, {"case": "b" * 100})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before
    append_line(path, {"case": "c"})
    assert cases(path) == ["a", "c"]


def test_a_journal_is_never_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("mine")
    (tmp_path / "run.jsonl").symlink_to(tmp_path / "real")
    with pytest.raises(WriteError, match=r"run\.jsonl"):
        append_line(tmp_path / "run.jsonl", {"case": "a"})
    assert (tmp_path / "real").read_text() == "mine"


def test_case_39_lines_of_two_processes_do_not_mix(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from slicekit.report.journal import append_line\n"
        "for n in range(60): append_line(Path(sys.argv[1]), {'case': sys.argv[2] * 3000, 'n': n})"
    )
    path = tmp_path / "run.jsonl"
    running = [subprocess.Popen([sys.executable, "-c", code, str(path), letter]) for letter in "ab"]
    assert [one.wait(timeout=60) for one in running] == [0, 0]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 120
    for letter in "ab":
        assert [one["n"] for one in lines if one["case"] == letter * 3000] == list(range(60))
