"""Where the planes of a stack lie, and whether they make one grid.

Planes are sorted by their positions along the normal. A grid needs even steps and each plane
straight above the last; slices that are missing, doubled, unevenly spaced or sheared by a tilted
gantry are told with their positions, and never made into a stretched or straightened volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slicekit.errors import ReadError
from slicekit.io.dicom.planes import Plane
from slicekit.io.values import warn_about_data

_OFF_GRID = 0.05
"""Of a step: how far a slice may lie from its place on the even grid. Headers are rounded."""
_SAME_PLACE_MM = 1e-3
_TILT_PIXELS = 0.5
"""Sideways drift over the whole stack that is still no tilt."""
_LISTED = 5
_RAS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Grid:
    """Planes in the order in which they are stored, and where they lie."""

    planes: tuple[Plane, ...]
    affine: NDArray[np.float64]
    """``(column, row, slice, 1)`` to RAS+ mm; of uneven planes, as if they were even."""
    positions: NDArray[np.float64]
    """``(n, 3)`` RAS+ mm of the first pixel of every plane."""
    fault: str | None
    """What is uneven, in words; ``None`` for a grid."""


def lay_out(path: Path, planes: Sequence[Plane]) -> Grid:
    """Sort planes and find the grid they make.

    Raises:
        ReadError: A plane cannot be used, has no place, or two have the same.
    """
    _expect_usable(path, planes)
    first = planes[0]
    row, column = _directions(path, first)
    normal = np.cross(row, column)
    places = np.array([plane.position for plane in planes]) @ _RAS
    order = np.argsort(places @ normal, kind="stable")
    heights = (places @ normal)[order]
    _expect_apart(path, [planes[at] for at in order], heights)
    numbers = [number for at in order if (number := planes[at].number) is not None]
    if len(numbers) == len(planes) and (np.diff(numbers) < 0).all():
        order, heights = order[::-1], heights[::-1]  # as viewers count
    places = places[order]
    sorted_planes = tuple(planes[at] for at in order)
    between_rows, between_columns = first.spacing or (1.0, 1.0)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = row * between_columns, column * between_rows
    affine[:3, 3] = places[0]
    if len(planes) == 1:
        if path.is_file() and first.pixels.frames == 1 and path.name == first.file:
            warn_about_data(path, "is one slice of a series; name its folder to read all of them")
        affine[:3, 2] = normal * _thickness(path, first)
        return Grid(sorted_planes, affine, places, None)
    step = (places[-1] - places[0]) / (len(planes) - 1)
    affine[:3, 2] = step
    fault = _uneven(sorted_planes, heights) or _tilted(affine, normal, places)
    return Grid(sorted_planes, affine, places, fault)


def _expect_usable(path: Path, planes: Sequence[Plane]) -> None:
    """Refuse planes that can be no part of a volume, each fault with the files that have it."""
    faults: dict[str, list[str]] = {}
    for plane in planes:
        fault = plane.fault
        if fault is None and (plane.position is None or plane.orientation is None):
            fault = "has no position or orientation in the patient"
        if fault is None and (plane.spacing is None or min(plane.spacing) <= 0):
            fault = "has no pixel spacing above 0"
        if fault is not None:
            faults.setdefault(fault, []).append(plane.file)
    for fault, files in faults.items():
        names = list(dict.fromkeys(files))
        more = f", as {len(names) - 1} more files" if len(names) > 1 else ""
        raise ReadError(
            path, f"cannot be read as a volume: {names[0]} {fault}{more}; export the series anew"
        )
    kinds = {(plane.pixels.syntax, plane.pixels.photometric) for plane in planes}
    if any(photometric == "MONOCHROME1" for _, photometric in kinds):
        warn_about_data(path, "stores white as 0 (MONOCHROME1); the numbers are taken as they are")


def _directions(path: Path, plane: Plane) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return unit vectors along a row and down a column, RAS+."""
    vectors = np.array(plane.orientation, dtype=np.float64).reshape(2, 3)
    lengths = np.linalg.norm(vectors, axis=1)
    if np.abs(lengths - 1).max() > 0.01 or abs(vectors[0] @ vectors[1]) > 0.01:
        raise ReadError(
            path, f"has an impossible orientation ({plane.orientation}); its axes must be upright"
        )
    row, column = (vectors / lengths[:, None]) @ _RAS
    return row, column


def _expect_apart(path: Path, planes: Sequence[Plane], heights: NDArray[np.float64]) -> None:
    """Refuse two planes in one place."""
    same = np.flatnonzero(np.diff(heights) <= _SAME_PLACE_MM)
    if not same.size:
        return
    pairs = [
        f"{planes[at].file} and {planes[at + 1].file} at {heights[at]:g} mm"
        for at in same[:_LISTED]
    ]
    more = f", and {same.size - _LISTED} more" if same.size > _LISTED else ""
    several = same.size >= len(planes) // 2 > 1
    cure = (
        "is it a time series, or of several echoes? Export one of them"
        if several
        else "keep one of each"
    )
    raise ReadError(path, f"has several slices in one place: {', '.join(pairs)}{more}; {cure}")


def _thickness(path: Path, plane: Plane) -> float:
    """Return how thick a single slice is."""
    if plane.thickness is not None:
        return plane.thickness
    warn_about_data(path, "is one slice of unknown thickness, taken as 1 mm")
    return 1.0


def _uneven(planes: Sequence[Plane], heights: NDArray[np.float64]) -> str | None:
    """Say where the steps between slices are not even."""
    even = np.linspace(heights[0], heights[-1], len(heights))
    step = abs(heights[-1] - heights[0]) / (len(heights) - 1)
    if np.abs(heights - even).max() <= _OFF_GRID * step:
        return None
    steps = np.abs(np.diff(heights))
    usual = float(np.median(steps))
    odd = np.flatnonzero(np.abs(steps - usual) > _OFF_GRID * usual)
    told = [
        f"{steps[at]:g} mm between {planes[at].file} ({heights[at]:g}) and {planes[at + 1].file} "
        f"({heights[at + 1]:g})"
        for at in odd[:_LISTED]
    ]
    more = f", and {odd.size - _LISTED} more" if odd.size > _LISTED else ""
    missing = round(float((np.round(steps / usual) - 1).clip(0).sum()))
    looks = "" if not missing else f"; {missing} slices seem to be missing"
    looks = "; 1 slice seems to be missing" if missing == 1 else looks
    return (
        f"its slices are not evenly spaced: mostly {usual:g} mm, but {', '.join(told)}{more}{looks}"
    )


def _tilted(
    affine: NDArray[np.float64], normal: NDArray[np.float64], places: NDArray[np.float64]
) -> str | None:
    """Say so when slices are not stacked straight along their normal."""
    step = affine[:3, 2]
    straight = places[0] + np.arange(len(places))[:, None] * step
    strayed = np.linalg.norm(places - straight, axis=1)
    pixel = float(np.linalg.norm(affine[:3, :2], axis=0).min())
    if strayed.max() > max(_OFF_GRID * float(np.linalg.norm(step)), _TILT_PIXELS * pixel):
        return f"its slices are shifted sideways, by up to {strayed.max():.3g} mm, in no even way"
    along = abs(float(step @ normal))
    drift = float(np.linalg.norm(step - (step @ normal) * normal))
    if drift * (len(places) - 1) <= _TILT_PIXELS * pixel:
        return None
    angle = np.degrees(np.arctan2(drift, along))
    return f"its gantry was tilted by {angle:.3g} degrees, so its slices are sheared"
