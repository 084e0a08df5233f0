"""Cases 34 to 39 of the list of fault cases, as far as batches go; every fault is a real one."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
DOOR = CHECKOUT / "infer.py"
WHOLE = (".nii.gz", ".json", "_stats.json")
LIMITED = """
import resource, sys
from slicekit import cli
from slicekit.inference import model, pipeline
from slicekit.report import batch_run

right, more_mib = batch_run.Batch.run, int(sys.argv.pop(1))


def run(self, **words):  # the limit comes once all modules and the model are there
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    limit = used + more_mib * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return right(self, **words)


batch_run.Batch.run = run
sys.argv[0] = "infer.py"
cli.infer_door()
"""


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def statuses(out: Path, name: str = "run.jsonl") -> list[tuple[str, str]]:
    return [
        (one["case"], one["status"])
        for one in map(json.loads, (out / name).read_text().splitlines())
    ]


def start(*words: object, before: Any = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "160"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=before,
    )  # fmt: skip


def run(*words: object, before: Any = None) -> tuple[int, str, str]:
    with start(*words, before=before) as running:
        out, err = running.communicate(timeout=120)
        return running.returncode, out, err


def write_scan(path: Path, slices: int, *, side: int = 64) -> None:
    path.parent.mkdir(exist_ok=True)
    noise = np.random.default_rng(0).integers(-900, 900, (4, side, side), dtype=np.int16)
    array = np.tile(noise, (-(-slices // 4), 1, 1))[:slices]
    nibabel.save(nibabel.Nifti1Image(array.T, np.diag([6.0, 6.0, 1.0, 1.0])), path)


def wait_for(condition: Any, what: str) -> None:
    until = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.02)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, Any]]:
    """A file system of 32 KiB; where none may be mounted, a limit on the size of every file."""
    disk = tmp_path / "disk"
    disk.mkdir()
    words = ["-t", "tmpfs", "-o", "size=32k", "tmpfs", str(disk)]
    mount = shutil.which("mount")
    if mount and not subprocess.run([mount, *words], capture_output=True, check=False).returncode:
        yield disk, None
        subprocess.run(["umount", str(disk)], check=True)
    else:
        yield disk, partial(resource.setrlimit, resource.RLIMIT_FSIZE, (2_000, 2_000))


def test_killed_in_the_middle_of_a_batch_and_resumed(
    scans: Path, using: tuple[str, ...], tmp_path: Path
) -> None:
    """Cases 34 and 37: kill -9 while the second of three scans is segmented."""
    write_scan(scans / "aa.nii.gz", 3000)
    out, words = tmp_path / "out", (DOOR, scans, "-o", tmp_path / "out", *using)
    with start(*words) as running:
        wait_for(lambda: (out / "a.json").exists(), "the first scan is not done")
        wait_for(lambda: b"aa." in (out / ".slicekit-batch").read_bytes(), "no second scan")
        time.sleep(0.3)
        running.kill()
        running.wait()
    assert running.returncode == -signal.SIGKILL
    visible = {name for name in names_in(out) if not name.startswith(".")}
    assert visible == {"run.jsonl", *(f"a{end}" for end in WHOLE)}
    first = (out / "a.json").stat().st_mtime_ns
    with (out / "run.jsonl").open("a") as stream:
        stream.write('{"case": "aa.nii.gz", "sta')  # as a kill while the line is appended leaves it
    (out / "aa.nii.gz").write_bytes(b"half")  # as a kill between two renames leaves it
    write_scan(scans / "aa.nii.gz", 8)
    code, said, err = run(*words)
    assert code == 0, err
    assert "1 of 3 scans were done already" in err
    assert names_in(out) == {"run.jsonl", *(f"{c}{end}" for c in ("a", "aa", "b") for end in WHOLE)}
    assert (out / "a.json").stat().st_mtime_ns == first
    done = [f"{case}.nii.gz" for case in ("a", "b", "aa")]  # what killed once comes last
    assert statuses(out) == [(case, "done") for case in done]
    assert nibabel.load(out / "aa.nii.gz").shape == (64, 64, 8)
    assert said.count("seconds: read") == 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_case_37_a_signal_ends_a_batch_and_leaves_whole_cases(
    number: signal.Signals, code: int, scans: Path, using: tuple[str, ...], tmp_path: Path
) -> None:
    write_scan(scans / "aa.nii.gz", 3000)
    out = tmp_path / "out"
    with start(DOOR, scans, "-o", out, *using) as running:
        wait_for(lambda: (out / "a.json").exists(), "the first scan is not done")
        wait_for(lambda: b"aa." in (out / ".slicekit-batch").read_bytes(), "no second scan")
        time.sleep(0.3)
        running.send_signal(number)
        _, err = running.communicate(timeout=60)
    assert running.returncode == code, err
    assert "Traceback" not in err
    assert "stopped: 1 of 3 scans are done; the same command goes on from there" in err
    assert names_in(out) == {"run.jsonl", *(f"a{end}" for end in WHOLE)}
    assert statuses(out) == [("a.nii.gz", "done"), ("aa.nii.gz", "stopped")]


def test_case_34_a_full_disk_leaves_whole_cases_only(
    scans: Path, using: tuple[str, ...], small_disk: tuple[Path, Any]
) -> None:
    write_scan(scans / "noisy.nii.gz", 200)
    disk, limit = small_disk
    code, out, err = run(DOOR, scans, "-o", disk / "out", *using, before=limit)
    assert code == 2
    assert "could not be written whole: " in err
    assert "free some space or write elsewhere" in err
    assert ".slicekit-" not in err  # errors name files as they were to be called
    assert "Traceback" not in err
    there = {name for name in names_in(disk / "out") if not name.startswith("run")}
    cases = {name.removesuffix(".nii.gz") for name in there if name.endswith(".nii.gz")}
    assert there == {f"{case}{end}" for case in cases for end in WHOLE}
    failed = 3 - len(cases)
    assert failed
    assert f"{failed} of 3 scans failed" in err
    assert out.count("seconds: read") == len(cases)


def test_case_36_want_of_memory_costs_one_scan(
    scans: Path, using: tuple[str, ...], tmp_path: Path
) -> None:
    write_scan(scans / "aa.nii.gz", 200, side=512)  # 100 MiB as it is stored
    out = tmp_path / "out"
    code, _, err = run("-c", LIMITED, 220, scans, "-o", out, *using, "--no-propagation")
    assert code == 2, err
    assert f"error: {scans}/aa.nii.gz: there is not enough memory" in err
    assert f"1 of 3 scans failed: {scans}/aa.nii.gz" in err
    assert "Traceback" not in err
    assert [status for _, status in statuses(out)] == ["done", "failed", "done"]
    assert names_in(out) == {"run.jsonl", *(f"{case}{end}" for case in "ab" for end in WHOLE)}


def test_case_37_a_reader_of_the_results_that_goes_away_stops_nothing(
    scans: Path, using: tuple[str, ...], tmp_path: Path
) -> None:
    with start(DOOR, scans, "-o", tmp_path / "out", *using, "--no-propagation") as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        err = running.stderr.read()
        assert running.wait(timeout=60) == 0, err
    assert "Traceback" not in err
    assert [status for _, status in statuses(tmp_path / "out")] == ["done", "done"]


def test_a_truncated_scan_among_good_ones_is_told_at_the_end(
    door: Callable[..., Any], scans: Path, using: tuple[str, ...], tmp_path: Path
) -> None:
    (scans / "aa.nii.gz").write_bytes((scans / "a.nii.gz").read_bytes()[:-1000])
    out = tmp_path / "out"
    done = door("infer.py", scans, "-o", out, *using)
    assert done.code == 2
    assert done.err.splitlines()[-1] == f"1 of 3 scans failed: {scans}/aa.nii.gz"
    assert [status for _, status in statuses(out)] == ["done", "failed", "done"]
    assert names_in(out) == {"run.jsonl", *(f"{case}{end}" for case in "ab" for end in WHOLE)}
