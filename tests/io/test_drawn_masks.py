"""Masks of a few slices find their slices, or the file that does not is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slicekit.errors import LabelError, ReadError
from slicekit.io import read_masks, read_volume, write_volume
from slicekit.volume import Volume, along

SHAPE = (5, 6, 9)
SPACING = (5.0, 0.8, 0.7)


def mask(number: int = 1) -> np.ndarray:
    out = np.zeros(SHAPE[1:], np.uint8)
    out[2:4, 3:7] = number
    return out


def save(path: Path, ids: np.ndarray) -> Path:
    path.parent.mkdir(exist_ok=True)
    np.save(path, ids) if path.suffix == ".npy" else Image.fromarray(ids).save(path)
    return path


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """An empty folder for masks."""
    (tmp_path / "drawn").mkdir()
    return tmp_path / "drawn"


@pytest.fixture
def slices(tmp_path: Path) -> Volume:
    """An image of five pictures, 046.png to 050.png."""
    stack = np.random.default_rng(5).integers(0, 256, SHAPE).astype(np.uint8)
    for number, plane in enumerate(stack, 46):
        save(tmp_path / "images" / f"{number:03}.png", plane)
    return read_volume(tmp_path / "images", spacing_mm=SPACING)


@pytest.fixture
def scan(tmp_path: Path) -> Volume:
    """An image that was read from NIfTI."""
    values = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    affine = np.array([[0, 0, 0.7, 0], [0, 0.8, 0, 0], [5.0, 0, 0, 0], [0, 0, 0, 1]])
    write_volume(tmp_path / "scan.nii.gz", Volume(values, affine))
    return read_volume(tmp_path / "scan.nii.gz")


def test_a_mask_belongs_to_the_slice_of_its_name(slices: Volume, drawn: Path) -> None:
    save(drawn / "049.png", mask(2))
    save(drawn / "046.png", mask(1))
    found = read_masks(drawn, like=slices)
    assert list(found) == [0, 3]
    assert np.array_equal(found[0], mask(1)) and np.array_equal(found[3], mask(2))


@pytest.mark.parametrize("ending", [".tif", ".tiff", ".npy", ".PNG"])
def test_its_ending_may_be_another_one(slices: Volume, drawn: Path, ending: str) -> None:
    file = save(drawn / f"047{ending.lower()}", mask(3))
    file.rename(drawn / f"047{ending}")
    assert np.array_equal(read_masks(str(drawn), like=slices)[1], mask(3))


def test_for_a_file_the_last_number_in_the_name_is_the_slice(scan: Volume, drawn: Path) -> None:
    save(drawn / "patient7_z012_4.png", mask(2))
    save(drawn / "liver2.png", mask())
    save(drawn / "000.npy", mask())
    assert list(read_masks(drawn, like=scan)) == [0, 2, 4]


def test_a_view_along_another_axis_counts_its_own_slices(slices: Volume, drawn: Path) -> None:
    view = along(slices, "x")
    save(drawn / "8.png", np.ones(view.shape[1:], np.uint8))
    assert list(read_masks(drawn, like=view)) == [8]


def test_empty_masks_are_there_too(scan: Volume, drawn: Path) -> None:
    save(drawn / "1.png", np.zeros(SHAPE[1:], np.uint8))
    found = read_masks(drawn, like=scan)
    assert list(found) == [1] and not found[1].any()


def test_ids_are_the_smallest_unsigned_type(scan: Volume, drawn: Path) -> None:
    save(drawn / "1.npy", mask().astype(np.int64))
    save(drawn / "2.npy", mask().astype(np.float64))
    save(drawn / "3.png", mask().astype(np.uint16) * 300)
    save(drawn / "4.npy", mask().astype(bool))
    found = read_masks(drawn, like=scan)
    assert [found[z].dtype for z in (1, 2, 3, 4)] == [np.uint8, np.uint8, np.uint16, np.uint8]
    assert [int(found[z].max()) for z in (1, 2, 3, 4)] == [1, 1, 300, 1]


def test_a_palette_gives_its_indices(scan: Volume, drawn: Path) -> None:
    picture = Image.fromarray(mask(3), mode=None).convert("P")
    picture.putpalette([9, 9, 9, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture.save(drawn / "2.png")
    assert np.array_equal(read_masks(drawn, like=scan)[2], np.asarray(picture))


def test_other_and_hidden_files_are_passed_over(scan: Volume, drawn: Path) -> None:
    save(drawn / "1.png", mask())
    (drawn / ".2.png").write_bytes(b"left by a file browser")
    (drawn / "notes 3.txt").write_text("which slices are drawn")
    assert list(read_masks(drawn, like=scan)) == [1]


def test_what_is_no_folder_of_masks_is_refused(scan: Volume, drawn: Path) -> None:
    with pytest.raises(ReadError, match="is not a folder of masks"):
        read_masks(drawn / "absent", like=scan)
    with pytest.raises(ReadError, match="is not a folder of masks"):
        read_masks(save(drawn / "1.png", mask()), like=scan)


def test_a_folder_without_any_mask_is_refused(scan: Volume, drawn: Path) -> None:
    (drawn / "readme.txt").write_text("nothing yet")
    with pytest.raises(ReadError, match="holds no mask; put one PNG a drawn slice"):
        read_masks(drawn, like=scan)


def test_a_name_of_no_slice_is_refused_with_those_there_are(slices: Volume, drawn: Path) -> None:
    save(drawn / "0046.png", mask())
    with pytest.raises(ReadError, match=r"after no slice; the slices are 046, 047, .*, 050$"):
        read_masks(drawn, like=slices)


def test_of_many_slices_a_few_are_named(tmp_path: Path, drawn: Path) -> None:
    for number in range(8):
        save(tmp_path / "many" / f"{number}.png", mask(number))
    save(drawn / "8.png", mask())
    with pytest.raises(ReadError, match=r"the slices are 0, 1, 2, 3, 4 \.\.\.$"):
        read_masks(drawn, like=read_volume(tmp_path / "many", spacing_mm=SPACING))


def test_a_name_without_a_number_is_refused(scan: Volume, drawn: Path) -> None:
    save(drawn / "liver.png", mask())
    with pytest.raises(ReadError, match="has no number in its name"):
        read_masks(drawn, like=scan)


def test_a_slice_that_is_not_there_is_refused(scan: Volume, drawn: Path) -> None:
    save(drawn / "5.png", mask())
    with pytest.raises(ReadError, match="is drawn on slice 5, but the slices go from 0 to 4"):
        read_masks(drawn, like=scan)


def test_two_masks_of_a_slice_are_refused(slices: Volume, scan: Volume, drawn: Path) -> None:
    save(drawn / "047.png", mask())
    save(drawn / "047.tif", mask(2))
    with pytest.raises(ReadError, match=r"047\.tif: is a second mask of slice 1; keep one"):
        read_masks(drawn, like=slices)
    for path in drawn.iterdir():
        path.unlink()
    save(drawn / "a 3.png", mask())
    save(drawn / "b 03.png", mask(2))
    with pytest.raises(ReadError, match=r"b 03\.png: is a second mask of slice 3"):
        read_masks(drawn, like=scan)


@pytest.mark.parametrize("shape", [(9, 6), (6, 8), (12, 18)])
def test_a_mask_of_another_size_is_refused_with_both(
    scan: Volume, drawn: Path, shape: tuple[int, int]
) -> None:
    save(drawn / "1.png", np.ones(shape, np.uint8))
    with pytest.raises(ReadError) as caught:
        read_masks(drawn, like=scan)
    assert f"is {shape} (y, x), its slice (6, 9)" in str(caught.value)
    assert "1.png" in str(caught.value)


def test_a_volume_is_no_mask(scan: Volume, drawn: Path) -> None:
    save(drawn / "1.npy", np.ones(SHAPE, np.uint8))
    with pytest.raises(ReadError, match=r"is \(5, 6, 9\)"):
        read_masks(drawn, like=scan)


@pytest.mark.parametrize("ending", ["jpg", "jpeg", "JPG"])
def test_lossy_pictures_are_refused(scan: Volume, drawn: Path, ending: str) -> None:
    save(drawn / "1.jpeg", mask()).rename(drawn / f"1.{ending}")
    with pytest.raises(LabelError, match=rf"1\.{ending}: JPEG does not keep label ids"):
        read_masks(drawn, like=scan)


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.5, "must be whole numbers"), (-1.0, "from 0 to 65535"), (np.nan, "NaN or infinite")],
)
def test_what_is_no_id_is_refused(scan: Volume, drawn: Path, value: float, said: str) -> None:
    ids = mask().astype(np.float32)
    ids[0, 0] = value
    save(drawn / "1.npy", ids)
    with pytest.raises(LabelError, match=rf"1\.npy: .*{said}"):
        read_masks(drawn, like=scan)


def test_true_colours_are_refused(scan: Volume, drawn: Path) -> None:
    colours = np.zeros((*SHAPE[1:], 3), np.uint8)
    colours[..., 0] = 200
    save(drawn / "1.png", colours)
    with pytest.raises(ReadError, match=r"1\.png: is in true colour"):
        read_masks(drawn, like=scan)


@pytest.mark.parametrize("missing", [9, 20, 40])
def test_a_picture_that_was_cut_off_is_refused(scan: Volume, drawn: Path, missing: int) -> None:
    path = save(drawn / "1.png", mask())
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(ReadError, match=r"1\.png: is damaged"):
        read_masks(drawn, like=scan)


def test_a_picture_with_any_wrong_bit_in_its_pixels_is_refused(scan: Volume, drawn: Path) -> None:
    path = save(drawn / "1.png", mask())
    content = path.read_bytes()
    start = content.index(b"IDAT") + 4
    for place in range(start, start + int.from_bytes(content[start - 8 : start - 4])):
        spoilt = bytearray(content)
        spoilt[place] ^= 1
        path.write_bytes(spoilt)
        with pytest.raises(ReadError, match=r"1\.png: is damaged"):
            read_masks(drawn, like=scan)


def test_a_picture_of_several_pages_is_refused(scan: Volume, drawn: Path) -> None:
    pages = [Image.fromarray(mask(n)) for n in (1, 2)]
    pages[0].save(drawn / "1.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(ReadError, match=r"1\.tif: holds 2 pages"):
        read_masks(drawn, like=scan)


def test_a_folder_named_as_a_picture_is_refused_by_name(scan: Volume, drawn: Path) -> None:
    (drawn / "1.png").mkdir()
    with pytest.raises(ReadError, match=r"1\.png: "):
        read_masks(drawn, like=scan)
