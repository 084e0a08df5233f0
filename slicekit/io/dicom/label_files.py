"""Labels that lie in one DICOM file: which kind it is, what they mean, where they lie."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from slicekit.io.dicom.referring import is_rtstruct_name
from slicekit.io.dicom.rtstruct import write_rtstruct
from slicekit.io.dicom.rtstruct_read import read_rtstruct, region_names
from slicekit.io.dicom.seg import write_dicom_seg
from slicekit.io.dicom.seg_read import read_dicom_seg, segment_names
from slicekit.labels import LabelSet
from slicekit.volume import Volume


def label_kind(path: Path) -> Literal["seg", "rtstruct"] | None:
    """Tell a DICOM-SEG and an RTSTRUCT from other DICOM files; ``None`` for those."""
    from pydicom import dcmread
    from pydicom.uid import RTStructureSetStorage, SegmentationStorage

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            header = dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID"])
        except Exception:  # whatever it is, it is none; the reader of scans says what is wrong
            return None
    kind = header.get("SOPClassUID")
    if kind == SegmentationStorage:
        return "seg"
    return "rtstruct" if kind == RTStructureSetStorage else None


def read_dicom_labels(path: Path, *, like: Volume | None) -> Volume:
    """Read the label map of a DICOM-SEG or RTSTRUCT; see ``slicekit.io.read_labels``."""
    if path.is_file() and label_kind(path) == "rtstruct":
        return read_rtstruct(path, like=like)
    return read_dicom_seg(path, like=like)


def write_dicom_labels(
    path: Path, ids: NDArray[Any], like: Volume, names: LabelSet | None = None
) -> Path:
    """Write label ids as RTSTRUCT under ``NAME.rtstruct.dcm``, else as DICOM-SEG."""
    write = write_rtstruct if is_rtstruct_name(path) else write_dicom_seg
    return write(path, ids, like, names)


def dicom_label_names(path: Path) -> LabelSet | None:
    """Read what the labels of a DICOM file mean; ``None`` for anything else.

    Raises:
        LabelError: Two labels share a name or an id.
        ReadError: The file is damaged.
    """
    kind = label_kind(path) if path.is_file() else None
    if kind is None:
        return None
    return segment_names(path) if kind == "seg" else region_names(path)
