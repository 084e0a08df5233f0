"""Read and write volumes and label maps; the kind is told from the path and the content.

Inside, arrays are ``(z, y, x)`` and always run to the head, to the back and to the patient's
left; ``Volume.source`` remembers how the file stored them, and what is written for an image lies
on exactly its grid: axes, affine, codes and units.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicekit.checks import expect_shape
from slicekit.errors import ReadError, WriteError
from slicekit.io.dicom.container import means_dicom
from slicekit.io.dicom.label_files import read_dicom_labels, write_dicom_labels
from slicekit.io.dicom.read import read_dicom
from slicekit.io.dicom.referring import expect_referable, is_dicom_labels_name
from slicekit.io.dicom.source import DicomSource
from slicekit.io.folders import (
    FolderSource,
    expect_picture_name,
    read_folder,
    read_folder_labels,
    with_gray_range,
    write_folder_labels,
)
from slicekit.io.masks import read_masks
from slicekit.io.nifti import NiftiSource, read_nifti, read_nifti_labels, stored_slice
from slicekit.io.nifti_write import is_nifti_name, write_nifti, write_nifti_like
from slicekit.io.outputs import expect_writable, files_behind
from slicekit.io.pictures import SUFFIXES
from slicekit.io.values import as_label_ids, as_levels
from slicekit.labels import LabelSet
from slicekit.volume import Volume, expect_same_grid

_MAP_STEP = 0.005

__all__ = [
    "DicomSource",
    "FolderSource",
    "NiftiSource",
    "expect_labels_name",
    "expect_writable",
    "read_labels",
    "read_masks",
    "read_volume",
    "stored_slice",
    "with_gray_range",
    "write_labels",
    "write_map",
    "write_volume",
]


def read_volume(
    path: str | Path,
    *,
    gray_range: tuple[float, float] | None = None,
    volume_index: int | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
    memory_budget_bytes: int | None = None,
    allow_trailing_bytes: bool = False,
    series: str | None = None,
    allow_uneven: bool = False,
) -> Volume:
    """Read an image: NIfTI 1 or 2, a DICOM series, a folder of slices, or one picture.

    Args:
        path: A .nii or .nii.gz file; a folder or a .zip of DICOM files, or one of them; a folder
            of PNG, JPEG, TIFF or NPY slices, or one such file.
        gray_range: Intensities that 0 and 255 of 8-bit pictures stand for (HU on CT). Without
            it the array stays gray and ``source.gray_range`` is ``None``.
        volume_index: The volume of a time series, counted from 0.
        spacing_mm: Spacing of slices along ``(z, y, x)``, where the files know none.
        memory_budget_bytes: What reading may take; half of the available memory when ``None``.
        allow_trailing_bytes: Pass over bytes behind the voxels of a NIfTI file.
        series: Which of several DICOM series: its UID, number or description, or a name that
            the error lists.
        allow_uneven: Resample missing, uneven or tilted DICOM slices, as float32.

    Returns:
        ``(z, y, x)``, z running to the head, y to the back, x to the left; integers of up to 32
        bits as they are stored, or as DICOM's whole slopes and intercepts make them, else float32.

    Raises:
        ReadError: It is damaged, too large, or none of these; the message has path and cause.

    Warns:
        DataWarning: Something was mended or is doubtful.
    """
    file = Path(path)
    own = {"gray_range": gray_range, "spacing_mm": spacing_mm}
    if means_dicom(file):
        _expect_unsaid(file, own | {"volume_index": volume_index})
        return read_dicom(
            file, series=series, allow_uneven=allow_uneven, memory_budget_bytes=memory_budget_bytes
        )
    if series is not None:
        raise ReadError(file, "is no DICOM, so it holds no series; leave out series (--series)")
    if _is_slices(file):
        if volume_index is not None:
            raise ReadError(
                file, "holds slices, not a time series; leave out volume_index (--volume)"
            )
        return read_folder(
            file,
            gray_range=gray_range,
            spacing_mm=spacing_mm,
            memory_budget_bytes=memory_budget_bytes,
        )
    _expect_nifti(file)
    _expect_unsaid(file, own)
    return read_nifti(
        file,
        volume_index=volume_index,
        memory_budget_bytes=memory_budget_bytes,
        allow_trailing_bytes=allow_trailing_bytes,
    )


def read_labels(path: str | Path, *, like: Volume | None = None) -> Volume:
    """Read a label map.

    Args:
        path: What ``read_volume`` reads, except JPEG; of DICOM a DICOM-SEG or an
            RTSTRUCT, whose contours need ``like``.
        like: The image it belongs to; the labels must lie on its grid. ``None`` leaves the label
            map on its own.

    Returns:
        ``(z, y, x)`` ids, uint8 or uint16.

    Raises:
        ReadError: The file is at fault.
        LabelError: An id is not whole, negative or above 65535.
        GeometryError: The label map lies on another grid.

    Warns:
        DataWarning: Something was mended or is doubtful.
    """
    file = Path(path)
    if means_dicom(file):
        labels = read_dicom_labels(file, like=like)
    elif _is_slices(file):
        labels = read_folder_labels(file, like=like)
    else:
        _expect_nifti(file)
        labels = read_nifti_labels(file, like=like)
    if like is not None:
        image = getattr(like.source, "path", None)
        expect_same_grid(str(file), labels, like, like_name=str(image or "the image"))
    return labels


def write_labels(
    path: str | Path,
    labels: NDArray[Any] | Volume,
    *,
    like: Volume,
    overwrite: bool = False,
    names: LabelSet | None = None,
) -> Path:
    """Write a label map on the grid that an image was read from.

    Args:
        path: A name ending in .nii.gz or .nii; for an image of slices also a folder, which then
            holds one PNG a slice, named as the image's slices; for one of DICOM also a name
            ending in .rtstruct.dcm, which becomes an RTSTRUCT, or in .dcm: a DICOM-SEG.
        labels: ``(z, y, x)`` ids on the grid of ``like``, whole numbers from 0 to 65535.
        like: The image as ``read_volume`` gave it.
        overwrite: Whether to replace an existing output; never the input itself.
        names: What the ids mean, for DICOM; the other formats have no room for it.

    Returns:
        The path that was written: as uint8, or uint16 where an id needs it.

    Raises:
        ShapeError: The labels have another shape than ``like``.
        GeometryError: They are a volume on another grid.
        LabelError: An id is not whole, negative or above 65535, or DICOM would be without any.
        WriteError: The output must not or cannot be written; what stood there still stands.
    """
    if isinstance(labels, Volume):
        expect_same_grid("labels", labels, like, like_name="the image")
        labels = labels.array
    expect_shape("labels", labels, " ".join(map(str, like.shape)))
    target = expect_writable(path, overwrite=overwrite, inputs=files_behind(like))
    ids = as_label_ids("labels", np.asarray(labels))
    if is_nifti_name(target):
        return write_nifti_like(target, ids, like)
    if isinstance(like.source, DicomSource):
        expect_labels_name(target, like=like)
        return write_dicom_labels(target, ids, like, names)
    return write_folder_labels(target, ids, like)


def write_map(
    path: str | Path, values: NDArray[Any] | Volume, *, like: Volume, overwrite: bool = False
) -> Path:
    """Write values from 0 to 1 on the grid that an image was read from, such as probabilities.

    They are stored as uint8 in steps of 0.005; every reader multiplies by the file's slope and so
    gives numbers from 0 to 1.

    Args:
        path: A name ending in .nii.gz or .nii, for an image of slices as well.
        values: ``(z, y, x)`` numbers from 0 to 1 on the grid of ``like``.
        like: The image as ``read_volume`` gave it.
        overwrite: Whether to replace an existing output; never the input itself.

    Returns:
        The path that was written.

    Raises:
        ShapeError: The values have another shape than ``like``.
        GeometryError: They are a volume on another grid.
        ValueError: A value is not from 0 to 1.
        WriteError: The output must not or cannot be written; what stood there still stands.
    """
    if isinstance(values, Volume):
        expect_same_grid("values", values, like, like_name="the image")
        values = values.array
    expect_shape("values", values, " ".join(map(str, like.shape)))
    target = expect_writable(path, overwrite=overwrite, inputs=files_behind(like))
    if not is_nifti_name(target):
        raise WriteError(target, "is no name for a map; end it in .nii.gz or .nii")
    return write_nifti_like(target, as_levels(values, 1 / _MAP_STEP), like, slope=_MAP_STEP)


def expect_labels_name(path: str | Path, *, like: Volume) -> None:
    """Refuse a name that ``write_labels`` would refuse for this image, before labels exist.

    Raises:
        WriteError: The name is neither one of NIfTI nor one that suits the image's slices, or
            that of a folder where a file is meant.
    """
    target = Path(path)
    in_dicom = isinstance(like.source, DicomSource) and not is_nifti_name(target)
    if in_dicom or is_dicom_labels_name(target):
        expect_referable(target, like)
    elif not is_nifti_name(target):
        expect_picture_name(target, like)
    elif target.is_dir():
        raise WriteError(target, "is a folder; name a file in it, such as labels.nii.gz")


def write_volume(path: str | Path, volume: Volume, *, overwrite: bool = False) -> Path:
    """Write a volume of any affine as plain NIfTI, axes in the order (x, y, z).

    Args:
        path: A name ending in .nii.gz or .nii.
        volume: Bool, integers of up to 32 bits or floats; the type is kept, bool becomes uint8.
        overwrite: Whether to replace an existing output.

    Returns:
        The path that was written.

    Raises:
        ShapeError: The array has another type.
        WriteError: The output must not or cannot be written; what stood there still stands.
    """
    target = expect_writable(path, overwrite=overwrite, inputs=files_behind(volume))
    if not is_nifti_name(target):
        raise WriteError(target, "is no name for a volume; end it in .nii.gz or .nii")
    return write_nifti(target, volume)


def _expect_unsaid(path: Path, said: Mapping[str, object]) -> None:
    """Refuse what a user said of a file that knows it by itself."""
    for name, value in said.items():
        if value is not None:
            option = f"--{name.removesuffix('_mm').removesuffix('_index').replace('_', '-')}"
            raise ReadError(path, f"knows its own values and spacing; leave out {name} ({option})")


def _is_slices(path: Path) -> bool:
    """Tell folders and single pictures from NIfTI."""
    # os.path raises nothing where a folder on the way may not be entered, Path.is_dir does
    return os.path.isdir(path) or path.suffix.lower() in SUFFIXES  # noqa: PTH112


def _expect_nifti(path: Path) -> None:
    """Refuse formats that are known by their names, with the way out."""
    name = path.name.lower()
    if not os.path.isfile(path):  # noqa: PTH113
        return  # the reader says what it is
    if name.endswith((".hdr", ".img", ".hdr.gz", ".img.gz")):
        raise ReadError(
            path, "is half of a .hdr/.img pair; convert the pair to one .nii.gz file first"
        )
