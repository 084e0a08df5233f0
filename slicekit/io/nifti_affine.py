"""Where the voxels of a NIfTI file lie: sform, qform, and the way to ``(z, y, x)`` and back.

Inside, arrays always run the same way, whatever the file's axes: z toward the head, y toward
the back, x toward the patient's left. So row 0 is in front, column 0 on the patient's right, and
networks see every scan as a radiologist does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.orientations import (
    apply_orientation,
    axcodes2ornt,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from slicekit.errors import ReadError
from slicekit.io.values import warn_about_data

Axes = tuple[tuple[int, int], ...]
"""For each stored axis: the axis of (z, y, x) that it becomes, and 1 or -1 for its direction."""
_INSIDE = axcodes2ornt(("S", "P", "L"))
_SPACING_MM = (1e-3, 1e3)  # what a voxel of a body scan may measure
_DISAGREE = 1e-3
_TO_MM = {1: 1000.0, 3: 0.001}  # xyzt_units: metres, micrometres


@np.errstate(all="ignore")  # whatever numbers come, they are judged below
def choose_affine(path: Path, fields: Nifti1Header) -> NDArray[np.float64]:
    """Choose sform, else qform, else the spacing alone, and say what is doubtful.

    Returns:
        ``(4, 4)``: ``(i, j, k, 1)`` indices of the stored axes to RAS+ millimetres.

    Raises:
        ReadError: No usable affine is to be had.
    """
    unit = _TO_MM.get(int(fields["xyzt_units"]) & 7, 1.0)
    sform, qform = _sform(fields), _qform(fields)
    named = [name for name in ("sform", "qform") if int(fields[f"{name}_code"]) > 0]
    usable = {
        name: affine
        for name, affine in (("sform", sform), ("qform", qform))
        if affine is not None and name in named and _fault(affine, unit) is None
    }
    if not named:
        return _spacing_only(path, fields, unit)
    if not usable:
        faults = "; ".join(
            f"its {name} {_fault(sform if name == 'sform' else qform, unit)}" for name in named
        )
        raise ReadError(path, f"has no place in space: {faults} - set the affine right first")
    chosen, affine = next(iter(usable.items()))
    if chosen == "qform" and "sform" in named:
        warn_about_data(path, f"its sform {_fault(sform, unit)}; the qform is used instead")
    if chosen == "sform" and "qform" in named:
        _compare(path, affine, usable.get("qform"))
    _compare_spacing(path, fields, affine)
    if unit != 1.0:
        warn_about_data(path, f"its millimetres are stored as other units, times {unit:g}")
    return _in_mm(affine, unit)


@np.errstate(all="ignore")
def mend_header(fields: Nifti1Header) -> None:
    """Make a header that is written free of impossible spacing and NaN affines, in place.

    What is sound stays bit for bit; an affine that is not usable loses its code.
    """
    sform = _sform(fields)
    pixdim = fields["pixdim"]
    for axis in range(1, 4):
        if not (np.isfinite(pixdim[axis]) and pixdim[axis] > 0):
            known = _fault(sform) is None
            pixdim[axis] = np.linalg.norm(sform[:3, axis - 1]) if known else 1.0
    pixdim[4:][~np.isfinite(pixdim[4:])] = 0
    if not np.isfinite(pixdim[0]):
        pixdim[0] = 1
    if not np.isfinite(sform).all() or (int(fields["sform_code"]) > 0 and _fault(sform)):
        _clear(fields, "sform_code", "srow_x", "srow_y", "srow_z")
    qform = _qform(fields)
    if qform is None or not np.isfinite(qform).all() or _fault(qform):
        _clear(fields, "qform_code", *(f"quatern_{axis}" for axis in "bcd"))
        _clear(fields, *(f"qoffset_{axis}" for axis in "xyz"))


def axes_inside(affine: NDArray[np.float64]) -> Axes:
    """Find the axis of (z, y, x) that lies nearest to each stored axis; always a permutation."""
    turns = ornt_transform(io_orientation(affine), _INSIDE)
    return tuple((int(axis), int(direction)) for axis, direction in turns)


def turn_inside(array: NDArray[Any], axes: Axes) -> NDArray[Any]:
    """View an array of stored axes ``(i, j, k)`` as ``(z, y, x)``."""
    return np.asarray(apply_orientation(array, np.array(axes)))


def turn_back(array: NDArray[Any], axes: Axes) -> NDArray[Any]:
    """View an array ``(z, y, x)`` in its stored axes ``(i, j, k)``."""
    back = sorted((axis, stored, direction) for stored, (axis, direction) in enumerate(axes))
    return np.asarray(apply_orientation(array, np.array([turn[1:] for turn in back])))


def affine_inside(
    affine: NDArray[np.float64], axes: Axes, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Return the affine of ``turn_inside``'s result; ``shape`` is that of the stored axes."""
    return np.asarray(affine @ inv_ornt_aff(np.array(axes), shape), dtype=np.float64)


def _sform(fields: Nifti1Header) -> NDArray[np.float64]:
    """Return the stored affine, of a 2-D file with the third axis it may lack."""
    sform = np.array(fields.get_sform(coded=False), dtype=np.float64)
    if int(fields["dim"][0]) < 3 and not sform[:3, 2].any():
        normal = np.cross(sform[:3, 0], sform[:3, 1])
        sform[:3, 2] = normal / (np.linalg.norm(normal) or 1.0)
    return sform


def _qform(fields: Nifti1Header) -> NDArray[np.float64] | None:
    """Return the affine of quaternion, offset and spacing, if they are such."""
    try:
        return np.array(fields.get_qform(coded=False), dtype=np.float64)
    except (HeaderDataError, ValueError):
        return None


def _fault(affine: NDArray[np.float64] | None, unit: float | None = None) -> str | None:
    """Say what is wrong with an affine; with ``unit``, its spacing must be a body scan's too."""
    if affine is None:
        return "does not follow from its quaternion and spacing"
    if not np.isfinite(affine).all():
        return "holds NaN or infinite numbers"
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not spacing.all() or abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-4:
        return "is singular (axes of no length, or two in one direction)"
    if unit is not None and not _is_spacing(spacing * unit):
        return f"has a spacing of {_in_words(spacing * unit)} mm, which no body scan has"
    return None


def _is_spacing(spacing_mm: NDArray[np.float64]) -> bool:
    """Tell whether a spacing is one that scanners make; NaN is not."""
    low, high = _SPACING_MM
    return bool(((spacing_mm >= low) & (spacing_mm <= high)).all())


def _in_words(numbers: NDArray[np.float64]) -> str:
    return " x ".join(f"{number:g}" for number in numbers)


def _spacing_only(path: Path, fields: Nifti1Header, unit: float) -> NDArray[np.float64]:
    """Place a file that has neither sform nor qform as nibabel does: centred, x to the left."""
    spacing = np.asarray(fields["pixdim"][1 : min(int(fields["dim"][0]), 3) + 1], dtype=np.float64)
    if not _is_spacing(spacing * unit):
        raise ReadError(
            path,
            f"has neither sform nor qform, and its pixdim says {_in_words(spacing)}, so no spacing "
            "is known - set pixdim or the affine right first",
        )
    warn_about_data(
        path, "has neither sform nor qform: left and right, and its orientation, are guesses"
    )
    return _in_mm(np.array(fields.get_base_affine(), dtype=np.float64), unit)


def _in_mm(affine: NDArray[np.float64], unit: float) -> NDArray[np.float64]:
    """Scale an affine to millimetres."""
    scaled = affine.copy()
    scaled[:3] *= unit
    return scaled


def _compare(path: Path, sform: NDArray[np.float64], qform: NDArray[np.float64] | None) -> None:
    """Warn of a qform that does not say what the sform says."""
    if qform is None:
        warn_about_data(path, "its qform is not usable; the sform is used")
    elif (apart := np.abs(sform - qform).max()) > _DISAGREE:
        warn_about_data(
            path,
            f"its sform and qform disagree (by up to {apart:.3g}); the sform is used, and both "
            "are kept in what is written",
        )


def _compare_spacing(path: Path, fields: Nifti1Header, affine: NDArray[np.float64]) -> None:
    """Warn of a pixdim that does not say what the affine says."""
    count = min(int(fields["dim"][0]), 3)
    stored = np.asarray(fields["pixdim"][1 : count + 1], dtype=np.float64)
    spacing = np.linalg.norm(affine[:3, :count], axis=0)
    if not (np.abs(stored - spacing) <= _DISAGREE * spacing).all():
        warn_about_data(
            path,
            f"its pixdim says {_in_words(stored)} but its affine {_in_words(spacing)}; "
            "the affine is used",
        )


def _clear(fields: Nifti1Header, *names: str) -> None:
    """Set fields to zero."""
    for name in names:
        fields[name] = 0
