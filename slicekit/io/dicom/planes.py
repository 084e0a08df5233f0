"""What the header of a DICOM file says of the planes in it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Vector = tuple[float, ...]
DEFLATED = "1.2.840.10008.1.2.1.99"
_TOP = (
    "SpecificCharacterSet", "ImageType", "SOPClassUID", "SOPInstanceUID", "Modality",
    "SeriesDescription", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber",
    "ImagePositionPatient", "ImageOrientationPatient", "SliceThickness", "SpacingBetweenSlices",
    "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns",
    "PixelSpacing", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "RescaleIntercept", "RescaleSlope", "ModalityLUTSequence",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip
NO_SCANS = ("SEG", "RTDOSE", "RTSTRUCT", "RTPLAN", "SR", "PR", "KO", "REG", "DOC", "FID", "RWV")
"""Modalities of files that lie beside scans."""


@dataclass(frozen=True)
class Pixels:
    """How a file stores its pixels."""

    rows: int
    columns: int
    allocated: int
    """Bits that a number takes."""
    stored: int
    """Bits of it that count."""
    signed: bool
    photometric: str
    frames: int
    syntax: str
    """UID of the transfer syntax; empty where the file does not tell."""
    floating: bool
    explicit: bool
    """Whether elements carry their type."""
    big_endian: bool
    offset: int
    """Byte at which the element with the pixels begins."""

    @property
    def plane_bytes(self) -> int:
        """Bytes of one plane where it is not compressed."""
        return self.rows * self.columns * self.allocated // 8


@dataclass(frozen=True)
class Plane:
    """One plane of a series, as its header describes it."""

    file: str
    frame: int
    pixels: Pixels
    instance_uid: str
    series_uid: str
    series_number: str
    description: str
    modality: str
    number: int | None
    """Instance number, or the frame's."""
    position: Vector | None
    """Centre of the first pixel, ``(x, y, z)`` in LPS+ mm."""
    orientation: Vector | None
    """Unit vectors along a row and down a column, in LPS+."""
    spacing: Vector | None
    """Between rows and between columns, mm."""
    thickness: float | None
    """Distance to the next plane as far as one header can tell it, mm."""
    slope: float
    inter: float
    fault: str | None
    """Why it cannot be part of a volume."""


class NoScan(Exception):
    """A file that holds no scan; the message says what it is."""


class Damaged(Exception):
    """A file that is at fault; the message says how."""


def read_planes(stream: BinaryIO, name: str, *, bare: bool = False) -> list[Plane]:
    """Read a header and describe every plane of its file; no pixel is read.

    Args:
        stream: At the beginning of the file; of a deflated one, what is left after inflating.
        name: How the container calls the file.
        bare: Whether the stream has no preamble, being inflated already.

    Raises:
        NoScan: It is DICOM, but no scan.
        Damaged: It claims to hold pixels and does not, or its header cannot be meant.
    """
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        header = dcmread(stream, stop_before_pixels=True, specific_tags=_tags(), force=bare)
    except InvalidDicomError as fault:
        raise Damaged("is no DICOM file, whatever its name says") from fault
    offset = stream.tell()
    try:
        return list(_planes(header, name, offset, stream.read(4)))
    except (ValueError, TypeError, AttributeError, IndexError, OverflowError) as fault:
        raise Damaged(f"has a damaged header ({str(fault).splitlines()[0]})") from fault


@cache
def _tags() -> list[int]:
    from pydicom.datadict import tag_for_keyword

    return [tag for name in _TOP if (tag := tag_for_keyword(name)) is not None]


def _planes(header: Dataset, name: str, offset: int, tag: bytes) -> Iterator[Plane]:
    modality = str(header.get("Modality") or "")
    kind = header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID")
    what = getattr(kind, "name", "")
    if modality in NO_SCANS:
        raise NoScan(what or modality)
    if not header.get("Rows") or not header.get("Columns"):
        if getattr(kind, "type", "") == "SOP Class" and "Image Storage" not in what:
            raise NoScan(what)
        raise Damaged("is DICOM, but tells no size of an image: it is truncated; copy it again")
    pixels = _pixels(header, offset, tag)
    shared = _first(header.get("SharedFunctionalGroupsSequence"))
    frames = header.get("PerFrameFunctionalGroupsSequence")
    if frames is None and pixels.frames > 1:
        fault: str | None = f"holds {pixels.frames} frames without a position each"
    else:
        fault = _fault(header, pixels)
    groups = [None] if frames is None else list(frames)
    if frames is not None and len(groups) != pixels.frames:
        raise Damaged(f"describes {len(groups)} frames but holds {pixels.frames}")
    for number, group in enumerate(groups):
        places = [header] if group is None else [group, *([] if shared is None else [shared])]
        yield _plane(header, places, name, number, pixels, fault)


def _pixels(header: Dataset, offset: int, tag: bytes) -> Pixels:
    """Describe the stored pixels, once they are seen to be there."""
    syntax = str(header.file_meta.get("TransferSyntaxUID") or "")
    implicit, little = header.original_encoding
    order: Literal["little", "big"] = "little" if little else "big"
    group, element = (int.from_bytes(tag[at : at + 2], order) for at in (0, 2))
    if group != 0x7FE0 or element not in (0x0008, 0x0009, 0x0010):
        raise Damaged("holds no pixels: it is truncated, or only a header; copy it again")
    allocated = int(header.get("BitsAllocated") or 16)
    return Pixels(
        rows=int(header.Rows),
        columns=int(header.Columns),
        allocated=allocated,
        stored=int(header.get("BitsStored") or allocated),
        signed=bool(header.get("PixelRepresentation") or 0),
        photometric=str(header.get("PhotometricInterpretation") or "MONOCHROME2"),
        frames=int(header.get("NumberOfFrames") or 1),
        syntax=syntax,
        floating=element != 0x0010,
        explicit=not implicit,
        big_endian=not little,
        offset=offset,
    )


def _fault(header: Dataset, pixels: Pixels) -> str | None:
    """Say why the pixels of a file can be no part of a volume."""
    samples = int(header.get("SamplesPerPixel") or 1)
    if samples != 1 or not pixels.photometric.startswith("MONOCHROME"):
        return f"is in colour ({pixels.photometric}), expected gray"
    if pixels.floating:
        return "stores its pixels as floating point, which no scanner does"
    if pixels.allocated not in (8, 16, 32) or not 1 <= pixels.stored <= pixels.allocated:
        return f"stores {pixels.stored} of {pixels.allocated} bits a pixel, expected 8, 16 or 32"
    if int(header.get("HighBit") or pixels.stored - 1) != pixels.stored - 1:
        return f"keeps its bits elsewhere than usual (high bit {header.HighBit})"
    if header.get("ModalityLUTSequence"):
        return "gives its intensities by a table, not by slope and intercept"
    return None


def _plane(
    header: Dataset,
    places: Sequence[Dataset],
    name: str,
    frame: int,
    pixels: Pixels,
    fault: str | None,
) -> Plane:
    enhanced = places[0] is not header
    position = _numbers(_find(places, enhanced, "PlanePositionSequence", "ImagePositionPatient"), 3)
    orientation = _numbers(
        _find(places, enhanced, "PlaneOrientationSequence", "ImageOrientationPatient"), 6
    )
    spacing = _numbers(_find(places, enhanced, "PixelMeasuresSequence", "PixelSpacing"), 2)
    thickness = [
        _find(places, enhanced, "PixelMeasuresSequence", keyword)
        for keyword in ("SpacingBetweenSlices", "SliceThickness")
    ]
    values = "PixelValueTransformationSequence"
    slope, inter = (
        1.0 if value is None else float(value)
        for value in (
            _find(places, enhanced, values, "RescaleSlope"),
            _find(places, enhanced, values, "RescaleIntercept") or 0.0,
        )
    )
    if fault is None and not (math.isfinite(slope) and math.isfinite(inter) and slope != 0):
        fault = f"has a rescale slope of {slope:g} and an intercept of {inter:g}"
    number = frame + 1 if enhanced else header.get("InstanceNumber")
    return Plane(
        file=name,
        frame=frame,
        pixels=pixels,
        instance_uid=str(header.get("SOPInstanceUID") or ""),
        series_uid=str(header.get("SeriesInstanceUID") or ""),
        series_number=str(header.get("SeriesNumber") or ""),
        description=" ".join(str(header.get("SeriesDescription") or "").split()),
        modality=str(header.get("Modality") or ""),
        number=None if number in (None, "") else int(number),
        position=position,
        orientation=orientation,
        spacing=spacing,
        thickness=next((float(one) for one in thickness if one and float(one) > 0), None),
        slope=slope,
        inter=inter,
        fault=fault,
    )


def _find(places: Sequence[Dataset], enhanced: bool, sequence: str, keyword: str) -> Any:
    """Find a value in the header, or in the functional groups of a frame and of all frames."""
    if not enhanced:
        return places[0].get(keyword)
    for place in places:
        inner = _first(place.get(sequence))
        if inner is not None and inner.get(keyword) is not None:
            return inner.get(keyword)
    return None


def _first(sequence: Any) -> Any:
    return sequence[0] if sequence else None


def _numbers(value: Any, count: int) -> Vector | None:
    """Return finite numbers, ``None`` where there are none or too few."""
    if value is None or isinstance(value, str) or len(value) != count:
        return None
    numbers = tuple(float(one) for one in value)
    return numbers if all(map(math.isfinite, numbers)) else None
