"""A dataset of small scans in which anything can be broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

NAMES = ("a", "b", "c", "d")
LABELS = {"background": 0, "liver": 1, "spleen": 2}
AFFINE = np.diag([-2.0, 2.0, 5.0, 1.0])


def save(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    """Write NIfTI as other programs do; the array is ``(i, j, k)``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


def scan_of(seed: int) -> np.ndarray:
    """Noise around two organs, as in CT."""
    rng = np.random.default_rng(seed)
    return (rng.normal(-200, 300, (12, 10, 8)) + 400 * (labels_of(seed) > 0)).astype(np.int16)


def labels_of(seed: int) -> np.ndarray:
    """Two boxes; every seed has others."""
    array = np.zeros((12, 10, 8), np.uint8)
    array[1 : 4 + seed % 3, 2:6, 1:6] = 1
    array[8:11, 2 : 5 + seed % 4, 2:7] = 2
    return array


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A whole dataset, in which nothing is to be found."""
    folder = tmp_path / "data"
    for seed, name in enumerate(NAMES):
        save(folder / "imagesTr" / f"{name}_0000.nii.gz", scan_of(seed))
        save(folder / "labelsTr" / f"{name}.nii.gz", labels_of(seed))
    content = {"labels": LABELS, "numTraining": len(NAMES)}
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def put() -> Callable[..., Path]:
    return save


@pytest.fixture
def scan() -> Callable[[int], np.ndarray]:
    return scan_of


@pytest.fixture
def labels() -> Callable[[int], np.ndarray]:
    return labels_of


@pytest.fixture
def affine() -> np.ndarray:
    return AFFINE.copy()


@pytest.fixture
def say() -> Callable[..., None]:
    """Write a JSON file of a dataset."""

    def write(folder: Path, name: str, content: Any) -> None:
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))

    return write
