"""What labels written as DICOM refer to: a series, its slices, and what the ids are called."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slicekit.errors import LabelError, ReadError, WriteError
from slicekit.io.atomic import write_atomically
from slicekit.io.dicom.container import Container
from slicekit.io.dicom.headers import plain
from slicekit.io.dicom.source import DicomSource
from slicekit.labels import LabelSet
from slicekit.volume import Volume

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

ID_TEXT = "label id"
"""In the description of a segment or region, before the id it has in a label map."""
_MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID",
    "StudyDate", "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
_NEEDED = (
    "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "FrameOfReferenceUID",
)  # fmt: skip


def is_dicom_labels_name(path: Path) -> bool:
    """Tell a name under which label maps are written as DICOM: DICOM-SEG, or RTSTRUCT."""
    return path.suffix.lower() == ".dcm"


def is_rtstruct_name(path: Path) -> bool:
    """Tell a name under which label maps are written as RTSTRUCT: ``NAME.rtstruct.dcm``."""
    return path.name.lower().endswith(".rtstruct.dcm")


def write_labels_whole(
    path: Path, made: Dataset, ids: NDArray[Any], read: Callable[[Path], Volume]
) -> Path:
    """Write labels as DICOM, read them back, and only then give the file its name.

    Raises:
        WriteError: It could not be written whole, or other voxels come back.
    """

    def write(file: Path) -> None:
        made.save_as(file, enforce_file_format=True)

    def verify(file: Path) -> None:
        if not np.array_equal(read(file).array, ids):
            raise ReadError(file, "its voxels are not the ones that were written")

    return write_atomically(path, write, verify=verify)


def expect_referable(path: Path, like: Volume) -> DicomSource:
    """Refuse an image beside which no labels can be written as DICOM.

    Raises:
        WriteError: It does not come from DICOM, not from its own grid, or has no UIDs.
    """
    source = like.source
    kind = "an RTSTRUCT" if is_rtstruct_name(path) else "a DICOM-SEG"
    if not isinstance(source, DicomSource):
        raise WriteError(
            path, f"is to be {kind}, but the image is no DICOM series; end it in .nii.gz"
        )
    if not is_dicom_labels_name(path) or path.is_dir():
        raise WriteError(
            path, "is no name for labels of a DICOM series; end it in .nii.gz, or in .dcm"
        )
    if not source.describes(like):
        raise WriteError(
            path,
            f"is to be {kind}, but the image was resampled or cropped, so no slice of the "
            "series lies on its grid; end it in .nii.gz",
        )
    if not all(source.instance_uids) or not source.series_uid:
        raise WriteError(
            path,
            f"is to be {kind}, but the files of {source.path} have no UIDs to refer to; end "
            "it in .nii.gz",
        )
    return source


def named_ids(path: Path, ids: NDArray[Any], names: LabelSet | None) -> dict[int, str]:
    """Name the ids to be written; ``label_ID`` for those without a name.

    Raises:
        LabelError: There is nothing to write: no voxel has a label and no organ is named.
    """
    called = dict(names.names_by_id) if names is not None else {}
    present = [int(number) for number in np.unique(ids) if number]
    found = {number: called.get(number, f"label_{number}") for number in present or called}
    if not found:
        raise LabelError(f"{path}: no voxel has a label, and labels in DICOM need a segment")
    return found


def series_headers(path: Path, source: DicomSource) -> list[Dataset]:
    """Read the headers of the series again, one a file, in the order of the slices.

    Raises:
        WriteError: A file was replaced or is gone, or the series lacks what is referred to.
    """
    from pydicom import dcmread

    headers: list[Dataset] = []
    expected = dict(zip(source.files, source.instance_uids, strict=True))
    try:
        with Container(source.path) as container:
            for name, uid in expected.items():
                with container.open(name) as packed, plain(packed, None) as (stream, bare):
                    header: Dataset = dcmread(stream, stop_before_pixels=True, force=bare)
                if str(header.get("SOPInstanceUID")) != uid:
                    raise WriteError(path, f"cannot refer to {name}, which was replaced meanwhile")
                headers.append(header)
    except WriteError:
        raise
    except Exception as fault:  # the files were readable a while ago
        raise WriteError(
            path, f"cannot be written: {source.path} cannot be read any more ({fault})"
        ) from fault
    for header in headers:
        missing = [keyword for keyword in _NEEDED if not header.get(keyword)]
        if missing:
            raise WriteError(
                path, f"cannot refer to the series, which lacks {', '.join(missing)}; end the name "
                "in .nii.gz",
            )  # fmt: skip
        for keyword in _MAY_BE_EMPTY:
            if keyword not in header:
                setattr(header, keyword, "")
    return headers


def software_version() -> str:
    """Return the version that labels tell they were made by."""
    try:
        return version("slicekit")
    except PackageNotFoundError:  # a checkout on the path, not installed
        return "0.0.0"
