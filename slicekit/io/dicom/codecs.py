"""Decoders of compressed planes that several threads can run at once.

pydicom's own plugins (GDCM, CharLS) hold Python's lock while they decode, so threads wait for one
another; imagecodecs lets it go. It also reads every bit depth and predictor of lossless JPEG.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicekit.io.dicom.planes import Damaged, Pixels

Codec = Callable[[bytes], NDArray[Any]]


def _jpeg(frame: bytes) -> NDArray[Any]:
    import imagecodecs

    # libjpeg fills the rest of a truncated stream and says nothing; this one refuses it
    return np.asarray(imagecodecs.jpegsof3_decode(frame))


def _jpeg_ls(frame: bytes) -> NDArray[Any]:
    import imagecodecs

    return np.asarray(imagecodecs.jpegls_decode(frame))


def _jpeg_2000(frame: bytes) -> NDArray[Any]:
    import imagecodecs

    return np.asarray(imagecodecs.jpeg2k_decode(frame, numthreads=1))  # a thread a file already


CODECS: Mapping[str, Codec] = {
    "1.2.840.10008.1.2.4.57": _jpeg,  # lossless
    "1.2.840.10008.1.2.4.70": _jpeg,  # lossless, first-order prediction
    "1.2.840.10008.1.2.4.80": _jpeg_ls,
    "1.2.840.10008.1.2.4.81": _jpeg_ls,  # near-lossless
    "1.2.840.10008.1.2.4.90": _jpeg_2000,  # lossless
    "1.2.840.10008.1.2.4.91": _jpeg_2000,
}
"""Transfer syntax to what decodes one of its frames; others are left to pydicom."""


def decode_frame(codec: Codec, frame: bytes, pixels: Pixels) -> NDArray[Any]:
    """Decode one frame to the stored numbers of the header.

    The stream and the header may disagree about sign and depth; the header's word counts, as of
    uncompressed files: the stored bits, with their highest as the sign.

    Args:
        codec: From ``CODECS``.
        frame: The stream, padding behind it or not.
        pixels: The header's.

    Returns:
        ``(row, column)``.

    Raises:
        Damaged: The frame has another size, or colours.
    """
    found = codec(frame)
    if found.shape != (pixels.rows, pixels.columns):
        size = " x ".join(map(str, found.shape))
        raise Damaged(f"claims {pixels.rows} x {pixels.columns} pixels, but holds {size}")
    kind = np.dtype(f"{'i' if pixels.signed else 'u'}{pixels.allocated // 8}")
    return in_stored_bits(found.astype(kind), pixels)


def in_stored_bits(numbers: NDArray[Any], pixels: Pixels) -> NDArray[Any]:
    """Keep the bits that count, and carry the highest of them as the sign."""
    unused = numbers.dtype.type(pixels.allocated - pixels.stored)
    return (numbers << unused) >> unused if unused else numbers
