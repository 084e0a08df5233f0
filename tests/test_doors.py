"""The doors as processes of their own: exit codes, signals, and how soon they answer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

CHECKOUT = Path(__file__).resolve().parents[1]


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def process(*words: object, cwd: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a command as a user does."""
    return subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "160"} | more,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_help_does_not_wait_for_torch(tmp_path: Path) -> None:
    heavy = ("torch", "numpy", "nibabel", "matplotlib", "pydantic")
    code = (
        "import sys, slicekit.cli as cli\n"
        "sys.argv = ['slicekit', '--help']\n"
        "try:\n    cli.main()\n"
        f"finally:\n    print([name for name in {heavy} if name in sys.modules])\n"
    )
    done = process(sys.executable, "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_doors_exit_with_the_codes_they_promise(
    scans: Path, using: tuple[str, ...], tmp_path: Path
) -> None:
    door, out = CHECKOUT / "infer.py", tmp_path / "out"
    (scans / "broken.nii").write_bytes(b"no scan")
    odd = os.fsdecode(b"\xff.nii.gz")  # no text in any encoding
    (scans / "b.nii.gz").rename(scans / odd)
    done = process(sys.executable, door, scans, "-o", out, *using, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"1 of 3 scans failed: {scans}/broken.nii"
    assert "Traceback" not in done.stderr
    assert {"a.nii.gz", odd} <= names_in(out)
    missing = process(sys.executable, door, "none.nii.gz", *using, cwd=tmp_path)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr == (
        "error: none.nii.gz: does not exist; name a NIfTI file, a slice folder or a folder of "
        "scans\n"
    )


def test_a_signal_leaves_nothing_half_done(tmp_path: Path, using: tuple[str, ...]) -> None:
    """The scan is so large that the signal comes while it is being segmented."""
    noise = np.random.default_rng(0).integers(-900, 900, (4, 64, 64), dtype=np.int16)
    array = np.tile(noise, (200, 1, 1))
    image = nibabel.Nifti1Image(array.T, np.diag([6.0, 6.0, 1.0, 1.0]))
    nibabel.save(image, tmp_path / "scan.nii")
    command = [sys.executable, CHECKOUT / "infer.py", "scan.nii", "-o", "out/x.nii.gz", *using]
    with subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as running:  # fmt: skip
        assert running.stderr is not None
        assert running.stderr.readline().startswith("trial_reference")  # the model is loaded
        time.sleep(0.3)
        running.send_signal(signal.SIGTERM)
        said = running.stderr.read()
        assert running.wait(timeout=60) == 143
    assert "Traceback" not in said
    assert names_in(tmp_path / "out") == set()
