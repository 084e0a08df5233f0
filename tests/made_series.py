"""DICOM series that tests make: small, of known voxels and places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


def stored_voxels(
    count: int = 5, rows: int = 12, columns: int = 16, seed: int = 3
) -> np.ndarray[Any, Any]:
    """Make ``(slice, row, column)`` numbers of 12 bits, no two slices alike."""
    return np.random.default_rng(seed).integers(0, 4096, (count, rows, columns)).astype(np.uint16)


def header(voxels: np.ndarray[Any, Any], *, series: str = "1.2.3.4", number: int = 7) -> Dataset:
    """Make the part of a header that all slices share."""
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.SOPClassUID, one.Modality = CTImageStorage, "CT"
    one.PatientID, one.PatientName = "phantom", "Phantom^A"
    one.PatientBirthDate = one.PatientSex = one.AccessionNumber = one.StudyID = ""
    one.StudyDate, one.StudyTime = "20200101", "120000"
    one.StudyInstanceUID, one.SeriesInstanceUID = "1.2.3", series
    one.FrameOfReferenceUID = "1.2.5"
    one.SeriesNumber, one.SeriesDescription = number, "thin abdomen"
    one.SliceThickness = 2.5
    one.PixelSpacing = [0.75, 0.5]
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.Rows, one.Columns = voxels.shape[-2:]
    bits = voxels.dtype.itemsize * 8
    one.BitsAllocated, one.BitsStored, one.HighBit = bits, bits, bits - 1
    one.PixelRepresentation = int(voxels.dtype.kind == "i")
    one.RescaleSlope, one.RescaleIntercept = 1, -1024
    return one


def write_series(
    folder: Path,
    voxels: np.ndarray[Any, Any] | None = None,
    *,
    orientation: Sequence[float] = AXIAL,
    places: Sequence[Sequence[float]] | None = None,
    heights: Sequence[float] | None = None,
    series: str = "1.2.3.4",
    number: int = 7,
    change: Callable[[int, Dataset], None] = lambda _, __: None,
    compress: str | None = None,
    name: str = "IM{:03d}.dcm",
) -> np.ndarray[Any, Any]:
    """Write a series of one file a slice; returns ``(slice, row, column)`` stored numbers.

    Args:
        folder: Made where it is missing.
        voxels: What to store; ``stored_voxels()`` for ``None``.
        orientation: Directions of a row and a column, LPS.
        places: First pixel of every slice, LPS; else along the normal.
        heights: Of the slices along the normal; every 2.5 mm for ``None``.
        series: UID.
        number: Of the series.
        change: Told the slice and its header before it is written.
        compress: A transfer syntax that pydicom can write.
        name: Of the files.
    """
    voxels = stored_voxels() if voxels is None else voxels
    folder.mkdir(parents=True, exist_ok=True)
    normal = np.cross(orientation[:3], orientation[3:])
    if heights is None:
        heights = [2.5 * number for number in range(len(voxels))]
    if places is None:
        places = [np.array([-30.0, -20.0, 40.0]) + height * normal for height in heights]
    for at, (plane, place) in enumerate(zip(voxels, places, strict=True)):
        one = header(voxels, series=series, number=number)
        one.SOPInstanceUID = generate_uid(entropy_srcs=[series, str(number), str(at)])
        one.InstanceNumber = at + 1
        one.ImageOrientationPatient = list(orientation)
        one.ImagePositionPatient = [round(float(value), 6) for value in place]
        one.PixelData = plane.tobytes()
        one["PixelData"].VR = "OW" if voxels.dtype.itemsize > 1 else "OB"
        change(at, one)
        if compress is not None:
            one.compress(compress, generate_instance_uid=False)
        one.save_as(folder / name.format(at), enforce_file_format=True)
    return voxels


def write_enhanced(file: Path, voxels: np.ndarray[Any, Any], heights: Sequence[float]) -> None:
    """Write one multi-frame MR, its frames at ``heights`` along z."""
    one = header(voxels)
    one.SOPClassUID, one.Modality = EnhancedMRImageStorage, "MR"
    one.SOPInstanceUID, one.InstanceNumber = "1.2.9", 1
    one.NumberOfFrames = len(voxels)
    del one.PixelSpacing, one.RescaleSlope, one.RescaleIntercept
    shared, measures, plane = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.75, 0.5], 2.5
    plane.ImageOrientationPatient = list(AXIAL)
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    one.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for at, height in enumerate(heights):
        group, position, values = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [-30.0, -20.0, float(height)]
        values.RescaleSlope, values.RescaleIntercept, values.RescaleType = at + 1, 0, "US"
        group.PlanePositionSequence = [position]
        group.PixelValueTransformationSequence = [values]
        groups.append(group)
    one.PerFrameFunctionalGroupsSequence = groups
    one.PixelData = voxels.tobytes()
    one["PixelData"].VR = "OW"
    file.parent.mkdir(parents=True, exist_ok=True)
    one.save_as(file, enforce_file_format=True)


def as_mr(_: int, one: Dataset) -> None:
    """Make a header that of an MR, which has no rescaling."""
    one.SOPClassUID, one.Modality = MRImageStorage, "MR"
    del one.RescaleSlope, one.RescaleIntercept
