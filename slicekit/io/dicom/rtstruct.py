"""Label maps as an RTSTRUCT beside the series they belong to: contours slice by slice.

Each organ is a region of interest with its name, its colour and the id it has in the label map.
Contours lie on the planes of the series as its headers tell them, in millimetres of the patient.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slicekit.io.dicom.container import Container
from slicekit.io.dicom.contours import outlines
from slicekit.io.dicom.headers import read_headers
from slicekit.io.dicom.planes import Plane
from slicekit.io.dicom.referring import (
    ID_TEXT,
    expect_referable,
    named_ids,
    series_headers,
    software_version,
    write_labels_whole,
)
from slicekit.io.dicom.rtstruct_read import read_rtstruct
from slicekit.io.dicom.source import DicomSource
from slicekit.io.nifti_affine import turn_back
from slicekit.labels import LabelSet
from slicekit.volume import Volume

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_OF_STUDY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate",
    "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
_LONGEST_NAME = 64


def write_rtstruct(
    path: Path, ids: NDArray[Any], like: Volume, names: LabelSet | None = None
) -> Path:
    """Write label ids as closed contours that refer to the slices of a series.

    Args:
        path: A name ending in .rtstruct.dcm.
        ids: ``(z, y, x)`` ids on the grid of ``like``, uint8 or uint16.
        like: The image as it was read from the series.
        names: What the ids mean; ``label_ID`` for those without a name.

    Raises:
        LabelError: There is nothing to write: no voxel has a label and no organ is named.
        WriteError: The image is none of DICOM, its files have changed since, or the output could
            not be written whole.
    """
    source = expect_referable(path, like)
    organs = named_ids(path, ids, names)
    slices = turn_back(ids, source.axes).transpose(2, 1, 0)
    with warnings.catch_warnings():  # of odd values in the series' headers
        warnings.simplefilter("ignore")
        headers = {header.SOPInstanceUID: header for header in series_headers(path, source)}
        places = _places(source)
        made = _structure_set(headers, source, organs)
        for region, number in zip(made.ROIContourSequence, organs, strict=True):
            region.ContourSequence = list(_contours(slices == number, source, places, headers))
            if not region.ContourSequence:
                del region.ContourSequence  # an organ that is not there

        return write_labels_whole(path, made, ids, partial(read_rtstruct, like=like))


def _places(source: DicomSource) -> list[Plane]:
    """Read where the planes lie, in the order of the stored slices."""
    with Container(source.path) as container:
        planes, _ = read_headers(container, None)
    found = {(plane.file, plane.frame): plane for plane in planes}
    return [found[key] for key in zip(source.files, source.frames, strict=True)]


def _contours(
    mask: NDArray[np.bool_],
    source: DicomSource,
    places: list[Plane],
    headers: Mapping[str, Dataset],
) -> Iterator[Dataset]:
    """Describe an organ's contours, slice by slice."""
    from pydicom.dataset import Dataset

    for at in np.flatnonzero(mask.any(axis=(1, 2))):
        uid = source.instance_uids[at]
        frame = source.frames[at] if _has_frames(headers[uid]) else None
        for corners in outlines(mask[at]):
            one = Dataset()
            one.ContourImageSequence = [_image(headers[uid], frame)]
            one.ContourGeometricType = "CLOSED_PLANAR"
            one.NumberOfContourPoints = len(corners)
            told = _in_patient(corners, places[at])
            one.ContourData = [f"{value:.3f}" for value in told.ravel()]
            yield one


def _in_patient(corners: NDArray[np.float64], plane: Plane) -> NDArray[np.float64]:
    """Return where ``(column, row)`` of a plane lie, ``(n, 3)`` in LPS+ mm."""
    position, orientation = np.array(plane.position), np.array(plane.orientation).reshape(2, 3)
    between_rows, between_columns = plane.spacing or (1.0, 1.0)
    told: NDArray[np.float64] = (
        position + corners * (between_columns, between_rows) @ orientation + 0.0
    )
    return told


def _structure_set(
    headers: Mapping[str, Dataset], source: DicomSource, organs: Mapping[int, str]
) -> Dataset:
    """Make everything but the contours: patient, study, series, regions."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage, generate_uid

    first = next(iter(headers.values()))
    now, software = datetime.now().astimezone(), software_version()
    made = Dataset()
    made.file_meta = FileMetaDataset()
    # the length of contour data is told in 16 bits where elements carry their type
    made.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    made.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _OF_STUDY:
        value = first.get(keyword)
        setattr(made, keyword, "" if value is None else str(value))
    made.SOPClassUID, made.SOPInstanceUID = RTStructureSetStorage, generate_uid()
    made.Modality, made.SeriesInstanceUID = "RTSTRUCT", generate_uid()
    made.SeriesNumber = 2000 + int(first.get("SeriesNumber") or 0)
    made.SeriesDescription, made.OperatorsName = "slicekit labels", ""
    made.Manufacturer = made.ManufacturerModelName = "slicekit"
    made.DeviceSerialNumber, made.SoftwareVersions = "0", software
    made.FrameOfReferenceUID, made.PositionReferenceIndicator = first.FrameOfReferenceUID, ""
    made.StructureSetLabel = "slicekit"
    made.StructureSetName = "labels by slicekit"
    made.InstanceNumber = 1
    made.StructureSetDate, made.StructureSetTime = f"{now:%Y%m%d}", f"{now:%H%M%S}"
    made.InstanceCreationDate, made.InstanceCreationTime = f"{now:%Y%m%d}", f"{now:%H%M%S}"
    made.ReferencedFrameOfReferenceSequence = [_frame_of_reference(headers, source)]
    made.StructureSetROISequence, made.ROIContourSequence = [], []
    made.RTROIObservationsSequence = []
    made.ApprovalStatus = "UNAPPROVED"
    palette = LabelSet({})
    for number, (label, name) in enumerate(organs.items(), start=1):
        region, contour, observed = Dataset(), Dataset(), Dataset()
        region.ROINumber, region.ROIName = number, name[:_LONGEST_NAME]
        region.ReferencedFrameOfReferenceUID = first.FrameOfReferenceUID
        region.ROIDescription = f"{ID_TEXT} {label}"
        region.ROIGenerationAlgorithm = "SEMIAUTOMATIC"
        contour.ReferencedROINumber = number
        contour.ROIDisplayColor = [round(255 * part) for part in palette.colour(label)]
        observed.ObservationNumber = observed.ReferencedROINumber = number
        observed.RTROIInterpretedType = observed.ROIInterpreter = ""
        made.StructureSetROISequence.append(region)
        made.ROIContourSequence.append(contour)
        made.RTROIObservationsSequence.append(observed)
    return made


def _frame_of_reference(headers: Mapping[str, Dataset], source: DicomSource) -> Dataset:
    """Refer to the series and all of its images."""
    from pydicom.dataset import Dataset

    first = next(iter(headers.values()))
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = source.series_uid
    series.ContourImageSequence = [_image(header, None) for header in headers.values()]
    study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"  # a study; retired, but asked for
    study.ReferencedSOPInstanceUID = first.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID = first.FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    return frame


def _image(header: Dataset, frame: int | None) -> Dataset:
    """Refer to an image, or to a frame of it, counted from 0."""
    from pydicom.dataset import Dataset

    one = Dataset()
    one.ReferencedSOPClassUID = header.SOPClassUID
    one.ReferencedSOPInstanceUID = header.SOPInstanceUID
    if frame is not None:
        one.ReferencedFrameNumber = frame + 1
    return one


def _has_frames(header: Dataset) -> bool:
    return int(header.get("NumberOfFrames") or 1) > 1
