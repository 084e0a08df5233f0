"""Faulty DICOM folders, one test a case: refused with the cause, or read right.

The numbers are those of the project's list of fault cases.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_series import AXIAL, CORONAL, as_mr, stored_voxels, write_series
from pydicom.dataset import Dataset
from pydicom.uid import UID, HTJ2KLossless, JPEGBaseline8Bit, JPEGLSLossless

from slicekit.errors import DataWarning, ReadError
from slicekit.io import read_volume


def refusal(path: Path, **options: object) -> str:
    """Read a series that must be refused, and return the message."""
    with pytest.raises(ReadError) as caught:
        read_volume(path, **options)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_case_25_missing_slice(tmp_path: Path) -> None:
    write_series(tmp_path, heights=[0, 2.5, 5, 10, 12.5])
    told = refusal(tmp_path)
    assert "mostly 2.5 mm, but 5 mm between IM002.dcm (45) and IM003.dcm (50)" in told
    assert "1 slice seems to be missing" in told
    with pytest.warns(DataWarning, match="interpolated to 6 slices every 2.5 mm"):
        volume = read_volume(tmp_path, allow_uneven=True)
    stored = stored_voxels().astype(np.float32) - 1024
    assert volume.array.dtype == np.float32
    assert np.array_equal(volume.array[[0, 1, 2, 4, 5]], stored)
    assert np.allclose(volume.array[3], (stored[2] + stored[3]) / 2)
    assert volume.spacing_mm[0] == 2.5


@pytest.mark.parametrize("at", [1, 3])
def test_case_25_missing_slice_near_an_end_is_no_stretched_spacing(tmp_path: Path, at: int) -> None:
    heights = [2.5 * (number + (number >= at)) for number in range(5)]
    write_series(tmp_path, heights=heights)
    assert "seems to be missing" in refusal(tmp_path)


def test_case_25_missing_slice_among_many(tmp_path: Path) -> None:
    voxels = np.zeros((60, 2, 2), np.uint16)
    write_series(tmp_path, voxels, heights=[0.6 * (at + (at >= 58)) for at in range(60)])
    assert "1.2 mm between IM057.dcm" in refusal(tmp_path)


def test_case_25_duplicated_slice(tmp_path: Path) -> None:
    write_series(tmp_path, heights=[0, 2.5, 2.5, 5, 7.5])
    told = refusal(tmp_path, allow_uneven=True)
    assert "several slices in one place: IM001.dcm and IM002.dcm at 42.5 mm" in told


def test_case_25_unevenly_spaced(tmp_path: Path) -> None:
    write_series(tmp_path, heights=[0, 2.5, 5.5, 7.5, 10])
    told = refusal(tmp_path)
    assert "3 mm between IM001.dcm" in told and "2 mm between IM002.dcm" in told
    with pytest.warns(DataWarning, match="not evenly spaced"):
        volume = read_volume(tmp_path, allow_uneven=True)
    stored = stored_voxels().astype(np.float32) - 1024
    assert np.allclose(volume.array[2], stored[1] / 6 + stored[2] * 5 / 6, atol=1e-2)


def test_case_25_positions_rounded_by_the_scanner_are_even(tmp_path: Path) -> None:
    write_series(tmp_path, heights=[0, 1.33, 2.67, 4, 5.33])
    assert read_volume(tmp_path).spacing_mm[0] == pytest.approx(5.33 / 4)


def test_case_26_several_series_are_listed(tmp_path: Path) -> None:
    write_series(tmp_path)
    other = write_series(
        tmp_path, stored_voxels(3, seed=5), series="1.2.3.9", number=11, name="B{:d}",
        change=lambda _, one: setattr(one, "SeriesDescription", "late phase"),
    )  # fmt: skip
    told = refusal(tmp_path)
    assert "holds 2 series" in told and "--series" in told
    assert "7 'thin abdomen' CT axial, 5 slices of 16 x 12 (UID 1.2.3.4)" in told
    assert "11 'late phase' CT axial, 3 slices of 16 x 12 (UID 1.2.3.9)" in told
    for wish in ("11", "1.2.3.9", "late phase", "LATE"):
        assert np.array_equal(
            read_volume(tmp_path, series=wish).array, other.astype(np.int16) - 1024
        )
    assert "has no series 'x'; there are: 7" in refusal(tmp_path, series="x")


@pytest.mark.parametrize("what", ["localizer", "size", "spacing"])
def test_case_26_what_is_mixed_into_a_series_is_listed(tmp_path: Path, what: str) -> None:
    def wider(_: int, one: Dataset) -> None:
        one.PixelSpacing = [1.5, 1.5]

    stored = write_series(tmp_path)
    write_series(
        tmp_path,
        stored_voxels(1, *((20, 20) if what == "size" else (12, 16))),
        orientation=CORONAL if what == "localizer" else AXIAL,
        heights=[90.0],
        name="L{:d}",
        change=wider if what == "spacing" else lambda _, __: None,
    )
    told = refusal(tmp_path)
    assert "holds 2 stacks of slices" in told and "7/1" in told and "7/2" in told
    volume = read_volume(tmp_path, series="7/1")
    assert np.array_equal(volume.array, stored.astype(np.int16) - 1024)
    assert read_volume(tmp_path, series="7/2").shape.count(1) == 1


def test_case_27_truncated_slice(tmp_path: Path) -> None:
    write_series(tmp_path)
    file = tmp_path / "IM002.dcm"
    whole = file.read_bytes()
    for keep, cause in (
        (len(whole) - 100, r"IM002.dcm: is truncated: 284 of the 384 bytes of its pixels"),
        (len(whole) - 390, "IM002.dcm: "),
        (400, "IM002.dcm: "),
        (140, "IM002.dcm: "),
        (0, "IM002.dcm: is no DICOM file, whatever its name says"),
    ):
        file.write_bytes(whole[:keep])
        with pytest.raises(ReadError) as caught:
            read_volume(tmp_path)
        assert cause in str(caught.value)
    (tmp_path / "IM004.dcm").write_bytes(b"")
    assert "2 of its files cannot be read: IM002.dcm is no DICOM" in refusal(tmp_path)


def test_case_27_truncated_anywhere(tmp_path: Path) -> None:
    write_series(tmp_path)
    file = tmp_path / "IM002.dcm"
    whole = file.read_bytes()
    for keep in range(0, len(whole), 7):
        file.write_bytes(whole[:keep])
        assert "IM002.dcm: " in refusal(tmp_path)


@pytest.mark.parametrize("keep", [0.2, 0.9, 0.99])
def test_case_27_truncated_compressed_slice(tmp_path: Path, keep: float) -> None:
    write_series(tmp_path, stored_voxels(3, 64, 64), compress=JPEGLSLossless)
    file = tmp_path / "IM001.dcm"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) - int((1 - keep) * 6000)])
    told = refusal(tmp_path)
    assert "IM001.dcm: is truncated" in told


def test_case_27_strays_are_named(tmp_path: Path) -> None:
    stored = write_series(tmp_path)
    (tmp_path / "notes.txt").write_text("a note")
    write_series(
        tmp_path, stored_voxels(1), series="1.2.9", name="plan.dcm",
        change=lambda _, one: setattr(one, "Modality", "RTPLAN"),
    )  # fmt: skip
    with pytest.warns(DataWarning, match=r"no scan: notes\.txt, plan\.dcm \("):
        volume = read_volume(tmp_path)
    assert np.array_equal(volume.array, stored.astype(np.int16) - 1024)


def test_case_27_no_pixels(tmp_path: Path) -> None:
    def strip(at: int, one: Dataset) -> None:
        if at == 1:
            del one.PixelData

    write_series(tmp_path, change=strip)
    assert "IM001.dcm: holds no pixels" in refusal(tmp_path)


def test_case_27_slices_without_a_place(tmp_path: Path) -> None:
    def strip(at: int, one: Dataset) -> None:
        del one.ImagePositionPatient

    write_series(tmp_path, change=strip)
    assert "has no position or orientation in the patient" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("syntax", "word"),
    [
        (HTJ2KLossless, "for which a package is missing: "),
        (UID("1.2.840.10008.1.2.4.100"), "MPEG2.*which pydicom does not decode"),
        (UID("1.2.840.10008.1.2.4.92"), "JPEG 2000 Part 2.*which pydicom does not decode"),
    ],
    ids=str,
)
def test_case_28_syntax_without_a_decoder(tmp_path: Path, syntax: UID, word: str) -> None:
    def claim(_: int, one: Dataset) -> None:
        one.compress(JPEGLSLossless, generate_instance_uid=False)
        one.file_meta.TransferSyntaxUID = syntax

    write_series(tmp_path, change=claim)
    with pytest.raises(ReadError, match=f"is compressed as .*{word}"):
        read_volume(tmp_path)


def test_case_28_stream_of_another_kind(tmp_path: Path) -> None:
    def claim(_: int, one: Dataset) -> None:
        one.compress(JPEGLSLossless, generate_instance_uid=False)
        one.file_meta.TransferSyntaxUID = JPEGBaseline8Bit

    write_series(tmp_path, change=claim)
    assert "JPEG Baseline" in refusal(tmp_path)


def tilted(step: float) -> list[tuple[float, float, float]]:
    return [(-30.0, -20.0 + step * at, 40.0 + 2.5 * at) for at in range(5)]


def test_case_28_gantry_tilt(tmp_path: Path) -> None:
    write_series(tmp_path, places=tilted(0.75))  # one row a slice
    told = refusal(tmp_path)
    assert "tilted by 16.7 degrees" in told and "--allow-uneven" in told
    with pytest.warns(DataWarning, match="upright on 16 x 16 pixels"):
        volume = read_volume(tmp_path, allow_uneven=True)
    stored = stored_voxels().astype(np.float32) - 1024
    for at in range(5):
        assert np.array_equal(volume.array[at, at : at + 12], stored[at])
        place = volume.affine @ [at, at, 0, 1]
        assert place[:3] == pytest.approx([30, 20 - 0.75 * at, 40 + 2.5 * at])


def test_case_28_tilt_of_a_part_of_a_pixel_is_interpolated(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(12, dtype=np.uint16)[:, None] * 10, (5, 1, 16))
    write_series(tmp_path, ramp, places=tilted(0.3), change=as_mr)
    with pytest.warns(DataWarning, match="tilted by 6.84 degrees"):
        volume = read_volume(tmp_path, allow_uneven=True)
    rows = 0.75 * np.arange(volume.shape[1])
    for at in range(1, 5):
        expected = (rows - 0.3 * at) / 0.75 * 10
        inside = (expected >= 0) & (expected <= 110)
        assert np.allclose(volume.array[at, inside], expected[inside, None], atol=1e-3)


def test_case_28_slices_shifted_in_no_even_way(tmp_path: Path) -> None:
    places = [(-30.0 + 9 * (at == 2), -20.0, 40.0 + 2.5 * at) for at in range(5)]
    write_series(tmp_path, places=places)
    assert "shifted sideways, by up to 9 mm" in refusal(tmp_path)


@pytest.mark.parametrize("slope", [b"0 ", b"nan ", b"inf ", b"one "])
def test_case_28_impossible_slope(tmp_path: Path, slope: bytes) -> None:
    write_series(tmp_path)
    file = tmp_path / "IM003.dcm"
    element = b"(\x00S\x10DS"
    whole = file.read_bytes()
    at = whole.index(element)
    new = element + len(slope).to_bytes(2, "little") + slope
    file.write_bytes(whole[:at] + new + whole[at + 10 :])
    assert "IM003.dcm" in refusal(tmp_path)
