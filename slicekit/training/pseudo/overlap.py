"""Overlap of two label maps, organ by organ, without a mask of any organ."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicekit.checks import expect_shape
from slicekit.errors import LabelError
from slicekit.labels import LabelSet


def organ_dices(
    one: NDArray[Any],  # (z, y, x) ids
    other: NDArray[Any],  # (z, y, x) ids
    names: LabelSet,
    *,
    ignore_id: int | None = None,
) -> dict[str, float]:
    """Measure the Dice of every organ between two label maps.

    Both are walked once, slice by slice, whatever the number of organs; a few copies of one
    slice are all the memory that takes.

    Args:
        one: ``(z, y, x)`` ids.
        other: ``(z, y, x)`` ids, on the same grid.
        names: The organs to compare.
        ignore_id: Voxels of this id in ``other`` count in neither map.

    Returns:
        Organ to Dice; 1.0 where neither map has the organ.

    Raises:
        ShapeError: The shapes differ.
        LabelError: One of them does not hold whole numbers from 0.

    Example:
        >>> one, other = np.array([[[1, 1, 2]]]), np.array([[[1, 0, 2]]])
        >>> organ_dices(one, other, LabelSet({"liver": 1, "spleen": 2}))
        {'liver': 0.6666666666666666, 'spleen': 1.0}
    """
    expect_ids("one", one)
    expect_ids("other", other)
    expect_shape("other", other, " ".join(map(str, one.shape)))
    largest = max(names.ids.values(), default=0)
    sizes, both = np.zeros((2, largest + 1), dtype=np.int64)
    for plane, beside in zip(one, other, strict=True):
        first, second = flat_ids(plane, largest), flat_ids(beside, largest)
        if ignore_id is not None:
            known = (beside != ignore_id).ravel()
            first, second = first[known], second[known]
        for ids in (first, second):
            sizes += np.bincount(ids, minlength=largest + 1)
        both += np.bincount(first[first == second], minlength=largest + 1)
    return {
        name: 2 * int(both[number]) / int(sizes[number]) if sizes[number] else 1.0
        for name, number in names.ids.items()
    }


def flat_ids(plane: NDArray[Any], largest: int) -> NDArray[np.intp]:
    """Return one slice's ids in a row, 0 for those above ``largest``."""
    return np.where(plane > largest, 0, plane).ravel().astype(np.intp)


def expect_ids(name: str, array: NDArray[Any]) -> None:
    """Refuse what is no label map.

    Raises:
        ShapeError: It has not three axes.
        LabelError: It does not hold whole numbers from 0.
    """
    expect_shape(name, array, "z y x")
    if array.dtype.kind not in "iub":
        raise LabelError(f"{name} must hold whole numbers, got {array.dtype}; round it first")
    if array.dtype.kind == "i" and array.size and int(array.min()) < 0:
        raise LabelError(f"{name} must hold ids from 0, got {int(array.min())}")
