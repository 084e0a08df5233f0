"""What a label map holds: volumes, voxels, contact with the border, mean intensities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from slicekit.errors import LabelError
from slicekit.labels import LabelSet
from slicekit.volume import Volume, expect_same_grid


def statistics(
    labels: Volume, names: LabelSet, *, image: Volume | None = None
) -> dict[str, dict[str, Any]]:
    """Measure every organ of a label map.

    Args:
        labels: ``(z, y, x)`` whole numbers.
        names: The organs to measure; other ids are passed over.
        image: ``(z, y, x)`` intensities on the same grid.

    Returns:
        Organ name to ``voxels``, ``volume_ml``, ``touches_border`` (the organ goes on beyond
        the scan, or fills it) and, with an image, ``mean_hu``. An organ that is absent has 0
        voxels and no mean (``None``). Ready for JSON.

    Raises:
        GeometryError: The image lies on another grid.
        LabelError: The label map does not hold whole numbers from 0.

    Example:
        >>> organ = Volume(np.ones((1, 2, 2), np.uint8), np.diag([10.0, 10.0, 10.0, 1.0]))
        >>> statistics(organ, LabelSet({"liver": 1}))
        {'liver': {'voxels': 4, 'volume_ml': 4.0, 'touches_border': True}}
    """
    array = labels.array
    if array.dtype.kind not in "iub" or (array.dtype.kind == "i" and array.min() < 0):
        raise LabelError(f"a label map must hold whole numbers from 0, got {array.dtype}")
    if image is not None:
        expect_same_grid("the image", image, labels, like_name="the label map")
    largest = max(names.ids.values(), default=0)
    counts, sums = np.zeros(largest + 1, dtype=np.int64), np.zeros(largest + 1)
    for z, plane in enumerate(array):  # slice by slice, so that no wide copy is made
        known = np.where(plane > largest, 0, plane).ravel().astype(np.intp)
        counts += np.bincount(known, minlength=largest + 1)
        if image is not None:
            sums += np.bincount(known, weights=image.array[z].ravel(), minlength=largest + 1)
    whole: NDArray[np.uint8] = array.view(np.uint8) if array.dtype == bool else array
    boxes = ndimage.find_objects(whole, max_label=largest) if largest else []
    result: dict[str, dict[str, Any]] = {}
    for name, number in names.ids.items():
        voxels = int(counts[number])
        box = boxes[number - 1]
        entry: dict[str, Any] = {
            "voxels": voxels,
            "volume_ml": round(voxels * labels.voxel_ml, 3),
            "touches_border": box is not None and _at_border(box, labels.shape),
        }
        if image is not None:
            mean = sums[number] / voxels if voxels else np.nan
            entry["mean_hu"] = round(float(mean), 2) if np.isfinite(mean) else None
        result[name] = entry
    return result


def _at_border(box: tuple[slice, ...], shape: tuple[int, int, int]) -> bool:
    return any(part.start == 0 or part.stop == size for part, size in zip(box, shape, strict=True))
