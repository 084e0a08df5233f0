"""Decoding compressed frames: every depth, sign and predictor, and what does not fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import imagecodecs
import numpy as np
import pytest

from slicekit.io.dicom.codecs import CODECS, decode_frame
from slicekit.io.dicom.planes import Damaged, Pixels

LOSSLESS = "1.2.840.10008.1.2.4.57"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
SHAPE = (24, 40)


def described(bits: int, *, signed: bool = False) -> Pixels:
    return Pixels(
        rows=SHAPE[0], columns=SHAPE[1], allocated=8 if bits <= 8 else 16, stored=bits,
        signed=signed, photometric="MONOCHROME2", frames=1, syntax=LOSSLESS, floating=False,
        explicit=True, big_endian=False, offset=0,
    )  # fmt: skip


def stored(bits: int) -> np.ndarray[Any, Any]:
    """Any bits at all, the smallest and the largest among them."""
    found = np.random.default_rng(bits).integers(0, 2**bits, SHAPE)
    found[0, :2] = 0, 2**bits - 1
    return found.astype(np.uint8 if bits <= 8 else np.uint16)


def encoded(syntax: str, numbers: np.ndarray[Any, Any], bits: int, predictor: int = 1) -> bytes:
    if syntax == LOSSLESS:
        return bytes(
            imagecodecs.jpeg_encode(numbers, lossless=True, predictor=predictor, bitspersample=bits)
        )
    if syntax == JPEG_LS:
        return bytes(imagecodecs.jpegls_encode(numbers))
    return bytes(imagecodecs.jpeg2k_encode(numbers, reversible=True, codecformat="j2k"))


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_lossless_jpeg_of_every_predictor(bits: int, predictor: int) -> None:
    numbers = stored(bits)
    stream = encoded(LOSSLESS, numbers, bits, predictor)
    found = decode_frame(CODECS[LOSSLESS], stream, described(bits))
    np.testing.assert_array_equal(found, numbers)
    assert found.dtype == numbers.dtype


@pytest.mark.parametrize("syntax", [LOSSLESS, JPEG_LS, JPEG_2000])
@pytest.mark.parametrize("bits", [12, 16])
def test_the_highest_stored_bit_is_the_sign(syntax: str, bits: int) -> None:
    numbers = stored(bits)
    meant = (numbers.astype(np.int32) + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)
    found = decode_frame(
        CODECS[syntax], encoded(syntax, numbers, bits), described(bits, signed=True)
    )
    np.testing.assert_array_equal(found, meant)
    assert found.dtype == np.int16


def test_a_signed_stream_under_an_unsigned_header_keeps_its_bits() -> None:
    numbers = stored(16).view(np.int16)
    stream = bytes(imagecodecs.jpeg2k_encode(numbers, reversible=True, codecformat="j2k"))
    found = decode_frame(CODECS[JPEG_2000], stream, described(16))
    np.testing.assert_array_equal(found, numbers.view(np.uint16))


def test_padding_behind_a_frame_does_not_matter() -> None:
    numbers = stored(12)
    stream = encoded(LOSSLESS, numbers, 12) + b"\x00"
    np.testing.assert_array_equal(decode_frame(CODECS[LOSSLESS], stream, described(12)), numbers)


@pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
@pytest.mark.parametrize("syntax", [LOSSLESS, JPEG_LS, JPEG_2000])
def test_part_of_a_stream_is_no_plane(syntax: str, share: float) -> None:
    stream = encoded(syntax, stored(12), 12)
    faults = (imagecodecs.Jpegsof3Error, imagecodecs.JpeglsError, imagecodecs.Jpeg2kError)
    with pytest.raises(faults):
        decode_frame(CODECS[syntax], stream[: int(share * len(stream))], described(12))


@pytest.mark.parametrize("syntax", [LOSSLESS, JPEG_LS, JPEG_2000])
def test_a_plane_of_another_size_is_refused(syntax: str) -> None:
    stream = encoded(syntax, stored(12), 12)
    with pytest.raises(Damaged, match="claims 25 x 40 pixels, but holds 24 x 40"):
        decode_frame(CODECS[syntax], stream, replace(described(12), rows=25))
