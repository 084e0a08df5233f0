"""Read label maps from DICOM-SEG, of slicekit or of others."""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from slicekit.errors import GeometryError, ReadError, SlicekitError
from slicekit.io.dicom.headers import in_words
from slicekit.io.dicom.referring import ID_TEXT
from slicekit.io.nifti_affine import affine_inside, axes_inside, turn_inside
from slicekit.io.values import as_label_ids, warn_about_data
from slicekit.labels import LabelSet
from slicekit.volume import Volume

if TYPE_CHECKING:
    from highdicom.seg import Segmentation
    from pydicom.dataset import Dataset

_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_OFF_GRID = 0.1
"""Of a voxel: how far a frame may lie from the slice it labels. Headers are rounded."""


def read_dicom_seg(path: Path, *, like: Volume | None) -> Volume:
    """Read the label map of a DICOM-SEG; see ``slicekit.io.read_labels``.

    Without ``like`` it has the slices from the first labelled to the last.
    """
    seg = _open(path)
    table = np.zeros(1 + max(_segments(seg), default=0), dtype=np.int32)
    for number, (_, label) in _segments(seg).items():
        table[number] = label
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _alone(path, seg, table) if like is None else _placed(path, seg, table, like)
        except SlicekitError:
            raise
        except Exception as fault:  # whatever highdicom raises on what it cannot make sense of
            raise ReadError(
                path, f"is damaged or no usable DICOM-SEG ({in_words(fault)})"
            ) from fault


def _alone(path: Path, seg: Segmentation, table: NDArray[np.int32]) -> Volume:
    """Read the segments on a grid of their own."""
    found = seg.get_volume(combine_segments=True, dtype=np.uint16)
    ids = as_label_ids(path, table[found.array])
    affine = _RAS @ np.asarray(found.affine)[:, [2, 1, 0, 3]]
    axes = axes_inside(affine)
    array = np.ascontiguousarray(turn_inside(ids.T, axes))
    return Volume(array, affine_inside(affine, axes, ids.shape[::-1]))


def _placed(path: Path, seg: Segmentation, table: NDArray[np.int32], like: Volume) -> Volume:
    """Put every frame on the slice of an image that lies where the frame does."""
    ids = np.zeros(like.shape, dtype=np.int32)
    kind = str(seg.SegmentationType)
    half = int(seg.get("MaximumFractionalValue") or 1) / 2
    for at, group in enumerate(seg.PerFrameFunctionalGroupsSequence):
        frame = seg.get_stored_frame(at, as_index=True)
        if kind == "LABELMAP":
            labels = table[frame]
        else:
            told = _functional(seg, group, "SegmentIdentificationSequence")
            number = int(told.ReferencedSegmentNumber)
            labels = np.where(
                frame > half if kind == "FRACTIONAL" else frame != 0, table[number], 0
            )
        plane = _slice_at(path, ids, _frame_affine(seg, group), frame.shape, like)
        if ((plane != 0) & (labels != 0) & (plane != labels)).any():
            raise ReadError(path, "its segments overlap, so they cannot be one label map")
        plane[labels != 0] = labels[labels != 0]
    return Volume(as_label_ids(path, ids), like.affine)


def _functional(seg: Segmentation, group: Dataset, name: str) -> Dataset:
    """Return what is said of a frame, or of all frames at once."""
    place = group if name in group else seg.SharedFunctionalGroupsSequence[0]
    found: Dataset = place[name].value[0]
    return found


def _frame_affine(seg: Segmentation, group: Dataset) -> NDArray[np.float64]:
    """Return where a frame lies: ``(column, row, 1)`` to RAS+ mm, ``(4, 3)``."""
    plane, measures, position = (
        _functional(seg, group, f"{name}Sequence")
        for name in ("PlaneOrientation", "PixelMeasures", "PlanePosition")
    )
    across = np.array(plane.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    between_rows, between_columns = map(float, measures.PixelSpacing)
    affine = np.zeros((4, 3))
    affine[:3, 0], affine[:3, 1] = across[0] * between_columns, across[1] * between_rows
    affine[:3, 2] = np.array(position.ImagePositionPatient, dtype=np.float64)
    affine[3, 2] = 1
    return np.asarray(_RAS @ affine)


def _slice_at(
    path: Path,
    ids: NDArray[np.int32],
    affine: NDArray[np.float64],
    shape: tuple[int, ...],
    like: Volume,
) -> NDArray[np.int32]:
    """View the slice of ``ids`` on which a frame lies as ``(row, column)`` of the frame.

    Raises:
        GeometryError: The frame lies between voxels of the image, or beyond it.
    """
    rows, columns = shape
    ends = np.array([[0, columns - 1, 0], [0, 0, rows - 1], [1, 1, 1]])
    corners = (np.linalg.inv(like.affine) @ affine @ ends)[:3].T  # first, along a row, down
    whole = np.round(corners).astype(int)
    moved = [np.flatnonzero(whole[end] - whole[0]) for end in (1, 2)]
    lengths = (abs(whole[1] - whole[0]).sum(), abs(whole[2] - whole[0]).sum())
    inside = (whole >= 0).all() and (whole < like.shape).all()
    straight = all(one.size <= 1 for one in moved) and lengths == (columns - 1, rows - 1)
    if np.abs(corners - whole).max() > _OFF_GRID or not inside or not straight:
        raise GeometryError(
            f"{path}: it does not lie on the image's grid: a frame begins at voxel "
            f"{np.round(corners[0], 2).tolist()} (z, y, x); give the image it was drawn on"
        )
    linear = np.linalg.inv(like.affine)[:3, :3] @ affine[:3, :2]
    along, down = (int(np.abs(linear[:, axis]).argmax()) for axis in (0, 1))
    across = 3 - along - down
    plane: NDArray[np.int32] = ids.transpose(across, down, along)[whole[0][across]]
    for axis, (inner, end, count) in enumerate(((down, 2, rows), (along, 1, columns))):
        first = min(whole[0][inner], whole[end][inner])
        part = slice(first, first + count)
        plane = plane[part] if axis == 0 else plane[:, part]
        if linear[inner, 1 - axis] < 0:
            plane = plane[::-1] if axis == 0 else plane[:, ::-1]
    return plane


def segment_names(path: Path) -> LabelSet:
    """Read what the segments of a DICOM-SEG mean.

    Of segments that share a name, as lesions often do, the second is called ``NAME_2``.

    Raises:
        LabelError: Two segments share an id.
        ReadError: It is no DICOM-SEG.

    Warns:
        DataWarning: Segments share a name.
    """
    names: dict[str, int] = {}
    for name, number in _segments(_open(path)).values():
        counted = (f"{name}_{count}" for count in itertools.count(2))
        free = name if name not in names else next(one for one in counted if one not in names)
        if free != name:
            warn_about_data(path, f"has several segments called {name!r}; one is now {free!r}")
        names[free] = number
    return LabelSet(names)


def _open(path: Path) -> Segmentation:
    from highdicom.seg import segread

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return segread(path)
        except Exception as fault:  # pydicom and highdicom raise what they like on other files
            what = "is no label map that can be read, expected a DICOM-SEG or RTSTRUCT"
            raise ReadError(path, f"{what} ({in_words(fault)})") from fault


def _segments(seg: Segmentation) -> Mapping[int, tuple[str, int]]:
    """Map segment numbers to names and ids."""
    found = {}
    for number in seg.segment_numbers:
        about = seg.get_segment_description(number)
        told = re.fullmatch(rf"{ID_TEXT} (\d+)", str(about.get("SegmentDescription", "")))
        found[int(number)] = (str(about.segment_label), int(told[1]) if told else int(number))
    return found
