"""Folders of slices: read in order, refused with the slices' names, written back beside."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from slicekit.errors import DataWarning, GeometryError, LabelError, ReadError, WriteError
from slicekit.io import (
    FolderSource,
    read_labels,
    read_volume,
    with_gray_range,
    write_labels,
    write_volume,
)
from slicekit.volume import Volume

SPACING = (5.0, 0.8, 0.7)
STACK = np.random.default_rng(5).integers(0, 256, (4, 6, 9)).astype(np.uint8)


def save(folder: Path, stack: np.ndarray, *, first: int = 46, ending: str = "png") -> Path:
    """Write one file a slice, numbered from ``first``."""
    folder.mkdir(exist_ok=True)
    for number, plane in enumerate(stack, first):
        path = folder / f"{number:03}.{ending}"
        np.save(path, plane) if ending == "npy" else Image.fromarray(plane).save(path)
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return save(tmp_path / "images", STACK)


@pytest.mark.parametrize("ending", ["png", "tif", "tiff", "npy"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "i4"])
def test_kinds_of_slices(tmp_path: Path, ending: str, dtype: str) -> None:
    if ending == "png" and dtype in ("f4", "i4"):
        return  # no such PNG
    stack = (STACK * (1 if dtype == "u1" else 100)).astype(dtype)
    volume = read_volume(save(tmp_path / "s", stack, ending=ending), spacing_mm=SPACING)
    assert np.array_equal(volume.array, stack)
    assert volume.array.dtype == dtype
    assert volume.spacing_mm == SPACING
    picture = dtype == "u1" and ending != "npy"
    assert volume.source.gray_range == (None if picture else (0.0, 255.0))
    assert volume.affine[:3, :3].tolist() == [[0, 0, -0.7], [0, -0.8, 0], [5, 0, 0]]


def test_jpeg_is_an_image_but_no_label_map(tmp_path: Path) -> None:
    smooth = np.broadcast_to(np.arange(0, 160, 10, dtype=np.uint8), (3, 16, 16))
    folder = save(tmp_path / "s", smooth, ending="jpg")
    volume = read_volume(folder, spacing_mm=SPACING)
    assert np.abs(volume.array.astype(int) - smooth).max() < 6
    with pytest.raises(LabelError, match="JPEG"):
        read_labels(folder, like=volume)


def test_no_spacing_is_said_aloud(images: Path) -> None:
    with pytest.warns(DataWarning, match="know no place in the patient"):
        assert read_volume(images).spacing_mm == (1.0, 1.0, 1.0)
    for spacing in ((0.0, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, 1.0, np.nan)):
        with pytest.raises(ReadError, match="spacing_mm"):
            read_volume(images, spacing_mm=spacing)


def test_gray_range_gives_pictures_their_units(images: Path) -> None:
    gray = read_volume(images, spacing_mm=SPACING)
    volume = read_volume(images, spacing_mm=SPACING, gray_range=(-150, 250))
    again = with_gray_range(gray, -150, 250)
    assert np.array_equal(volume.array, again.array)
    assert volume.array.dtype == np.float32
    assert np.allclose(volume.array, -150 + STACK.astype(float) * 400 / 255, atol=1e-4)
    assert volume.source.gray_range == again.source.gray_range == (-150, 250)
    for bad in ((1, 1), (250, -150), (0, np.inf)):
        with pytest.raises(ReadError, match="the lower first"):
            with_gray_range(gray, *bad)
    for known in (volume, Volume(STACK, np.eye(4))):
        with pytest.raises(ReadError, match="intensities of its own"):
            with_gray_range(known, 0, 1)


def test_gray_range_is_for_8_bits_only(tmp_path: Path) -> None:
    folder = save(tmp_path / "s", STACK.astype(np.uint16))
    with pytest.raises(ReadError, match="leave out gray_range"):
        read_volume(folder, gray_range=(0, 1), spacing_mm=SPACING)


def test_single_pictures_and_arrays_are_volumes(tmp_path: Path) -> None:
    Image.fromarray(STACK[0]).save(tmp_path / "one.png")
    np.save(tmp_path / "one.npy", STACK[0].astype(float))
    np.save(tmp_path / "many.npy", STACK)
    for name, stack in (("one.png", STACK[:1]), ("one.npy", STACK[:1]), ("many.npy", STACK)):
        volume = read_volume(tmp_path / name, spacing_mm=SPACING)
        assert np.array_equal(volume.array, stack)
    volume = read_volume(tmp_path / "one.png", spacing_mm=SPACING)
    out = write_labels(tmp_path / "mask.png", STACK[:1] > 9, like=volume)
    assert np.array_equal(read_labels(out, like=volume).array, STACK[:1] > 9)
    with pytest.raises(WriteError, match="input itself"):
        write_labels(tmp_path / "one.png", STACK[:1] > 9, like=volume, overwrite=True)


def test_case_24_missing_slice(images: Path) -> None:
    (images / "048.png").unlink()
    with pytest.raises(ReadError, match=r"lacks 1 slices between 046\.png and 049\.png: 048;"):
        read_volume(images, spacing_mm=SPACING)


def test_case_24_mixed_sizes(images: Path) -> None:
    Image.fromarray(STACK[0, :3]).save(images / "047.png")
    with pytest.raises(ReadError, match=r"sizes, most are 9 x 6, but 9 x 3: 047\.png"):
        read_volume(images, spacing_mm=SPACING)


def test_case_24_mixed_modes(images: Path) -> None:
    Image.fromarray(STACK[1]).convert("RGB").save(images / "047.png")
    Image.fromarray(STACK[3].astype(np.uint16)).save(images / "049.png")
    with pytest.raises(ReadError) as caught:
        read_volume(images, spacing_mm=SPACING)
    for part in ("most are L picture", "RGB picture: 047.png", "I;16 picture: 049.png"):
        assert part in caught.value.cause


@pytest.mark.parametrize("how", ["cut", "flip", "text", "empty"])
@pytest.mark.parametrize("ending", ["png", "npy"])
def test_case_24_corrupt_slice(tmp_path: Path, ending: str, how: str) -> None:
    folder = save(tmp_path / "s", STACK, ending=ending)
    path = folder / f"047.{ending}"
    whole = bytearray(path.read_bytes())
    if how == "flip":
        whole[len(whole) // 2 if ending == "png" else 3] ^= 16
    content = {"cut": whole[:-20], "flip": whole, "text": b"hello" * 30, "empty": b""}[how]
    path.write_bytes(content)
    with pytest.raises(ReadError) as caught:
        read_volume(folder, spacing_mm=SPACING)
    assert caught.value.path == path
    assert "empty" if how == "empty" else "damaged" in caught.value.cause


def test_case_24_several_corrupt_slices_are_listed(images: Path) -> None:
    for name in ("046.png", "049.png"):
        (images / name).write_bytes(b"nothing")
    with pytest.raises(ReadError, match=r"2 of its slices cannot be read: 046\.png .*049\.png"):
        read_volume(images, spacing_mm=SPACING)


def test_strays_are_named_and_passed_over(images: Path) -> None:
    for name in ("Thumbs.db", "notes.txt", "._046.png"):
        (images / name).write_bytes(b"x")
    (images / "sub").mkdir()
    with pytest.warns(
        DataWarning, match=r"passed over .*: \._046\.png, Thumbs\.db, notes\.txt, sub"
    ):
        volume = read_volume(images, spacing_mm=SPACING)
    assert np.array_equal(volume.array, STACK)


def test_too_large_a_folder_is_refused_before_it_is_decoded(images: Path) -> None:
    with pytest.raises(ReadError, match="budget 100 bytes"):
        read_volume(images, spacing_mm=SPACING, memory_budget_bytes=100)


def test_what_fits_no_slices_is_refused(images: Path) -> None:
    with pytest.raises(ReadError, match="leave out volume_index"):
        read_volume(images, volume_index=0)


def test_folders_that_are_something_else(tmp_path: Path) -> None:
    folder = tmp_path / "case"
    folder.mkdir()

    def cause() -> str:
        with pytest.raises(ReadError) as caught:
            read_volume(folder)
        assert caught.value.path == folder
        return caught.value.cause

    assert "empty folder" in cause()
    (folder / "readme.txt").touch()
    assert "holds readme.txt" in cause()
    save(folder / "images", STACK)
    assert f"did you mean {folder / 'images'}" in cause()
    (folder / "IM0001").write_bytes(bytes(128) + b"DICM")
    with pytest.raises(ReadError, match="IM0001: is DICOM, but"):
        read_volume(folder)
    (folder / "scan.nii.gz").touch()
    assert "name one of the files" in cause()


def test_labels_lie_on_the_slices_of_their_image(images: Path, tmp_path: Path) -> None:
    volume = read_volume(images, spacing_mm=SPACING)
    masks = save(tmp_path / "masks", (STACK > 100).astype(np.uint8) * 7)
    labels = read_labels(masks, like=volume)
    assert np.array_equal(labels.affine, volume.affine)
    assert np.array_equal(labels.array, (STACK > 100) * 7)
    shifted = save(tmp_path / "shifted", STACK, first=47)
    with pytest.raises(GeometryError, match=r"numbered 47 to 50, those of the image 46 to 49"):
        read_labels(shifted, like=volume)
    shorter = save(tmp_path / "shorter", STACK[1:])
    with pytest.raises(GeometryError, match=r"\(3, 6, 9\)"):
        read_labels(shorter, like=volume)
    elsewhere = Volume(STACK, np.eye(4))
    with pytest.raises(GeometryError, match="no place in space"):
        read_labels(masks, like=elsewhere)


def test_masks_become_a_folder_named_as_the_slices(images: Path, tmp_path: Path) -> None:
    volume = read_volume(images, spacing_mm=SPACING)
    ids = STACK.astype(np.uint16) * 3
    out = write_labels(tmp_path / "v1.2" / "masks.new", ids, like=volume)
    assert sorted(p.name for p in out.iterdir()) == ["046.png", "047.png", "048.png", "049.png"]
    assert np.array_equal(np.asarray(Image.open(out / "047.png")), ids[1])
    assert np.array_equal(read_labels(out, like=volume).array, ids)
    with pytest.raises(WriteError, match="exists already"):
        write_labels(out, ids, like=volume)
    write_labels(out, ids > 9, like=volume, overwrite=True)
    assert read_labels(out, like=volume).array.max() == 1
    with pytest.raises(WriteError, match="input itself"):
        write_labels(images, ids, like=volume, overwrite=True)
    (out / "notes.txt").touch()
    with pytest.raises(WriteError, match=r"notes\.txt"):
        write_labels(out, ids, like=volume, overwrite=True)


def test_masks_of_slices_as_nifti(images: Path, tmp_path: Path) -> None:
    volume = read_volume(images, spacing_mm=SPACING)
    out = write_labels(tmp_path / "mask.nii.gz", STACK > 100, like=volume)
    assert np.allclose(nibabel.affines.voxel_sizes(nibabel.load(out).affine), SPACING[::-1])
    labels = read_labels(out, like=volume)
    assert np.array_equal(labels.array, STACK > 100)
    scan = read_volume(write_volume(tmp_path / "scan.nii.gz", volume))
    assert np.array_equal(scan.array, STACK)


@pytest.mark.parametrize("name", ["mask.jpg", "mask.mha", "mask.png", "mask.gz"])
def test_files_that_hold_no_mask_are_refused(images: Path, tmp_path: Path, name: str) -> None:
    volume = read_volume(images, spacing_mm=SPACING)
    with pytest.raises(WriteError, match=r"end it in \.nii\.gz"):
        write_labels(tmp_path / name, STACK > 9, like=volume)


def test_a_cropped_stack_has_no_names_for_its_slices(images: Path, tmp_path: Path) -> None:
    whole = read_volume(images, spacing_mm=SPACING)
    assert isinstance(whole.source, FolderSource)
    part = Volume(whole.array[1:], whole.affine, whole.source)
    with pytest.raises(WriteError, match=r"end it in \.nii\.gz"):
        write_labels(tmp_path / "masks", part.array > 9, like=part)


def test_a_full_disk_leaves_no_part_of_a_folder(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = read_volume(images, spacing_mm=SPACING)
    from slicekit.io import folders

    whole: Callable[[Path, np.ndarray], None] = folders.write_png

    def fail(path: Path, plane: np.ndarray) -> None:
        if path.name == "048.png":
            raise OSError(28, "No space left on device")
        whole(path, plane)

    monkeypatch.setattr(folders, "write_png", fail)
    with pytest.raises(WriteError, match="No space left"):
        write_labels(tmp_path / "masks", STACK > 9, like=volume)
    assert [entry.name for entry in tmp_path.iterdir()] == ["images"]
    shutil.rmtree(images)
