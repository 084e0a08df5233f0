"""Read a DICOM series: headers, choice, grid, and only then pixels."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicekit.errors import ReadError
from slicekit.io.budget import expect_within_budget
from slicekit.io.dicom.container import Container
from slicekit.io.dicom.even import even_out
from slicekit.io.dicom.grid import Grid, lay_out
from slicekit.io.dicom.headers import listed, read_headers
from slicekit.io.dicom.pixels import decode, threads
from slicekit.io.dicom.planes import Plane
from slicekit.io.dicom.series import Stack, choose, stacks_of
from slicekit.io.dicom.source import DicomSource
from slicekit.io.nifti_affine import affine_inside, axes_inside, turn_back, turn_inside
from slicekit.io.values import as_intensities, warn_about_data
from slicekit.volume import Volume

_WORKING_COPIES = 4
"""Planes that a thread holds at once: file, decoded, scaled."""


class _TooNarrow(Exception):
    """A plane holds intensities beyond the type that was tried; the next wider one is taken."""


def list_series(path: Path) -> tuple[Stack, ...]:
    """List what a folder, zip or file of DICOM holds: every stack of slices that can be chosen.

    Raises:
        ReadError: It cannot be opened, or holds no scan.
    """
    with Container(path, None) as container, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pydicom")
        return stacks_of(read_headers(container, None)[0])


def read_dicom(
    path: Path,
    *,
    series: str | None = None,
    allow_uneven: bool = False,
    memory_budget_bytes: int | None = None,
) -> Volume:
    """Read an image; see ``slicekit.io.read_volume``."""
    with Container(path, memory_budget_bytes) as container:
        with warnings.catch_warnings():  # pydicom warns of every odd value in a header
            warnings.filterwarnings("ignore", module="pydicom")
            planes, strays = read_headers(container, memory_budget_bytes)
        if strays:
            warn_about_data(path, f"passed over what is no scan: {listed(strays)}")
        stack = choose(path, planes, series)
        grid = lay_out(path, stack.planes)
        if grid.fault is None:
            return _read_even(container, grid, memory_budget_bytes)
        if not allow_uneven:
            raise ReadError(
                path,
                f"is no even grid: {grid.fault}; export it whole and upright, or let it be "
                "resampled (--allow-uneven, allow_uneven=True)",
            )
        return _read_uneven(container, grid, memory_budget_bytes)


def _read_even(container: Container, grid: Grid, budget: int | None) -> Volume:
    """Decode every plane right into its place in ``(z, y, x)``."""
    shape = _stored_shape(grid.planes)
    axes = axes_inside(grid.affine)
    affine = affine_inside(grid.affine, axes, shape)
    inside = tuple(size for _, size in sorted(zip(axes, shape, strict=True)))
    _expect_room(container, grid.planes, math.prod(shape), budget, copies=1)
    array = None
    for dtype in _types(grid.planes):
        array = np.empty(inside, dtype=dtype)
        if _fill(container, grid.planes, turn_back(array, axes), budget):
            break
        array = None
    if array is None:
        raise ReadError(container.path, "holds intensities beyond 32 bits; convert it first")
    values = as_intensities(container.path, array)
    return Volume(values, affine, _source(container.path, grid.planes, shape, axes, affine))


def _read_uneven(container: Container, grid: Grid, budget: int | None) -> Volume:
    """Decode the planes as they are stored, then resample them onto an even, upright grid."""
    planes = grid.planes
    stored = _stored_shape(planes)
    _expect_room(container, planes, math.prod(stored), budget, copies=1)
    stack = np.empty(stored[::-1], dtype=np.float32)
    if not _fill(container, planes, stack.T, budget):
        raise ReadError(container.path, "holds intensities beyond 32 bits; convert it first")
    upright = even_out(container.path, stack, grid, budget)
    warn_about_data(container.path, f"{grid.fault}; {upright.told}")
    axes = axes_inside(upright.affine)
    columns, rows, count = upright.array.shape[::-1]
    affine = affine_inside(upright.affine, axes, (columns, rows, count))
    array = np.ascontiguousarray(turn_inside(upright.array.T, axes))
    source = _source(container.path, planes, (columns, rows, count), axes, affine, resampled=True)
    return Volume(as_intensities(container.path, array), affine, source)


def _fill(
    container: Container, planes: Sequence[Plane], view: NDArray[Any], budget: int | None
) -> bool:
    """Decode planes into ``(column, row, slice)``; ``False`` where the type is too narrow."""

    def place(number: int, stored: NDArray[Any]) -> None:
        plane = planes[number]
        view[:, :, number] = _intensities(stored, plane.slope, plane.inter, view.dtype).T

    try:
        decode(container, planes, place, budget)
    except _TooNarrow:
        return False
    return True


def _intensities(
    stored: NDArray[Any], slope: float, inter: float, dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Apply a slice's own slope and intercept."""
    if dtype.kind == "f":
        return stored.astype(np.float64) * slope + inter
    if inter == 0 and stored.dtype == dtype:
        return stored
    limits = np.iinfo(dtype)
    low, high = int(stored.min()) + int(inter), int(stored.max()) + int(inter)
    if low < limits.min or high > limits.max:
        raise _TooNarrow
    # what passes the largest number on the way comes back around: the sum itself fits
    moved: NDArray[Any] = stored.astype(dtype)
    moved += np.array(int(inter)).astype(dtype)
    return moved


def _types(planes: Sequence[Plane]) -> list[np.dtype[Any]]:
    """Return the types to try: as stored, whole numbers that hold the intercept, or float32."""
    pixels = planes[0].pixels
    whole = all(plane.slope == 1 and plane.inter == int(plane.inter) for plane in planes)
    alike = {(plane.pixels.allocated, plane.pixels.signed) for plane in planes}
    if not whole:
        return [np.dtype(np.float32)]
    if len(alike) == 1 and not any(plane.inter for plane in planes):
        return [np.dtype(f"{'i' if pixels.signed else 'u'}{pixels.allocated // 8}")]
    return [np.dtype(np.int16), np.dtype(np.int32), np.dtype(np.float32)]


def _expect_room(
    container: Container, planes: Sequence[Plane], voxels: int, budget: int | None, *, copies: int
) -> None:
    """Ask the budget for the volume and for what the threads hold, before anything is taken."""
    widest = max(dtype.itemsize for dtype in _types(planes)[:2])
    at_once = threads(planes)
    largest = max(container.size(plane.file) for plane in planes)
    plane_numbers = planes[0].pixels.rows * planes[0].pixels.columns
    working = at_once * (_WORKING_COPIES * 8 * plane_numbers + largest)
    expect_within_budget(container.path, copies * voxels * widest + working, budget)


def _stored_shape(planes: Sequence[Plane]) -> tuple[int, int, int]:
    return planes[0].pixels.columns, planes[0].pixels.rows, len(planes)


def _source(
    path: Path,
    planes: Sequence[Plane],
    shape: tuple[int, int, int],
    axes: tuple[tuple[int, int], ...],
    affine: NDArray[np.float64],
    *,
    resampled: bool = False,
) -> DicomSource:
    return DicomSource(
        path=path,
        files=tuple(plane.file for plane in planes),
        frames=tuple(plane.frame for plane in planes),
        instance_uids=tuple(plane.instance_uid for plane in planes),
        series_uid=planes[0].series_uid,
        modality=planes[0].modality,
        stored_shape=shape,
        axes=axes,
        affine=affine.copy(),
        resampled=resampled,
    )
