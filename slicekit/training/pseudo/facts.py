"""What is measured of every organ in one predicted case, before anybody judges it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from nibabel.orientations import aff2axcodes
from numpy.typing import NDArray
from scipy import ndimage

from slicekit.checks import expect_shape
from slicekit.labels import LabelSet
from slicekit.metrics import mean_of
from slicekit.training.pseudo.overlap import expect_ids, flat_ids, organ_dices
from slicekit.volume import Volume

Face = Literal["left", "right", "posterior", "anterior", "inferior", "superior"]
"""A side of the scan, named as the patient's."""
Point = tuple[float, float, float]
"""Millimetres to the right, to the front and to the head (RAS+)."""

FACES: tuple[tuple[Face, Face], ...] = (
    ("left", "right"),
    ("posterior", "anterior"),
    ("inferior", "superior"),
)
"""The two ends of every axis of RAS+, in its order."""
_TOUCHING = np.ones((3, 3, 3), dtype=np.bool_)  # voxels that share a corner are one piece


@dataclass(frozen=True)
class OrganFacts:
    """What was measured of one organ in one case.

    ``None`` stands for what was not measured, for want of an input or of voxels.
    """

    organ: str
    voxels: int
    """0 where the organ was not found."""
    volume_ml: float
    largest_share: float | None = None
    """Share of the voxels in the largest piece (26-connected)."""
    continuity: float | None = None
    """Share of the slices from the first to the last that hold the organ."""
    touches_border: frozenset[Face] = frozenset()
    """Sides of the scan that the organ touches."""
    centroid_mm: Point | None = None
    """Middle of the voxels, RAS+."""
    from_body_mm: tuple[float, float] | None = None
    """How far the centroid lies to the right and to the front of the body's middle."""
    confidence: float | None = None
    """Mean confidence of all its voxels."""
    confidence_top: float | None = None
    """Mean confidence of its surest voxels."""
    agreement: float | None = None
    """Mean Dice of what each member says against the labels."""
    stability: float | None = None
    """Dice against an earlier round's labels."""
    both_ways: float | None = None
    """Dice of what was carried forward only against backward only; ``None`` for an organ that was
    found, but that neither way carried anywhere."""
    loss: float | None = None
    """Loss of a network that never learnt from this case."""


def measure_facts(
    labels: Volume,
    names: LabelSet,
    *,
    confidence: NDArray[Any] | None = None,
    members: Sequence[NDArray[Any]] | None = None,
    earlier: NDArray[Any] | None = None,
    both_ways: tuple[NDArray[Any], NDArray[Any]] | None = None,
    losses: Mapping[str, float] | None = None,
    body: tuple[int, int, int, int] | None = None,
    top_k: int = 1000,
) -> dict[str, OrganFacts]:
    """Measure every organ of one case.

    Every array is walked slice by slice, for all organs at once; pieces, centroid and confidence
    are sought only inside the box of their organ. Beside the inputs that takes at most 5 bytes a
    voxel of the largest box and 12 bytes a voxel of the largest organ.

    Args:
        labels: ``(z, y, x)`` ids that were predicted, or drawn where a prior is to be learned.
        names: The organs to measure; of a partly annotated case only those that were annotated.
        confidence: ``(z, y, x)`` probability of the predicted class, 0 to 1.
        members: ``(z, y, x)`` ids, what each member of a committee says alone; one member agrees
            with itself.
        earlier: ``(z, y, x)`` ids of an earlier round or checkpoint.
        both_ways: Ids ``(z, y, x)`` carried forward only, and backward only.
        losses: Organ to the loss of a network that never learnt from this case.
        body: Rows and columns ``(y0, y1, x0, x1)`` of the body, as ``body_box`` finds them.
        top_k: How many of the surest voxels of an organ ``confidence_top`` averages.

    Returns:
        Organ to facts, in the order of their ids.

    Raises:
        ShapeError: An array has another shape than the labels.
        LabelError: A label map does not hold whole numbers from 0, or a loss is of no organ.
        ValueError: A confidence is no probability, or ``top_k`` is below 1.

    Reference: for ``agreement`` Pham et al. (FLARE22), uncertainty estimation.
    """
    _expect_inputs(labels, names, confidence, losses, top_k)
    dices = _dices(labels.array, names, members, earlier, both_ways)
    counts = _counts(labels.array, max(names.ids.values(), default=0))
    if both_ways is not None:
        carried = set(np.unique(both_ways[0])) | set(np.unique(both_ways[1]))
        for name, number in names.ids.items():
            if counts[:, number].any() and number not in carried:
                dices["both_ways"][name] = None
    boxes = _boxes(labels.array, len(counts[0]) - 1)
    return {
        name: OrganFacts(
            organ=name,
            voxels=int(counts[:, number].sum()),
            volume_ml=int(counts[:, number].sum()) * labels.voxel_ml,
            continuity=_continuity(counts[:, number]),
            loss=None if losses is None else losses.get(name),
            **{field: by_organ[name] for field, by_organ in dices.items()},
            **_look_into(boxes[number - 1], number, labels, confidence, body, top_k),
        )
        for name, number in names.ids.items()
    }


def _expect_inputs(
    labels: Volume,
    names: LabelSet,
    confidence: NDArray[Any] | None,
    losses: Mapping[str, float] | None,
    top_k: int,
) -> None:
    expect_ids("labels", labels.array)
    if confidence is not None:
        expect_shape("confidence", confidence, " ".join(map(str, labels.shape)))
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}")
    for name in losses or ():
        names.id_of(name)


def _dices(
    array: NDArray[Any],
    names: LabelSet,
    members: Sequence[NDArray[Any]] | None,
    earlier: NDArray[Any] | None,
    both_ways: tuple[NDArray[Any], NDArray[Any]] | None,
) -> dict[str, dict[str, Any]]:
    """Compare label maps: field of ``OrganFacts`` to organ to Dice."""
    dices: dict[str, dict[str, Any]] = {}
    if members:
        alone = [organ_dices(array, member, names) for member in members]
        dices["agreement"] = {name: mean_of(one[name] for one in alone) for name in names.names}
    if earlier is not None:
        dices["stability"] = organ_dices(array, earlier, names)
    if both_ways is not None:
        expect_shape("both_ways", both_ways[0], " ".join(map(str, array.shape)))
        dices["both_ways"] = organ_dices(*both_ways, names)
    return dices


def _counts(array: NDArray[Any], largest: int) -> NDArray[np.int64]:
    """Return ``(z, largest + 1)``: voxels of every id in every slice."""
    counts = [np.bincount(flat_ids(plane, largest), minlength=largest + 1) for plane in array]
    return np.stack(counts).astype(np.int64)


def _boxes(array: NDArray[Any], largest: int) -> list[tuple[slice, ...] | None]:
    """Find the box of every id from 1 on; ``None`` where an id has no voxels."""
    # find_objects takes no bool, and nothing wider than 32 bits on every platform
    wide = array.dtype == bool or array.dtype.itemsize > 4
    whole: NDArray[np.int32] = array.astype(np.int32) if wide else array
    return list(ndimage.find_objects(whole, max_label=largest)) if largest else []


def _continuity(counts: NDArray[np.int64]) -> float | None:
    held = np.flatnonzero(counts)
    return len(held) / int(held[-1] - held[0] + 1) if len(held) else None


def _look_into(
    box: tuple[slice, ...] | None,
    number: int,
    labels: Volume,
    confidence: NDArray[Any] | None,
    body: tuple[int, int, int, int] | None,
    top_k: int,
) -> dict[str, Any]:
    """Measure what takes the organ's own mask: pieces, place, confidence."""
    if box is None:
        return {}
    mask = labels.array[box] == number
    middle = _middle(mask, box)
    facts: dict[str, Any] = {
        "largest_share": _largest_share(mask),
        "touches_border": _touched(box, labels),
        "centroid_mm": _to_mm(labels, middle),
    }
    if body is not None:
        y0, y1, x0, x1 = body
        axis = _to_mm(labels, (middle[0], (y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2))
        here = facts["centroid_mm"]
        facts["from_body_mm"] = (here[0] - axis[0], here[1] - axis[1])
    if confidence is not None:
        sure = confidence[box][mask]
        if not (float(sure.min()) >= 0 and float(sure.max()) <= 1):  # also where it is NaN
            raise ValueError(
                "confidence must be a probability from 0 to 1, got values from "
                f"{float(sure.min()):g} to {float(sure.max()):g}; take the softmax of logits first"
            )
        facts["confidence"] = float(sure.mean(dtype=np.float64))
        top = np.partition(sure, -top_k)[-top_k:] if len(sure) > top_k else sure
        facts["confidence_top"] = float(top.mean(dtype=np.float64))
    return facts


def _largest_share(mask: NDArray[np.bool_]) -> float:
    pieces, count = ndimage.label(mask, structure=_TOUCHING)
    if count == 1:
        return 1.0
    sizes = np.bincount(pieces[mask])
    return int(sizes.max()) / int(sizes.sum())


def _middle(mask: NDArray[np.bool_], box: tuple[slice, ...]) -> Point:
    """Return the mean index ``(z, y, x)`` of a mask that lies in a box."""
    means = []
    for axis, part in enumerate(box):
        along = np.count_nonzero(mask, axis=tuple(a for a in range(3) if a != axis))
        means.append(part.start + float(along @ np.arange(len(along))) / int(along.sum()))
    return means[0], means[1], means[2]


def _to_mm(grid: Volume, index: Point) -> Point:
    right, front, head = grid.affine[:3, :3] @ np.array(index) + grid.affine[:3, 3]
    return float(right), float(front), float(head)


def _touched(box: tuple[slice, ...], grid: Volume) -> frozenset[Face]:
    """Name the sides of the scan that a box reaches; of an oblique scan the nearest sides."""
    touched = []
    ends = aff2axcodes(grid.affine, labels=FACES)
    for part, size, end in zip(box, grid.shape, ends, strict=True):
        (pair,) = (faces for faces in FACES if end in faces)
        start = pair[0] if end == pair[1] else pair[1]
        touched += [start] * (part.start == 0) + [end] * (part.stop == size)
    return frozenset(touched)
