"""What a label map holds: volumes, places, boxes, components, intensities, organ by organ."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicekit.errors import LabelError
from slicekit.labels import LabelSet
from slicekit.report.runs import Components, Runs, runs_of
from slicekit.volume import Volume, expect_same_grid

Numbers = NDArray[np.float64]


def statistics(
    labels: Volume,
    names: LabelSet,
    *,
    image: Volume | None = None,
    in_hu: bool = True,
    corners: bool = True,
) -> dict[str, dict[str, Any]]:
    """Measure every organ of a label map, in one pass over its slices.

    Args:
        labels: ``(z, y, x)`` whole numbers.
        names: The organs to measure; other ids are passed over.
        image: ``(z, y, x)`` intensities on the same grid.
        in_hu: Whether its intensities are HU; the mean is then told as ``mean_hu`` as well.
        corners: Whether voxels that share no more than a corner belong to one component (26
            neighbours a voxel), else only those that share a face (6).

    Returns:
        Organ name to figures, ready for JSON: ``voxels``, ``volume_ml``, ``touches_border`` (the
        organ goes on beyond the scan, or fills it), ``components``, ``centroid_mm`` (RAS+ x, y,
        z), ``centroid_voxel``, ``box_first_voxel`` and ``box_last_voxel`` (indices from 0 in the
        order in which the file stores its axes; x, y, z where it is no NIfTI file), ``box_mm``
        (edges of the box along those axes). With an image also ``mean``, ``deviation``
        (standard deviation of all voxels), ``minimum`` and ``maximum``. What an absent organ
        cannot have, and an intensity that is not finite, is ``None``.

    Raises:
        GeometryError: The image lies on another grid.
        LabelError: The label map does not hold whole numbers from 0.

    Example:
        >>> organ = Volume(np.ones((1, 2, 2), np.uint8), np.diag([10.0, 10.0, 10.0, 1.0]))
        >>> found = statistics(organ, LabelSet({"liver": 1}))["liver"]
        >>> found["voxels"], found["volume_ml"], found["touches_border"], found["components"]
        (4, 4.0, True, 1)
    """
    array = labels.array
    if array.dtype.kind not in "iub" or (array.dtype.kind == "i" and array.min() < 0):
        raise LabelError(f"a label map must hold whole numbers from 0, got {array.dtype}")
    if image is not None:
        expect_same_grid("the image", image, labels, like_name="the label map")
    organ_of = np.zeros(max(names.ids.values(), default=0) + 1, np.int64)
    organ_of[list(names.ids.values())] = np.arange(1, len(names) + 1)
    shapes, tones = _Shapes(len(names)), _Tones(len(names))
    components = Components(len(names), corners=corners)
    for z, plane in enumerate(array):
        runs = runs_of(plane, organ_of)
        components.add(runs)
        shapes.add(z, runs)
        if image is not None:
            tones.add(runs, image.array[z])
    return {
        name: {
            **shapes.figures(organ, labels),
            "components": int(components.counts[organ]),
            **(tones.figures(organ, in_hu=in_hu) if image is not None else {}),
        }
        for organ, name in enumerate(names.names, start=1)
    }


class _Shapes:
    """Gathers where organs lie; every array has one entry an organ, entry 0 is none."""

    def __init__(self, organs: int) -> None:
        self.voxels = np.zeros(organs + 1, np.int64)
        self.sums = np.zeros((3, organs + 1))
        self.first = np.full((3, organs + 1), np.iinfo(np.int64).max)
        self.last = np.full((3, organs + 1), -1)

    def add(self, z: int, runs: Runs) -> None:
        """Add one slice."""
        length, size = runs.length, len(self.voxels)
        voxels = np.bincount(runs.organ, length, size)
        self.voxels += voxels.astype(np.int64)
        middle = (runs.start + runs.stop - 1) / 2
        self.sums[0] += z * voxels
        self.sums[1] += np.bincount(runs.organ, length * runs.y, size)
        self.sums[2] += np.bincount(runs.organ, length * middle, size)
        slices = np.full_like(runs.y, z)
        ends = ((slices, slices), (runs.y, runs.y), (runs.start, runs.stop - 1))
        for axis, (low, high) in enumerate(ends):
            np.minimum.at(self.first[axis], runs.organ, low)
            np.maximum.at(self.last[axis], runs.organ, high)

    def figures(self, organ: int, labels: Volume) -> dict[str, Any]:
        """Return the figures of one organ, ready for JSON."""
        voxels = int(self.voxels[organ])
        found: dict[str, Any] = {
            "voxels": voxels,
            "volume_ml": round(voxels * labels.voxel_ml, 3),
            "touches_border": False,
            **dict.fromkeys(
                ("centroid_mm", "centroid_voxel", "box_first_voxel", "box_last_voxel", "box_mm")
            ),
        }
        if not voxels:
            return found
        first, last = self.first[:, organ], self.last[:, organ]
        border = (first == 0) | (last == np.array(labels.shape) - 1)
        centre = self.sums[:, organ] / voxels
        world = labels.affine @ [*centre, 1.0]
        ends = np.sort([_as_stored(first, labels), _as_stored(last, labels)], axis=0).astype(int)
        steps_mm = np.array([labels.spacing_mm[axis] for axis, _ in _axes(labels)])
        return found | {
            "touches_border": bool(border.any()),
            "centroid_mm": _rounded(world[:3], 2),
            "centroid_voxel": _rounded(_as_stored(centre, labels), 2),
            "box_first_voxel": ends[0].tolist(),
            "box_last_voxel": ends[1].tolist(),
            "box_mm": _rounded(steps_mm * (ends[1] - ends[0] + 1), 2),
        }


class _Tones:
    """Gathers intensities of organs; every array has one entry an organ, entry 0 is none.

    Reference: Chan, Golub and LeVeque 1979, Updating formulae and a pairwise algorithm for
    computing sample variances; what is added are slices.
    """

    def __init__(self, organs: int) -> None:
        self.count, self.mean, self.squares = np.zeros((3, organs + 1))
        self.least = np.full(organs + 1, np.inf)
        self.most = np.full(organs + 1, -np.inf)

    @np.errstate(invalid="ignore", over="ignore")  # what is not finite stays so
    def add(self, runs: Runs, plane: NDArray[Any]) -> None:
        """Add one slice ``(y, x)`` of the image."""
        if not len(runs.organ):
            return
        size, length = len(self.count), runs.length
        begins = np.cumsum(length) - length
        offsets = np.repeat(runs.y * plane.shape[1] + runs.start - begins, length)
        values = plane.reshape(-1)[offsets + np.arange(len(offsets))].astype(np.float64)
        np.minimum.at(self.least, runs.organ, np.minimum.reduceat(values, begins))
        np.maximum.at(self.most, runs.organ, np.maximum.reduceat(values, begins))
        count = np.bincount(runs.organ, length, size)
        sums = np.bincount(runs.organ, np.add.reduceat(values, begins), size)
        mean = sums / np.maximum(count, 1)
        values -= np.repeat(mean[runs.organ], length)
        squares = np.bincount(runs.organ, np.add.reduceat(values * values, begins), size)
        whole, apart = self.count + count, mean - self.mean
        share = count / np.maximum(whole, 1)
        self.squares += squares + np.where(count > 0, apart**2 * self.count * share, 0)
        self.mean += np.where(count > 0, apart * share, 0)
        self.count = whole

    def figures(self, organ: int, *, in_hu: bool) -> dict[str, float | None]:
        """Return the figures of one organ, ready for JSON."""
        count, mean = float(self.count[organ]), float(self.mean[organ])
        deviation = float(np.sqrt(self.squares[organ] / count)) if count else np.nan
        found = {
            "mean": mean if count else np.nan,
            "deviation": deviation,
            "minimum": float(self.least[organ]),
            "maximum": float(self.most[organ]),
        }
        told = {key: float(f"{v:.6g}") if np.isfinite(v) else None for key, v in found.items()}
        if in_hu:
            told["mean_hu"] = round(mean, 2) if count and np.isfinite(mean) else None
        return told


def _axes(labels: Volume) -> tuple[tuple[int, int], ...]:
    """Return the axis of ``(z, y, x)`` behind every stored axis, and its direction."""
    axes: tuple[tuple[int, int], ...] = getattr(labels.source, "axes", ((2, 1), (1, 1), (0, 1)))
    return axes


def _as_stored(place: NDArray[Any], labels: Volume) -> Numbers:
    """Turn an index ``(z, y, x)`` into the one that the file counts with."""
    return np.array(
        [
            place[axis] if direction > 0 else labels.shape[axis] - 1 - place[axis]
            for axis, direction in _axes(labels)
        ],
        dtype=np.float64,
    )


def _rounded(numbers: Numbers, digits: int) -> list[float]:
    return [round(float(number), digits) + 0.0 for number in numbers]
