"""Label maps as DICOM-SEG, beside the series they belong to; highdicom does the encoding.

A segment carries the organ's name, its code in SNOMED CT where the name is known there, and the
id it has in the label map, since segments are counted from 1 without gaps.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slicekit.errors import WriteError
from slicekit.io.dicom.referring import (
    ID_TEXT,
    expect_referable,
    named_ids,
    series_headers,
    software_version,
    write_labels_whole,
)
from slicekit.io.dicom.seg_read import read_dicom_seg
from slicekit.io.dicom.source import DicomSource
from slicekit.io.nifti_affine import turn_back
from slicekit.labels import LabelSet
from slicekit.volume import Volume

if TYPE_CHECKING:
    from highdicom.seg import Segmentation, SegmentDescription


def write_dicom_seg(
    path: Path, ids: NDArray[Any], like: Volume, names: LabelSet | None = None
) -> Path:
    """Write label ids as a binary DICOM-SEG that refers to the slices of a series.

    Args:
        path: A name ending in .dcm.
        ids: ``(z, y, x)`` ids on the grid of ``like``, uint8 or uint16.
        like: The image as it was read from the series.
        names: What the ids mean; ``label_ID`` for those without a name.

    Raises:
        LabelError: There is nothing to write: no voxel has a label and no organ is named.
        WriteError: The image is none of DICOM, its files have changed since, or the output could
            not be written whole.
    """
    source = expect_referable(path, like)
    segments = named_ids(path, ids, names)
    planes = turn_back(ids, source.axes).transpose(2, 1, 0)
    with warnings.catch_warnings():  # of odd values in the series' headers
        warnings.simplefilter("ignore")
        made = _segmentation(path, planes, source, segments)

        return write_labels_whole(path, made, ids, partial(read_dicom_seg, like=like))


def _segmentation(
    path: Path, planes: NDArray[Any], source: DicomSource, segments: Mapping[int, str]
) -> Segmentation:
    """Encode planes ``(slice, row, column)`` in their stored order."""
    import highdicom

    headers = series_headers(path, source)
    numbers = np.zeros(max(segments) + 1, dtype=np.uint16)
    numbers[list(segments)] = np.arange(1, len(segments) + 1)
    stored = numbers[planes]
    if len(headers) == 1 and len(source.files) > 1:  # one file of many frames, in its own order
        stored = stored[np.argsort(source.frames)]
    if len(segments) <= 255:
        stored = stored.astype(np.uint8)
    software = software_version()
    try:
        return highdicom.seg.Segmentation(
            source_images=headers,
            pixel_array=stored,
            segmentation_type="BINARY",
            segment_descriptions=[
                _description(place + 1, name, label, software)
                for place, (label, name) in enumerate(segments.items())
            ],
            series_instance_uid=highdicom.UID(),
            series_number=1000 + int(headers[0].get("SeriesNumber") or 0),
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer="slicekit",
            manufacturer_model_name="slicekit",
            software_versions=software,
            device_serial_number="0",
            series_description="slicekit labels",
        )
    except (AttributeError, ValueError, TypeError, KeyError) as fault:
        raise WriteError(
            path, f"cannot be written: the headers of {source.path} do not allow a DICOM-SEG "
            f"({fault}); end it in .nii.gz",
        ) from fault  # fmt: skip


def _description(number: int, name: str, label: int, software: str) -> SegmentDescription:
    """Describe a segment, with the code of its organ where SNOMED CT has one of that name."""
    import highdicom
    from pydicom.sr.codedict import codes

    side = next((side for side in ("left", "right") if name.lower().startswith(side)), None)
    organ = name if side is None else name[len(side) :]
    words = re.findall(r"[a-z0-9]+", organ.lower())
    code = None
    for candidate in (re.findall(r"[a-z0-9]+", name.lower()), words):
        code = code or getattr(codes.SCT, "".join(word.capitalize() for word in candidate), None)
    description = highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=name[:64],
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=code or codes.SCT.AnatomicalStructure,
        algorithm_type="SEMIAUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name="slicekit", family=codes.DCM.ArtificialIntelligence, version=software
        ),
    )
    description.SegmentDescription = f"{ID_TEXT} {label}"
    if side is not None and code is not None:
        sided = codes.SCT.Left if side == "left" else codes.SCT.Right
        concept = highdicom.sr.CodedConcept(sided.value, sided.scheme_designator, sided.meaning)
        kind = description.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = [concept]
    return description
