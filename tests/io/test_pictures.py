"""One slice in one file: gray in every disguise, colour in none."""

from __future__ import annotations

import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slicekit.errors import ReadError
from slicekit.io.pictures import look, read_slice, write_png

GRAY = (np.arange(48).reshape(6, 8) * 5).astype(np.uint8)


def save(path: Path, picture: Image.Image) -> Path:
    picture.save(path)
    return path


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_gray_in_every_disguise(tmp_path: Path, mode: str) -> None:
    path = save(tmp_path / "1.png", Image.fromarray(GRAY).convert(mode))
    assert np.array_equal(read_slice(path), GRAY)
    seen = look(path)
    assert (seen.shape, seen.dtype, seen.is_gray8) == ((6, 8), np.uint8, True)


@pytest.mark.parametrize("where", [0, 1, 2])
def test_one_coloured_pixel_is_colour(tmp_path: Path, where: int) -> None:
    colours = np.repeat(GRAY[..., None], 3, axis=2)
    colours[2, 2, where] += 1
    for name in ("1.png", "1.tif"):
        with pytest.raises(ReadError, match="true colour"):
            read_slice(save(tmp_path / name, Image.fromarray(colours)))


def test_see_through_pixels_are_refused(tmp_path: Path) -> None:
    picture = Image.fromarray(GRAY).convert("RGBA")
    picture.putpixel((1, 1), (7, 7, 7, 128))
    with pytest.raises(ReadError, match="see-through"):
        read_slice(save(tmp_path / "1.png", picture))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB"])
def test_other_colour_spaces_are_refused(tmp_path: Path, mode: str) -> None:
    path = save(tmp_path / "1.tif", Image.new(mode, (8, 6)))
    with pytest.raises(ReadError, match=f"mode {mode}"):
        look(path)


def png(path: Path, *, depth: int, colour: int, row: bytes, width: int) -> Path:
    """A PNG of one row, byte by byte."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, 1, depth, colour, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" + row))
        + chunk(b"IEND", b"")
    )
    return path


def test_16_bit_colour_is_not_cut_down_in_silence(tmp_path: Path) -> None:
    path = png(tmp_path / "1.png", depth=16, colour=2, row=bytes(12), width=2)
    with pytest.raises(ReadError, match="16-bit colour"):
        read_slice(path)


def test_small_bit_depths_keep_their_ids(tmp_path: Path) -> None:
    two = png(tmp_path / "2.png", depth=2, colour=0, row=bytes([0b00_01_10_11]), width=4)
    four = png(tmp_path / "4.png", depth=4, colour=0, row=bytes([0x0F, 0x7C]), width=4)
    one = png(tmp_path / "1.png", depth=1, colour=0, row=bytes([0b0110_0000]), width=4)
    assert read_slice(two, as_ids=True).tolist() == [[0, 1, 2, 3]]
    assert read_slice(four, as_ids=True).tolist() == [[0, 15, 7, 12]]
    assert read_slice(one, as_ids=True).tolist() == [[0, 1, 1, 0]]
    assert read_slice(one).tolist() == [[0, 255, 255, 0]]
    assert read_slice(two).tolist() == [[0, 85, 170, 255]]


def test_palettes_are_ids_for_labels_and_gray_for_images(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8), mode="P")
    picture.putpalette([0, 0, 0, 90, 90, 90, 200, 200, 200])
    path = save(tmp_path / "1.png", picture)
    assert read_slice(path, as_ids=True).tolist() == [[0, 1, 2]]
    assert read_slice(path).tolist() == [[0, 90, 200]]


def test_a_flipped_bit_in_a_png_is_found_by_its_checksum(tmp_path: Path) -> None:
    path = save(tmp_path / "1.png", Image.fromarray(GRAY))
    whole = path.read_bytes()
    start, end = whole.index(b"IDAT") + 4, whole.index(b"IEND") - 8
    for position in range(start, end):
        damaged = bytearray(whole)
        damaged[position] ^= 2
        path.write_bytes(damaged)
        with pytest.raises(ReadError, match="damaged"):
            look(path)


def test_several_pages_are_several_slices(tmp_path: Path) -> None:
    path = tmp_path / "1.tif"
    pages = [Image.fromarray(GRAY)] * 3
    pages[0].save(path, save_all=True, append_images=pages[1:])
    with pytest.raises(ReadError, match="3 pages"):
        look(path)


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_what_is_written_reads_back(tmp_path: Path, dtype: str) -> None:
    ids = (GRAY.astype(np.uint32) * (200 if dtype == "u2" else 1)).astype(dtype)
    write_png(tmp_path / "1.png", ids[:, ::-1])
    assert np.array_equal(read_slice(tmp_path / "1.png", as_ids=True), ids[:, ::-1])


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    array = np.empty((2, 2), dtype=object)
    array[:] = Trap(sprung)
    np.save(tmp_path / "1.npy", array)
    (tmp_path / "2.npy").write_bytes(pickle.dumps(Trap(sprung)))
    for name in ("1.npy", "2.npy"):
        with pytest.raises(ReadError, match="damaged or no slice"):
            look(tmp_path / name)
    assert not sprung.exists()


@pytest.mark.parametrize(
    "array", [np.zeros(4), np.zeros((2, 2), complex), np.zeros((1, 1, 1, 1)), np.zeros((0, 3))]
)
def test_arrays_that_are_no_slices(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "1.npy", array)
    with pytest.raises(ReadError):
        look(tmp_path / "1.npy")
