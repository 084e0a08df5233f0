"""Case 31 of the list of fault cases: a process that is killed while it saves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from slicekit.checkpoint import retrieve, store

KILLED = """
import os, signal, sys
from pathlib import Path

import torch
from slicekit import checkpoint
from slicekit.io import atomic

torch.set_num_threads(1)
path, point = Path(sys.argv[1]), None


def die(*_args, **_options):
    os.kill(os.getpid(), signal.SIGKILL)


def after(function):
    def both(*args, **options):
        function(*args, **options)
        die()

    return both


def half(tensors, file, metadata):
    checkpoint_file(tensors, file, metadata=metadata)
    os.truncate(file, file.stat().st_size // 2)
    die()


def at_fsync(number):
    calls = []

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) == number:
            die()
        real_fsync(descriptor)

    os.fsync = fsync


checkpoint_file, real_fsync = checkpoint.save_file, os.fsync
POINTS = {
    "created": lambda: setattr(checkpoint, "save_file", die),
    "half written": lambda: setattr(checkpoint, "save_file", half),
    "written": lambda: setattr(checkpoint, "save_file", after(checkpoint_file)),
    "file fsync": lambda: at_fsync(1),
    "verify": lambda: setattr(checkpoint, "_verify", die),
    "rename": lambda: setattr(Path, "replace", die),
    "renamed": lambda: setattr(Path, "replace", after(Path.replace)),
    "folder fsync": lambda: at_fsync(2),
}
for point, prepare in POINTS.items():
    child = os.fork()
    if not child:
        prepare()
        checkpoint.store(path.with_name(point) / "state.safetensors", {"a": torch.ones(999)}, {})
        os._exit(0)
    print(point, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), sep=":")
"""


@pytest.mark.slow
def test_case_31_killed_at_every_point_of_a_save(tmp_path: Path) -> None:
    """Each point has its own folder with a good state in it; one process, killed eight times."""
    points = KILLED.split("POINTS = {")[1].split("}")[0]
    names = [line.split('"')[1] for line in points.splitlines() if '"' in line]
    for name in names:
        store(tmp_path / name / "state.safetensors", {"a": torch.zeros(999)}, {})
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "x")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.split("\n")[:-1] == [f"{name}:{-signal.SIGKILL}" for name in names]
    for name in names:
        path = tmp_path / name / "state.safetensors"
        value = 1.0 if name in ("renamed", "folder fsync") else 0.0
        assert torch.equal(retrieve(path).tensors["a"], torch.full((999,), value)), name
        left = [file for file in path.parent.iterdir() if file != path]
        assert len(left) == (value == 0), name
        assert all(file.name.startswith(".slicekit-") for file in left)  # nobody looks for those
        store(path, {"a": torch.full((999,), 2.0)}, {})
        assert [file.name for file in path.parent.iterdir()] == ["state.safetensors"]
        assert retrieve(path).tensors["a"][0] == 2
