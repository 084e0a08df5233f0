"""Faulty and odd input files, one test a case: refused with path and cause, or read right.

The numbers are those of the project's list of fault cases.
"""

from __future__ import annotations

import gzip
import os
import shutil
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from slicekit.errors import ReadError
from slicekit.io import read_volume

MakeNifti = Callable[..., Path]


def refusal(path: Path, **options: object) -> str:
    """Read a file that must be refused, and return the cause; the path leads the message."""
    with pytest.raises(ReadError) as caught:
        read_volume(path, **options)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in caught.value.cause
    return caught.value.cause


def test_case_01_flipped_bit_in_gzip_stream(make_nifti: MakeNifti) -> None:
    noise = np.random.default_rng(7).integers(-1000, 1000, (20, 20, 20)).astype(np.int16)
    path = make_nifti(noise)
    whole = path.read_bytes()
    for position in np.random.default_rng(1).integers(10, len(whole), 60):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(position % 8)
        path.write_bytes(damaged)
        cause = refusal(path)
        assert "damaged" in cause or "truncated" in cause
    damaged = bytearray(whole)
    damaged[-6] ^= 4  # in the checksum itself
    path.write_bytes(damaged)
    assert "CRC mismatch" in refusal(path)


def test_case_01_flipped_bit_where_the_header_lies(
    make_nifti: MakeNifti, voxels: np.ndarray, to_bytes: Callable[..., bytes]
) -> None:
    """Stored, not deflated: the flip makes a header that cannot be meant, the cause is damage."""
    path = make_nifti(voxels)
    stored = bytearray(gzip.compress(to_bytes(voxels), 0, mtime=0))
    start = stored.index(b"\x5c\x01\x00\x00")
    stored[start + 43] ^= 0x80  # dim[1] becomes negative
    path.write_bytes(stored)
    assert "CRC mismatch" in refusal(path)


@pytest.mark.parametrize("keep", [0.1, 0.5, -8, -4])
def test_case_02_truncated_gzip(make_nifti: MakeNifti, keep: float) -> None:
    noise = np.random.default_rng(7).integers(-1000, 1000, (20, 20, 20)).astype(np.int16)
    path = make_nifti(noise)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if keep > 0 else int(keep)])
    cause = refusal(path)
    assert "truncated" in cause
    assert f"{path.stat().st_size:,} bytes" in cause


def test_case_03_eight_ways_to_be_no_file(
    make_nifti: MakeNifti,
    tmp_path: Path,
    voxels: np.ndarray,
    open_folder: Path,
    as_nobody: Callable[[], AbstractContextManager[None]],
) -> None:
    whole = make_nifti(voxels, name="whole.nii").read_bytes()
    contents = {"truncated": whole[:-7], "header": whole[:352], "half": whole[:200], "empty": b""}
    causes = []
    for name, content in contents.items():
        path = tmp_path / f"{name}.nii"
        path.write_bytes(content)
        causes.append(refusal(path))
    (tmp_path / "directory.nii").mkdir()
    causes.append(refusal(tmp_path / "directory.nii"))
    causes.append(refusal(tmp_path / "missing.nii"))
    (tmp_path / "link.nii").symlink_to("nowhere.nii")
    causes.append(refusal(tmp_path / "link.nii"))
    closed = open_folder / "closed.nii"
    closed.write_bytes(whole)
    closed.chmod(0o000)
    with as_nobody():
        causes.append(refusal(closed))
    for cause, word in zip(
        causes,
        [
            "765 of 772 bytes",
            "header but no voxels",
            "200 of the 348",
            "0 bytes",
            "empty folder",
            "does not exist",
            "symbolic link",
            "permission denied",
        ],
        strict=True,
    ):
        assert word in cause
    assert len(set(causes)) == 8


def test_case_03_closed_folder_and_no_regular_file(
    open_folder: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    assert "no regular file" in refusal(Path(os.devnull))
    assert "cannot be a file name" in refusal(open_folder / "a\0b.nii")
    assert "name too long" in refusal(open_folder / f"{'x' * 300}.nii")
    (open_folder / "scan.nii").touch()
    open_folder.chmod(0o000)
    with as_nobody():
        assert "permission denied" in refusal(open_folder / "scan.nii")


def test_case_04_wrong_container(make_nifti: MakeNifti, tmp_path: Path, voxels: np.ndarray) -> None:
    whole = make_nifti(voxels)
    path = tmp_path / "scan2.nii.gz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("scan.nii", b"x")
    assert "zip archive" in refusal(path)
    for content, word in [
        (b"patient;age;\n1;2\n" * 40, "text"),
        ("ä".encode() * 400, "text"),
        (b"\n<!DOCTYPE html><html>404</html>", "web page"),
        (gzip.compress(whole.read_bytes()), "gzip inside of gzip"),
        (gzip.compress(b"hello"), "text"),
        (b"\0" * 128 + b"DICM" + b"\0" * 400, "DICOM"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 400, "PNG"),
        (b"ObjectType = Image\n" * 30, "MetaImage"),
        (bytes(range(256)) * 2, "something else"),
        (b"\x00\x01", "only 2 bytes"),
        ((348).to_bytes(4, "little") + b"\0" * 800, "ANALYZE"),
    ]:
        path.write_bytes(content)
        assert word in refusal(path)


@pytest.mark.parametrize(("is_named", "to_be"), [(".nii", ".nii.gz"), (".nii.gz", ".nii")])
def test_case_04_other_name_is_read_with_a_note(
    make_nifti: MakeNifti, tmp_path: Path, voxels: np.ndarray, is_named: str, to_be: str
) -> None:
    good = make_nifti(voxels, name=f"good{to_be}")
    shutil.copy(good, tmp_path / f"odd{is_named}")
    with pytest.warns(UserWarning, match=rf"odd.*end in {to_be}$"):
        volume = read_volume(tmp_path / f"odd{is_named}")
    assert np.array_equal(volume.array, read_volume(good).array)


@pytest.mark.parametrize(
    "fields",
    [{"dim_1": -7}, {"dim_0": 0}, {"dim_0": 9}, {"dim_0": -3}, {"dim_2": 0}, {"dim_0": 1}],
    ids=str,
)
@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
@pytest.mark.parametrize("version", [1, 2])
def test_case_05_impossible_sizes(
    make_nifti: MakeNifti, voxels: np.ndarray, fields: dict[str, int], name: str, version: int
) -> None:
    path = make_nifti(voxels, name=name, version=version, **fields)
    assert any(word in refusal(path) for word in ("damaged header", "single axis"))


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_case_06_giant_claims_take_no_memory(make_nifti: MakeNifti, name: str) -> None:
    few = np.zeros((20, 20, 8), dtype=np.float32)
    path = make_nifti(few, name=name, dim_1=32_767, dim_2=32_767, dim_3=32_767)
    tracemalloc.start()
    begin = time.perf_counter()
    cause = refusal(path, memory_budget_bytes=4 << 30)
    assert "needs 128 TiB" in cause
    assert "budget 4 GiB" in cause
    assert "needs 128 TiB" in refusal(path)  # whatever this machine has
    assert time.perf_counter() - begin < 1.0
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_case_06_claims_beyond_what_gzip_can_hold(make_nifti: MakeNifti) -> None:
    few = np.zeros((20, 20, 8), dtype=np.float32)
    path = make_nifti(few, dim_1=1000, dim_2=1000, dim_3=100)
    tracemalloc.start()
    assert "more than" in refusal(path, memory_budget_bytes=4 << 30)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_case_06_inflating_stops_at_the_declared_size(
    make_nifti: MakeNifti, to_bytes: Callable[..., bytes], voxels: np.ndarray
) -> None:
    path = make_nifti(voxels)
    path.write_bytes(gzip.compress(to_bytes(voxels) + bytes(128 << 20), 1))
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    assert "more than its header declares" in refusal(path)
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_case_07_more_data_than_declared(
    make_nifti: MakeNifti, voxels: np.ndarray, name: str
) -> None:
    path = make_nifti(voxels, name=name, dim_3=4)
    assert "more than its header declares: 84 bytes" in refusal(path)
    with pytest.warns(UserWarning, match="84 bytes behind its voxels"):
        volume = read_volume(path, allow_trailing_bytes=True)
    assert set(volume.array.ravel()) == set(voxels[..., :4].ravel())


def test_case_07_garbage_and_padding_behind_the_gzip_stream(
    make_nifti: MakeNifti, voxels: np.ndarray
) -> None:
    path = make_nifti(voxels)
    whole = path.read_bytes()
    path.write_bytes(whole + b"garbage")
    assert "7 bytes or more follow" in refusal(path)
    with pytest.warns(UserWarning, match="7 bytes behind"):
        read_volume(path, allow_trailing_bytes=True)
    path.write_bytes(whole + bytes(512))  # padding of a tape block, allowed by gzip
    assert read_volume(path).array.size == voxels.size


def test_case_07_damage_behind_allowed_bytes_is_still_found(
    make_nifti: MakeNifti, voxels: np.ndarray
) -> None:
    path = make_nifti(voxels, dim_3=4)
    damaged = bytearray(path.read_bytes())
    damaged[-6] ^= 1
    path.write_bytes(damaged)
    assert "CRC mismatch" in refusal(path)
    assert "CRC mismatch" in refusal(path, allow_trailing_bytes=True)


def test_case_18_sizes_at_the_edge(make_nifti: MakeNifti, recwarn: pytest.WarningsRecorder) -> None:
    for shape in [(1, 1, 1), (9, 8, 1), (3, 3, 4), (1, 5, 6), (2048, 2048, 2), (3, 2, 1500)]:
        stored = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
        volume = read_volume(make_nifti(stored, name="scan.nii"))
        assert volume.shape == shape[::-1]
        assert volume.array.max() == stored.max()
    recwarn.clear()  # one voxel is a constant image
    for thickness in (0.1, 10.0):
        affine = np.diag([-0.7, 0.7, thickness, 1])
        stored = np.arange(60, dtype=np.int16).reshape(5, 4, 3)
        assert read_volume(make_nifti(stored, affine)).spacing_mm[0] == pytest.approx(thickness)


@pytest.mark.parametrize("esize", [-16, 0, 7, 2**31 - 1])
@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_case_19_extension_of_any_size(
    make_nifti: MakeNifti, voxels: np.ndarray, esize: int, name: str
) -> None:
    path = make_nifti(voxels, name=name, vox_offset=384)
    content = path.read_bytes()
    content = gzip.decompress(content) if name.endswith(".gz") else content
    extension = b"\1\0\0\0" + esize.to_bytes(4, "little", signed=True) + bytes(28)
    content = content[:348] + extension + content[352:]
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    begin = time.perf_counter()
    assert read_volume(path).array.max() == voxels.max()
    assert time.perf_counter() - begin < 0.5
