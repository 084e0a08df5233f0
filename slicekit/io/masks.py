"""Masks of a few slices: a folder of pictures, each named as the slice it was drawn on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicekit.errors import LabelError, ReadError
from slicekit.io.folders import FolderSource
from slicekit.io.nifti import stored_slice
from slicekit.io.pictures import SUFFIXES, look, read_slice
from slicekit.io.values import as_label_ids
from slicekit.volume import Volume

_LOSSY = (".jpg", ".jpeg")
_SHOWN = 5


def read_masks(folder: str | Path, *, like: Volume) -> Mapping[int, NDArray[Any]]:
    """Read the masks of some slices of an image.

    Args:
        folder: PNG, TIFF or NPY pictures of label ids. For an image of slices each has the name
            of its slice, whatever the ending; for another the last number in the name is the
            slice along z, counted from 0 as the file does, rows run from front to back and
            columns from the patient's right to the left.
        like: The image, or a view of it along another axis.

    Returns:
        Slice to ``(y, x)`` ids, in rising order; empty masks are there too.

    Raises:
        ReadError: There is no mask, a name fits no slice or two fit one, or sizes differ.
        LabelError: An id is not whole, or the pictures are lossy.
    """
    path = Path(folder)
    if not path.is_dir():
        raise ReadError(path, "is not a folder of masks; name one, or a label map as .nii.gz")
    files = sorted(
        file for file in path.iterdir()
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    )  # fmt: skip
    if not files:
        raise ReadError(path, "holds no mask; put one PNG a drawn slice there, named as the slice")
    found: dict[int, NDArray[Any]] = {}
    for file in files:
        if file.suffix.lower() in _LOSSY:
            raise LabelError(f"{file}: JPEG does not keep label ids; save the mask as PNG")
        z = _slice_of(file, like)
        if z in found:
            raise ReadError(file, f"is a second mask of slice {z}; keep one")
        look(file)  # refuses what is damaged or holds several pages
        ids = read_slice(file, as_ids=True)
        if ids.shape != like.shape[1:]:
            raise ReadError(
                file, f"is {ids.shape} (y, x), its slice {like.shape[1:]}; draw on the slice itself"
            )
        found[z] = as_label_ids(file, np.asarray(ids))
    return dict(sorted(found.items()))


def _slice_of(file: Path, like: Volume) -> int:
    """Find the slice that a mask is named after."""
    if isinstance(like.source, FolderSource):
        stems = [Path(name).stem for name in like.source.files]
        if file.stem in stems:
            return stems.index(file.stem)
        names = f"{', '.join(stems[:_SHOWN])}{' ...' if len(stems) > _SHOWN else ''}"
        raise ReadError(file, f"is named after no slice; the slices are {names}")
    numbers = re.findall(r"\d+", file.stem)
    if not numbers:
        raise ReadError(file, "has no number in its name; name it after its slice, as 012.png")
    z = int(numbers[-1])
    if z >= like.shape[0]:
        raise ReadError(
            file, f"is drawn on slice {z}, but the slices go from 0 to {like.shape[0] - 1}"
        )
    return stored_slice(like, z)
