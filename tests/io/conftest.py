"""Small files with a known content, made byte by byte so that any field can be wrong."""

from __future__ import annotations

import gzip
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header

AFFINE = np.array([[-1.5, 0, 0, 90], [0, 1.25, 0, -70], [0, 0, 3, 20], [0, 0, 0, 1]], dtype=float)
"""Stored axes (i, j, k) run to the left, to the front, to the head."""

MakeNifti = Callable[..., Path]


def nifti_bytes(
    array: np.ndarray, affine: np.ndarray | None = AFFINE, *, version: int = 1, **fields: Any
) -> bytes:
    """A whole .nii file; ``fields`` overwrite the finished header."""
    order = ">" if array.dtype.str[0] == ">" else "<"
    header = (Nifti1Header if version == 1 else Nifti2Header)(endianness=order)
    header.set_data_shape(array.shape)
    header.set_data_dtype(array.dtype)
    header.set_xyzt_units("mm", "sec")
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["vox_offset"] = 352 if version == 1 else 544
    header["magic"] = b"n+1" if version == 1 else b"n+2"
    if affine is not None:
        header.set_qform(affine, code=1, strip_shears=True)
        header.set_sform(affine, code=1)
        if not np.allclose(header.get_qform(), affine, atol=1e-4):
            header["qform_code"] = 0  # a quaternion cannot say a shear
    for name, value in fields.items():
        if name.startswith(("dim_", "pixdim_")):
            field, index = name.split("_")
            header[field][int(index)] = value
        else:
            header[name] = value
    head = header.binaryblock.ljust(352 if version == 1 else 544, b"\0")
    return bytes(head) + array.tobytes(order="F")


@pytest.fixture
def voxels() -> np.ndarray:
    """(i, j, k) int16 in stored order; no two voxels are equal, no two axes alike."""
    return (np.arange(7 * 6 * 5, dtype=np.int16) * 9 - 800).reshape(7, 6, 5)


@pytest.fixture
def make_nifti(tmp_path: Path) -> MakeNifti:
    """Write a NIfTI file; the name decides whether it is gzipped."""

    def make(array: np.ndarray, *args: Any, name: str = "scan.nii.gz", **kwargs: Any) -> Path:
        path = tmp_path / name
        content = nifti_bytes(array, *args, **kwargs)
        path.write_bytes(gzip.compress(content, 6, mtime=0) if name.endswith(".gz") else content)
        return path

    return make


def all_orders() -> list[np.ndarray]:
    """The affines of all 48 axis orders and directions, spacing (1.5, 1.25, 3) along (x, y, z)."""
    found = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            affine = np.eye(4)
            affine[:3, :3] = np.diag([1.5, 1.25, 3.0])[:, order] * signs
            affine[:3, 3] = (11, -23, 37)
            found.append(affine)
    return found


def turned(*, degrees: tuple[float, float, float], shear: float = 0.0) -> np.ndarray:
    """An oblique, sheared affine."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        one, other = [n for n in range(3) if n != axis]
        step = np.eye(3)
        step[one, one] = step[other, other] = np.cos(angle)
        step[one, other], step[other, one] = -np.sin(angle), np.sin(angle)
        matrix = step @ matrix
    affine = np.eye(4)
    affine[:3, :3] = matrix @ np.array([[1, shear, 0], [0, 1, shear], [0, 0, 1]]) * (0.7, 0.9, 2.5)
    affine[:3, 3] = (-40, 12, 300)
    return affine


OBLIQUE = {
    "tilted": turned(degrees=(12, -7, 20)),
    "forty-five": turned(degrees=(45, 0, 0)),
    "tied": turned(degrees=(45, 45, 45)),
    "tied-mirrored": turned(degrees=(45, 0, 45)) @ np.diag([-1, 1, 1, 1]),
    "sheared": turned(degrees=(0, 0, 0), shear=0.2),
    "oblique-sheared": turned(degrees=(30, 10, -50), shear=-0.3),
}


@pytest.fixture(params=range(48))
def any_order(request: pytest.FixtureRequest) -> np.ndarray:
    return all_orders()[request.param]


@pytest.fixture(params=[*range(48), *OBLIQUE])
def any_affine(request: pytest.FixtureRequest) -> np.ndarray:
    return all_orders()[request.param] if isinstance(request.param, int) else OBLIQUE[request.param]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder whose parents everybody may enter, unlike those of ``tmp_path``."""
    folder = Path(tempfile.mkdtemp(prefix="slicekit-test-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture
def as_nobody() -> Callable[[], AbstractContextManager[None]]:
    """Lay down the rights of root, which no mode bits stop; others have none to lay down."""

    @contextmanager
    def lower() -> Iterator[None]:
        was = os.geteuid()
        if was == 0:
            os.seteuid(65_534)
        try:
            yield
        finally:
            os.seteuid(was)

    return lower


@pytest.fixture
def to_bytes() -> Callable[..., bytes]:
    return nifti_bytes


@pytest.fixture
def grid_affine() -> np.ndarray:
    return AFFINE.copy()
