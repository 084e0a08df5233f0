"""A volumetric model where memory really runs out: a process may not have more than it is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from slicekit.checkpoint import save_weights
from slicekit.inference.model import build_network
from slicekit.io import read_labels, read_volume, write_volume
from slicekit.recipes import read_recipe
from slicekit.volume import Volume

LIMITED = """
import resource, sys
import monai.inferers.utils, monai.networks.nets.dynunet, torch
import slicekit.inference.pipeline, slicekit.report.case
from slicekit import cli

torch.set_num_threads(1)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
taken = int(status["VmSize"].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (taken + int(sys.argv[1]) * 2**20,) * 2)
sys.argv = ["infer.py", *sys.argv[2:]]
cli.infer_door()
"""
"""Runs infer.py with so many MiB beside what its code takes."""


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A body of 200 x 200 x 200 mm; its 8 million voxels of 1 mm make 128 MB of logits."""
    array = np.full((40, 100, 100), 40, np.int16)
    array[:, 0, 0] = -1000
    array[10:30, 30:70, 30:70] = 200
    affine = np.array([[0, 0, -2.0, 99], [0, -2.0, 0, 99], [5.0, 0, 0, 0], [0, 0, 0, 1]])
    return write_volume(tmp_path_factory.mktemp("scan") / "scan.nii.gz", Volume(array, affine))


@pytest.fixture
def segment_within(trial_models: Path, scan: Path, tmp_path: Path):
    """Segment the scan in a process of so many MiB; fine voxels are of 1 mm."""

    def run(room_mib: int, *, coarse_mm: float) -> subprocess.CompletedProcess[str]:
        recipe = read_recipe(
            trial_models / "trial_volumetric.toml",
            changes=[
                "input.spacing_mm=1.0",
                "input.body_above_hu=''",
                f"inference.coarse_spacing_mm={coarse_mm}",
                "training.patch=[32, 32, 32]",
            ],
        )
        weights = tmp_path / "solid.safetensors"
        save_weights(weights, build_network(recipe).state_dict(), recipe, card={})
        options = ("--model", weights, "--device", "cpu", "--precision", "float32")
        return subprocess.run(
            [sys.executable, "-c", LIMITED, str(room_mib), scan, "-o", tmp_path / "x.nii.gz",
             *options],
            env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"},
            capture_output=True, text=True, timeout=170, check=False,
        )  # fmt: skip

    return run


@pytest.mark.slow
def test_where_the_fine_grid_does_not_fit_the_coarse_one_does(
    segment_within, scan: Path, tmp_path: Path
) -> None:
    done = segment_within(180, coarse_mm=5.0)
    assert done.returncode == 0, done.stderr
    assert f"warning: {scan}: 1 mm voxels do not fit the memory; it is segmented with 5 mm" in (
        done.stderr
    )
    labels = read_labels(tmp_path / "x.nii.gz", like=read_volume(scan))  # on the scan's grid
    assert labels.shape == (40, 100, 100)
    assert (tmp_path / "x.json").is_file()


@pytest.mark.slow
def test_where_neither_fits_the_fault_is_told_and_nothing_is_left(
    segment_within, scan: Path, tmp_path: Path
) -> None:
    done = segment_within(50, coarse_mm=1.2)
    assert done.returncode == 1
    assert "1 mm voxels do not fit the memory" in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: there is not enough memory;")
    assert "Traceback" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"solid.safetensors"}
