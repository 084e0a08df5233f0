"""Read the contours of an RTSTRUCT as a label map on the grid of the image they were drawn on."""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slicekit.checks import suggest
from slicekit.errors import GeometryError, LabelError, ReadError
from slicekit.io.dicom.contours import fill
from slicekit.io.dicom.headers import in_words
from slicekit.io.dicom.referring import ID_TEXT
from slicekit.io.dicom.source import DicomSource
from slicekit.io.values import as_label_ids, warn_about_data
from slicekit.labels import MAX_LABEL_ID, LabelSet
from slicekit.volume import Volume

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_OFF_PLANE = 0.1
"""Of the way to the next slice: how far a contour may lie from its own. Headers are rounded."""
_BEYOND = 1.0
"""Of a voxel: how far a contour may reach beyond the outermost centres."""
_TO_RAS = np.array([-1.0, -1.0, 1.0])


class Region(NamedTuple):
    """A region of interest of a structure set."""

    number: int
    name: str
    label: int
    """The id it has in a label map."""


def read_rtstruct(
    path: Path, *, like: Volume | None, organs: Sequence[str] | None = None
) -> Volume:
    """Read the label map of an RTSTRUCT; see ``slicekit.io.read_labels``.

    Args:
        path: The file.
        like: The scan it was drawn on.
        organs: Names of the only regions to look at, which may overlap others; all for ``None``.
    """
    if like is None:
        raise ReadError(
            path, "holds contours, which have no grid of their own; read them with the scan they "
            "were drawn on (like=...), or convert them first (slicekit convert --like SCAN)",
        )  # fmt: skip
    file = _open(path)
    _expect_same_series(path, file, like)
    regions = {region.number: region for region in _regions(path, file)}
    ids = np.zeros(like.shape, dtype=np.int32)
    axis = _slice_axis(path, file, like)
    view = np.moveaxis(ids, axis, 0)
    wanted = {*regions} if organs is None else _numbers_of(path, regions, organs)
    for number, item in _contoured(path, file, regions, wanted):
        region = regions[number]
        drawn: dict[int, list[NDArray[np.float64]]] = defaultdict(list)
        for points in _points(path, region, item):
            at, corners = _on_slice(path, region, _voxels(points, like), axis, like.shape)
            drawn[at].append(corners)
        for at, contours in drawn.items():
            mask = fill(contours, view.shape[1:])
            there = view[at][mask]
            if ((there != 0) & (there != region.label)).any():
                other = next(one for one in regions.values() if one.label == there.max())
                raise ReadError(
                    path, f"its regions {other.name!r} and {region.name!r} overlap, so they cannot "
                    "be one label map; choose regions that do not (convert --organs)",
                )  # fmt: skip
            view[at][mask] = region.label
    return Volume(as_label_ids(path, ids), like.affine)


def region_names(path: Path) -> LabelSet:
    """Read what the regions of an RTSTRUCT mean.

    Raises:
        LabelError: Two regions share a name.
        ReadError: It is no RTSTRUCT that can be read.
    """
    names: dict[str, int] = {}
    for region in _regions(path, _open(path)):
        if region.name in names:
            raise LabelError(f"{path}: two regions are called {region.name!r}; rename one of them")
        names[region.name] = region.label
    return LabelSet(names)


def _numbers_of(path: Path, regions: dict[int, Region], organs: Sequence[str]) -> set[int]:
    """Find regions by their names.

    Raises:
        LabelError: One of them is unknown.
    """
    numbers = {region.name: number for number, region in regions.items()}
    for name in organs:
        if name not in numbers:
            raise LabelError(f"{path}: has no region {name!r}; {suggest(name, numbers)}")
    return {numbers[name] for name in organs}


def _open(path: Path) -> Dataset:
    from pydicom import dcmread

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            file = dcmread(path)
            for keyword in ("StructureSetROISequence", "ROIContourSequence"):
                for item in file.get(keyword) or ():
                    _ = item.get("ROINumber"), item.get("ContourSequence")
        except Exception as fault:  # pydicom raises what it likes on bytes that are no DICOM
            raise ReadError(
                path, f"is damaged or no usable RTSTRUCT ({in_words(fault)}); export it again"
            ) from fault
    return file


def _regions(path: Path, file: Dataset) -> list[Region]:
    """List the regions with the ids they were written with, else with their numbers."""
    found = []
    try:
        for item in file.get("StructureSetROISequence") or ():
            number, name = int(item.ROINumber), str(item.get("ROIName") or "").strip()
            told = re.fullmatch(rf"{ID_TEXT} (\d+)", str(item.get("ROIDescription") or ""))
            found.append(Region(number, name or f"roi_{number}", int(told[1]) if told else number))
    except (AttributeError, TypeError, ValueError) as fault:
        raise ReadError(
            path, f"is damaged: a region has no number ({in_words(fault)}); export it again"
        ) from fault
    if not found or "ROIContourSequence" not in file:
        raise ReadError(path, "holds no contours, or is truncated before them; export it again")
    labels = [region.label for region in found]
    if len({*labels}) < len(labels) or min(labels) < 1 or max(labels) > MAX_LABEL_ID:
        return [region._replace(label=at) for at, region in enumerate(found, start=1)]
    return found


def _expect_same_series(path: Path, file: Dataset, like: Volume) -> None:
    """Refuse contours that say they were drawn on another series than the image.

    Raises:
        GeometryError: They do.
    """
    if not isinstance(like.source, DicomSource) or not like.source.series_uid:
        return
    referred = {
        str(series.get("SeriesInstanceUID"))
        for frame in file.get("ReferencedFrameOfReferenceSequence") or ()
        for study in frame.get("RTReferencedStudySequence") or ()
        for series in study.get("RTReferencedSeriesSequence") or ()
    }
    if referred and like.source.series_uid not in referred:
        theirs = ", ".join(sorted(referred))
        raise GeometryError(
            f"{path}: was drawn on the series {theirs}, but {like.source.path} is the series "
            f"{like.source.series_uid}; give the one it was drawn on"
        )


def _contoured(
    path: Path, file: Dataset, regions: dict[int, Region], wanted: set[int]
) -> Iterator[tuple[int, Dataset]]:
    """List the wanted regions that have contours; those of points alone are told."""
    points = []
    for item in file.get("ROIContourSequence") or ():
        number = item.get("ReferencedROINumber")
        if number not in regions:
            what = "of no region" if number is None else f"of a region {number} without a name"
            raise ReadError(path, f"is truncated or damaged: it has contours {what}; copy it again")
        contours = (item.get("ContourSequence") or ()) if number in wanted else ()
        if contours and all(one.get("ContourGeometricType") == "POINT" for one in contours):
            points.append(regions[int(number)].name)
        elif contours:
            yield int(number), item
    if points:
        warn_about_data(path, f"passed over what is only points: {', '.join(points)}")


def _points(path: Path, region: Region, item: Dataset) -> Iterator[NDArray[np.float64]]:
    """Read the contours of a region, each ``(n, 3)`` in LPS+ mm."""
    for at, contour in enumerate(item.ContourSequence, start=1):
        kind = str(contour.get("ContourGeometricType") or "nothing")
        if kind not in _CLOSED:
            raise ReadError(
                path, f"contour {at} of {region.name!r} is of the type {kind}, expected one of "
                f"{', '.join(_CLOSED)}; close it, or choose other regions (convert --organs)",
            )  # fmt: skip
        points = _numbers(contour)
        if points is None:
            raise ReadError(
                path, f"is damaged: contour {at} of {region.name!r} is no list of as many points "
                "(x, y, z) as it says; export it again",
            )  # fmt: skip
        yield points


def _numbers(contour: Dataset) -> NDArray[np.float64] | None:
    """Return the points of a contour, ``(n, 3)``; ``None`` where it has none that make sense."""
    data = contour.get_item("ContourData") if "ContourData" in contour else None
    value = getattr(data, "value", None)
    try:
        words = value.split(b"\\") if isinstance(value, bytes) else value
        numbers = np.array(words, dtype=np.float64)  # not one by one, as pydicom does
    except (TypeError, ValueError):
        return None
    if numbers.ndim != 1 or not numbers.size or numbers.size % 3 or not np.isfinite(numbers).all():
        return None
    told = contour.get("NumberOfContourPoints")
    return numbers.reshape(-1, 3) if told in (None, numbers.size // 3) else None


def _voxels(points: NDArray[np.float64], like: Volume) -> NDArray[np.float64]:
    """Return where points in LPS+ mm lie among the voxels, ``(n, 3)`` as ``(z, y, x)``."""
    back = np.linalg.inv(like.affine)
    return np.asarray((points * _TO_RAS) @ back[:3, :3].T + back[:3, 3])


def _slice_axis(path: Path, file: Dataset, like: Volume) -> int:
    """Find the axis along which the slices lie that were drawn on."""
    if isinstance(like.source, DicomSource) and not like.source.resampled:
        return int(like.source.axes[2][0])
    spreads = []
    for item in file.get("ROIContourSequence") or ():
        for contour in item.get("ContourSequence") or ():
            points = _numbers(contour)
            if points is not None and len(points) > 2:
                spreads.append(np.ptp(_voxels(points, like), axis=0))
    return int(np.median(spreads, axis=0).argmin()) if spreads else 0


def _on_slice(
    path: Path,
    region: Region,
    voxels: NDArray[np.float64],
    axis: int,
    shape: tuple[int, int, int],
) -> tuple[int, NDArray[np.float64]]:
    """Return the slice of a contour, and its corners there as ``(column, row)``.

    Raises:
        GeometryError: It lies on no slice, or beyond the image.
    """
    heights, corners = voxels[:, axis], np.delete(voxels, axis, axis=1)
    at = int(np.round(heights.mean()))
    told = f"{path}: a contour of {region.name!r}"
    if np.abs(heights - at).max() > _OFF_PLANE:
        where = f"from {heights.min():.2f} to {heights.max():.2f}"
        raise GeometryError(
            f"{told} lies on no slice of the image ({where}, counted in slices from 0); give the "
            "scan it was drawn on"
        )
    most = np.delete(np.array(shape), axis) - 1
    beyond = max(float((-corners).max()), float((corners - most).max()))
    if not 0 <= at < shape[axis] or beyond > _BEYOND:
        where = f"slice {at} of {shape[axis]}" if beyond <= _BEYOND else f"{beyond:.1f} voxels off"
        raise GeometryError(
            f"{told} reaches beyond the image ({where}); give the scan it was drawn on"
        )
    return at, corners[:, ::-1]
