"""What stored numbers become: finite intensities, or whole label ids."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicekit.errors import DataWarning, LabelError, ReadError
from slicekit.labels import MAX_LABEL_ID

_BLOCK = 1 << 18  # numbers converted at once: two megabytes of float64 stay in the cache


def warn_about_data(path: str | Path, what: str) -> None:
    """Tell the user that something in a file was mended or is doubtful."""
    warnings.warn(f"{path}: {what}", DataWarning, stacklevel=3)


def target_dtype(dtype: np.dtype[Any], *, scaled: bool) -> np.dtype[Any]:
    """Return the type that intensities of a stored type become.

    Integers of up to 32 bits stay what they are; 64 bits become float32 unless their values
    fit int32; everything else, and everything that is scaled, becomes float32.
    """
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind in "iu" and dtype.itemsize <= 4 and not scaled:
        return dtype.newbyteorder("=")
    return np.dtype(np.float32)


def as_intensities(
    path: Path, stored: NDArray[Any], *, slope: float = 1.0, inter: float = 0.0
) -> NDArray[Any]:
    """Turn stored numbers into finite intensities of a type that networks like.

    Args:
        path: The file, for messages.
        stored: C-contiguous numbers of any shape, integer or float type and byte order; may be
            overwritten.
        slope: The intensity is ``slope * stored + inter``.
        inter: See ``slope``.

    Returns:
        The same shape: integers of up to 32 bits, or float32, in this machine's byte order.

    Raises:
        ReadError: No voxel is a finite number.

    Warns:
        DataWarning: Some voxels were not finite and took the smallest finite value, or all
            voxels are equal.
    """
    flat = stored.reshape(-1)
    scaled = (slope, inter) != (1.0, 0.0)
    dtype = target_dtype(stored.dtype, scaled=scaled)
    if stored.dtype.kind in "iu" and stored.dtype.itemsize == 8 and not scaled:
        limits = np.iinfo(np.int32)
        if limits.min <= int(flat.min()) and int(flat.max()) <= limits.max:
            dtype = np.dtype(np.int32)
    if scaled:
        flat = _scaled(flat, slope, inter)
    elif flat.dtype == dtype.newbyteorder("S"):
        flat = flat.byteswap(inplace=True).view(dtype)
    else:
        with np.errstate(over="ignore"):  # too large for float32: infinite, and mended below
            flat = flat.astype(dtype, copy=False)
    return _finite(path, flat).reshape(stored.shape)


def _scaled(flat: NDArray[Any], slope: float, inter: float) -> NDArray[np.float32]:
    """Scale in double precision, block by block, into float32."""
    out = np.empty(flat.shape, dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, flat.size, _BLOCK):
            block = flat[start : start + _BLOCK].astype(np.float64)
            block *= slope
            block += inter
            out[start : start + _BLOCK] = block
    return out


def _finite(path: Path, flat: NDArray[Any]) -> NDArray[Any]:
    """Replace what is not a finite number; warn of that and of a constant image."""
    low, high = flat.min(), flat.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        good = np.isfinite(flat)
        count = int(flat.size - np.count_nonzero(good))
        if count == flat.size:
            raise ReadError(
                path, f"none of its {flat.size:,} voxels is a finite number; export it again"
            )
        low = flat.min(where=good, initial=np.inf)
        high = flat.max(where=good, initial=-np.inf)
        flat[~good] = low
        warn_about_data(
            path,
            f"{count:,} of {flat.size:,} voxels are NaN or infinite and were taken as {low:g}, "
            "the smallest finite value",
        )
    if low == high and flat.size > 1:
        warn_about_data(path, f"every voxel is {low:g}, so there is nothing to be seen in it")
    return flat


def as_label_ids(
    name: str | Path, stored: NDArray[Any], *, slope: float = 1.0, inter: float = 0.0
) -> NDArray[Any]:
    """Turn stored numbers into label ids of the smallest unsigned type that holds them.

    Args:
        name: The file or variable, for messages.
        stored: Numbers of any shape, integer, bool or float type.
        slope: The id is ``slope * stored + inter``. A scaled id may be 0.001 off a whole number,
            since float32 slopes turn 300 into 300.00001; an unscaled one must be exact.
        inter: See ``slope``.

    Returns:
        The same shape, uint8 or uint16.

    Raises:
        LabelError: A value is not finite, not whole, negative or above 65535.

    Warns:
        DataWarning: Scaled ids were rounded.
    """
    if stored.dtype.kind not in "biuf":
        raise LabelError(f"{name}: labels must be whole numbers, got the type {stored.dtype}")
    values = stored
    if (slope, inter) != (1.0, 0.0):
        exact = stored.astype(np.float64) * slope + inter
        values = exact.round()
        off = float(np.abs(exact - values).max())
        if 0 < off <= 1e-3:
            warn_about_data(
                name, f"its labels are stored scaled and were rounded by up to {off:.1g}"
            )
        elif off != 0:  # also when it is NaN
            values = exact
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        count = int(np.count_nonzero(~np.isfinite(values)))
        raise LabelError(f"{name}: {count:,} voxels are NaN or infinite, which is no label id")
    if values.dtype.kind == "f" and (odd := np.flatnonzero(values != np.trunc(values))).size:
        raise LabelError(
            f"{name}: labels must be whole numbers, but {odd.size:,} voxels are not, such as "
            f"{values.reshape(-1)[odd[0]]}; a label map must be resampled with nearest neighbours"
        )
    if low < 0 or high > MAX_LABEL_ID:
        raise LabelError(
            f"{name}: label ids must be from 0 to {MAX_LABEL_ID}, got {low:g} to {high:g}; "
            "is it an image? Offer the label map, or renumber it"
        )
    return values.astype(np.uint8 if high <= 255 else np.uint16, copy=False)


def as_levels(values: NDArray[Any], levels: float) -> NDArray[np.uint8]:
    """Turn values from 0 to 1 into whole levels from 0 to ``levels``, plane by plane.

    Raises:
        ValueError: A value is not from 0 to 1.
    """
    out = np.empty(values.shape, dtype=np.uint8)
    for plane, into in zip(values, out, strict=True):
        least, most = float(plane.min()), float(plane.max())
        if not (least >= 0 and most <= 1):  # NaN too
            raise ValueError(f"a map holds values from 0 to 1, got {least:g} to {most:g}")
        into[:] = np.rint(plane.astype(np.float32) * np.float32(levels))
    return out
