"""DICOM series become volumes in the right place, with the right values."""

from __future__ import annotations

import os
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from made_series import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    as_mr,
    stored_voxels,
    write_enhanced,
    write_series,
)
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from slicekit.errors import DataWarning, ReadError
from slicekit.io import DicomSource, read_volume, stored_slice, write_labels, write_volume
from slicekit.volume import Volume

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def through_itk(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read with SimpleITK: ``(k, j, i)`` values and the affine of ``(i, j, k)`` in RAS+."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    affine = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    affine[:3, :3] = direction * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image), TO_RAS @ affine


def expect_same_picture(volume: Volume, values: np.ndarray, affine: np.ndarray) -> None:
    """Compare values at every millimetre of another reader's grid."""
    k, j, i = np.indices(values.shape).reshape(3, -1)
    world = affine @ np.stack([i, j, k, np.ones_like(i)])
    indices = np.linalg.inv(volume.affine) @ world
    whole = np.round(indices[:3]).astype(int)
    assert np.abs(indices[:3] - whole).max() < 1e-2
    assert volume.array.size == values.size
    assert np.array_equal(volume.array[tuple(whole)], values.reshape(-1))


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, CORONAL], ids=str)
@pytest.mark.parametrize("downwards", [False, True])
def test_the_picture_is_that_of_another_reader(
    tmp_path: Path, orientation: tuple[float, ...], downwards: bool
) -> None:
    heights = [2.5 * at for at in range(5)]
    write_series(tmp_path, orientation=orientation, heights=heights[:: -1 if downwards else 1])
    volume = read_volume(tmp_path)
    values, affine = through_itk(tmp_path)
    expect_same_picture(volume, values, affine)
    assert volume.array.dtype == np.int16
    assert volume.array.flags.c_contiguous


def test_oblique_slices_keep_their_place(tmp_path: Path) -> None:
    turn = np.deg2rad(20)
    row = (np.cos(turn), np.sin(turn), 0.0)
    write_series(tmp_path, orientation=(*row, 0.0, 0.0, -1.0), change=as_mr)
    volume = read_volume(tmp_path)
    expect_same_picture(volume, *through_itk(tmp_path))
    assert volume.array.dtype == np.uint16


def test_axes_are_those_of_the_same_scan_as_nifti(tmp_path: Path) -> None:
    for name, orientation in (("a", AXIAL), ("s", SAGITTAL), ("c", CORONAL)):
        write_series(tmp_path / name, orientation=orientation)
        volume = read_volume(tmp_path / name)
        again = read_volume(write_volume(tmp_path / f"{name}.nii.gz", volume))
        assert np.array_equal(again.array, volume.array)
        assert np.allclose(again.affine, volume.affine, atol=1e-4)


def test_slices_are_counted_by_instance_number(tmp_path: Path) -> None:
    write_series(tmp_path, heights=[10.0, 7.5, 5.0, 2.5, 0.0])
    volume = read_volume(tmp_path)
    assert isinstance(volume.source, DicomSource)
    assert volume.source.files[0] == "IM000.dcm"
    assert stored_slice(volume, 4) == 0  # z runs to the head, the first file lies highest
    assert len(set(volume.source.instance_uids)) == 5
    assert volume.source.describes(volume)
    assert not volume.source.describes(Volume(volume.array[1:], volume.affine))


def test_file_names_do_not_decide_the_order(tmp_path: Path) -> None:
    stored = write_series(tmp_path)
    order = [3, 0, 4, 1, 2]
    for at, other in enumerate(order):
        (tmp_path / f"IM{at:03d}.dcm").rename(tmp_path / f"x{other}")
    assert np.array_equal(read_volume(tmp_path).array, stored.astype(np.int16) - 1024)


def test_every_slice_has_its_own_rescaling(tmp_path: Path) -> None:
    def scale(at: int, one: Dataset) -> None:
        one.RescaleSlope, one.RescaleIntercept = 0.5 + at, -10 * at

    stored = write_series(tmp_path, change=scale)
    volume = read_volume(tmp_path)
    slopes, inters = (0.5 + np.arange(5))[:, None, None], (-10 * np.arange(5))[:, None, None]
    assert volume.array.dtype == np.float32
    assert np.allclose(volume.array, stored * slopes + inters, rtol=1e-6)


def test_whole_numbers_stay_whole_and_wide_enough(tmp_path: Path) -> None:
    def shift(at: int, one: Dataset) -> None:
        one.RescaleIntercept = -1024 * at

    stored = write_series(tmp_path / "some", change=shift)
    volume = read_volume(tmp_path / "some")
    expected = stored.astype(int) - 1024 * np.arange(5)[:, None, None]
    assert volume.array.dtype == np.int16
    assert np.array_equal(volume.array, expected)
    large = np.full((3, 4, 4), 60_000, dtype=np.uint16)
    large[1, 2, 3] = 7
    write_series(tmp_path / "large", large)
    volume = read_volume(tmp_path / "large")
    assert volume.array.dtype == np.int32
    assert np.array_equal(volume.array, large.astype(int) - 1024)


def test_bits_beyond_those_that_count_are_passed_over(tmp_path: Path) -> None:
    def twelve(_: int, one: Dataset) -> None:
        one.BitsStored, one.HighBit = 12, 11

    plain = stored_voxels()
    write_series(tmp_path / "unsigned", plain | 0xF000, change=twelve)
    assert np.array_equal(read_volume(tmp_path / "unsigned").array, plain.astype(int) - 1024)
    signed = plain.astype(np.int16) - 2048
    write_series(tmp_path / "signed", (signed & 0x0FFF).astype(np.int16), change=twelve)
    assert np.array_equal(read_volume(tmp_path / "signed").array, signed.astype(int) - 1024)


@pytest.mark.parametrize(
    "syntax",
    [RLELossless, JPEGLSLossless, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian],
    ids=lambda uid: uid.name,
)
def test_transfer_syntaxes_hold_the_same_voxels(tmp_path: Path, syntax: str) -> None:
    def use(_: int, one: Dataset) -> None:
        one.file_meta.TransferSyntaxUID = syntax

    compressed = syntax in (RLELossless, JPEGLSLossless)
    stored = (
        write_series(tmp_path, compress=syntax)
        if compressed
        else write_series(tmp_path, change=use)
    )
    volume = read_volume(tmp_path)
    assert np.array_equal(volume.array, stored.astype(np.int16) - 1024)


def test_big_endian(tmp_path: Path) -> None:
    def swap(_: int, one: Dataset) -> None:
        one.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        one.PixelData = np.frombuffer(one.PixelData, "<u2").astype(">u2").tobytes()

    stored = write_series(tmp_path, change=swap)
    assert np.array_equal(read_volume(tmp_path).array, stored.astype(np.int16) - 1024)


def test_eight_bits(tmp_path: Path) -> None:
    plain = (stored_voxels() >> 4).astype(np.uint8)
    write_series(tmp_path, plain, change=as_mr)
    volume = read_volume(tmp_path)
    assert volume.array.dtype == np.uint8
    assert np.array_equal(volume.array, plain)


def test_enhanced_multi_frame(tmp_path: Path) -> None:
    stored = stored_voxels(4)
    write_enhanced(tmp_path / "one.dcm", stored, [5.0, 0.0, 7.5, 2.5])
    volume = read_volume(tmp_path / "one.dcm")
    order = [1, 3, 0, 2]
    expected = stored[order] * (1 + np.array(order))[:, None, None]
    assert np.array_equal(volume.array, expected)
    assert volume.spacing_mm == pytest.approx((2.5, 0.75, 0.5))
    assert volume.affine[:3, 3] == pytest.approx([30, 20, 0])


def test_a_zip_is_read_and_nothing_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = write_series(tmp_path / "series")
    there = tmp_path / "there"
    there.mkdir()
    archive = there / "scan.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for at, file in enumerate(sorted((tmp_path / "series").iterdir())):
            packed.write(file, f"../../escaped{at}" if at < 2 else f"/absolute/{at}.dcm")
        packed.writestr("__MACOSX/._x", b"junk")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(there)
    volume = read_volume(archive)
    assert np.array_equal(volume.array, stored.astype(np.int16) - 1024)
    assert sorted(tmp_path.rglob("*")) == before
    assert not list(tmp_path.parent.glob("escaped*"))
    assert volume.source.paths() == (archive,)


def test_a_damaged_or_locked_zip_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "series", np.zeros((3, 64, 64), np.uint16) + stored_voxels(3, 64, 64))
    archive = tmp_path / "scan.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for file in sorted((tmp_path / "series").iterdir()):
            packed.write(file, file.name)
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1  # within the pixels of the second slice
    (tmp_path / "flipped.zip").write_bytes(content)
    with pytest.raises(ReadError, match=r"IM001\.dcm: cannot be read \(Bad CRC-32"):
        read_volume(tmp_path / "flipped.zip")
    (tmp_path / "cut.zip").write_bytes(content[:-40])
    with pytest.raises(ReadError, match=r"cut\.zip: cannot be read as a zip archive"):
        read_volume(tmp_path / "cut.zip")


def test_a_zip_that_unpacks_to_more_than_the_budget_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.dcm", bytes(30 << 20))
    assert archive.stat().st_size < 100_000
    with pytest.raises(ReadError, match=r"needs 30 MiB of memory.*budget 10 MiB"):
        read_volume(archive, memory_budget_bytes=10 << 20)


def test_a_header_that_declares_too_much_is_refused_before_anything_is_taken(
    tmp_path: Path,
) -> None:
    def huge(_: int, one: Dataset) -> None:
        one.Rows = one.Columns = 65_535

    write_series(tmp_path / "a", change=huge)
    with pytest.raises(ReadError, match="of memory by what its header declares"):
        read_volume(tmp_path / "a", memory_budget_bytes=1 << 30)

    def deflated(_: int, one: Dataset) -> None:
        one.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        one.PixelData = bytes(20 << 20)

    write_series(tmp_path / "b", change=deflated)
    with pytest.raises(ReadError, match="inflates to more than the budget"):
        read_volume(tmp_path / "b", memory_budget_bytes=10 << 20)


def test_a_compressed_stream_of_another_size_is_refused(tmp_path: Path) -> None:
    def smaller(at: int, one: Dataset) -> None:
        one.compress(JPEGLSLossless, generate_instance_uid=False)
        one.Rows = 11

    write_series(tmp_path, change=smaller)
    with pytest.raises(ReadError, match=r"claims 11 x 16 pixels.*12 x 16"):
        read_volume(tmp_path)


def test_one_file_is_one_slice(tmp_path: Path) -> None:
    stored = write_series(tmp_path)
    with pytest.warns(DataWarning, match=r"IM002\.dcm: is one slice of a series"):
        volume = read_volume(tmp_path / "IM002.dcm")
    assert volume.shape == (1, 12, 16)
    assert np.array_equal(volume.array[0], stored[2].astype(np.int16) - 1024)
    assert volume.spacing_mm[0] == 2.5


def test_a_study_of_folders_is_searched(tmp_path: Path) -> None:
    write_series(tmp_path / "study" / "a")
    write_series(tmp_path / "study" / "b" / "c", series="1.2.3.5", number=8)
    with pytest.raises(ReadError, match=r"holds 2 series.*7 'thin abdomen'.*8 'thin abdomen'"):
        read_volume(tmp_path / "study")
    volume = read_volume(tmp_path / "study", series="8")
    assert volume.source.files[0] == "b/c/IM000.dcm"


def test_what_the_files_know_is_not_to_be_said(tmp_path: Path) -> None:
    write_series(tmp_path)
    with pytest.raises(ReadError, match="leave out spacing_mm"):
        read_volume(tmp_path, spacing_mm=(1, 1, 1))
    with pytest.raises(ReadError, match="leave out volume_index"):
        read_volume(tmp_path, volume_index=0)
    nifti = write_volume(tmp_path / "a.nii.gz", Volume(np.ones((2, 3, 4), np.int16), np.eye(4)))
    with warnings.catch_warnings(), pytest.raises(ReadError, match="holds no series"):
        read_volume(nifti, series="1")


def test_nifti_labels_lie_where_the_slices_do(tmp_path: Path) -> None:
    write_series(tmp_path / "series", orientation=SAGITTAL)
    volume = read_volume(tmp_path / "series")
    ids = np.zeros(volume.shape, np.uint8)
    ids[2, 3, 1] = 5
    file = write_labels(tmp_path / "labels.nii.gz", ids, like=volume)
    image = sitk.ReadImage(str(file))
    place = (TO_RAS @ volume.affine @ [2, 3, 1, 1])[:3]
    assert image[image.TransformPhysicalPointToIndex(place.tolist())] == 5
    assert sitk.GetArrayFromImage(image).sum() == 5


def test_labels_never_replace_a_slice(tmp_path: Path) -> None:
    write_series(tmp_path)
    volume = read_volume(tmp_path)
    with pytest.raises(OSError, match="is the input itself"):
        write_labels(tmp_path / "IM001.dcm", np.ones(volume.shape), like=volume, overwrite=True)


def test_inverted_gray_is_told(tmp_path: Path) -> None:
    def invert(_: int, one: Dataset) -> None:
        one.PhotometricInterpretation = "MONOCHROME1"

    write_series(tmp_path, change=invert)
    with pytest.warns(DataWarning, match="MONOCHROME1"):
        read_volume(tmp_path)


def test_memory_is_that_of_the_volume_and_a_few_slices(tmp_path: Path) -> None:
    stored = stored_voxels(40, 160, 160)
    write_series(tmp_path, stored, orientation=SAGITTAL, compress=RLELossless)
    read_volume(tmp_path)  # imports, once
    tracemalloc.start()
    try:
        volume = read_volume(tmp_path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    slices_held = len(os.sched_getaffinity(0)) * 6
    assert most < volume.array.nbytes + slices_held * stored[0].nbytes + (1 << 20)
