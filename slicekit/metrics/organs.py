"""Scores of the organs of a label map, and their means over cases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from slicekit.errors import LabelError
from slicekit.labels import IGNORE_ID, LabelSet
from slicekit.metrics.masks import Mask, Surfaces, dice
from slicekit.volume import Volume, expect_same_grid

Status = Literal["scored", "missed", "invented", "absent", "not evaluated"]

DEFAULT_TOLERANCE_MM = 2.0
"""Tolerance of organs for which FLARE22 names none."""
FLARE22_TOLERANCES_MM: Mapping[str, float] = {
    "liver": 5.0,
    "right_kidney": 3.0,
    "left_kidney": 3.0,
    "spleen": 3.0,
    "pancreas": 5.0,
    "aorta": 2.0,
    "inferior_vena_cava": 2.0,
    "right_adrenal_gland": 2.0,
    "left_adrenal_gland": 2.0,
    "gallbladder": 2.0,
    "esophagus": 3.0,
    "stomach": 5.0,
    "duodenum": 7.0,
}
"""Tolerances of the FLARE22 challenge's NSD."""


@dataclass(frozen=True)
class OrganScore:
    """How well one organ of one case was found."""

    organ: str
    dsc: float
    """Dice similarity coefficient, in ``[0, 1]``."""
    nsd: float
    """Normalised surface Dice at ``tolerance_mm``, in ``[0, 1]``."""
    hd95_mm: float
    """95th percentile of the surface distances; NaN where a mask is empty."""
    tolerance_mm: float
    """Distance that counts as agreement in ``nsd``."""
    status: Status
    """``missed``: only the truth has it; ``invented``: only the prediction; ``absent``: neither."""


@dataclass(frozen=True)
class OrganMean:
    """Means over the cases in which an organ was evaluated."""

    organ: str
    dsc: float
    nsd: float
    hd95_mm: float
    """Mean over the cases in which both masks have a surface."""
    tolerance_mm: float
    cases: int
    """Cases in which the organ was evaluated."""


def tolerance_of(organ: str) -> float:
    """Return FLARE22's tolerance of an organ in mm; ``DEFAULT_TOLERANCE_MM`` where it has none.

    The order of the words of a name does not matter.

    Example:
        >>> tolerance_of("kidney_right"), tolerance_of("colon")
        (3.0, 2.0)
    """
    known = {frozenset(name.split("_")): mm for name, mm in FLARE22_TOLERANCES_MM.items()}
    words = organ.lower().replace("-", "_").replace(" ", "_").split("_")
    return known.get(frozenset(words), DEFAULT_TOLERANCE_MM)


def evaluate(
    pred: Volume,
    truth: Volume,
    labels: LabelSet,
    *,
    organs: Iterable[str] | None = None,
    annotated: Iterable[str] | None = None,
    tolerances_mm: Mapping[str, float] | None = None,
) -> list[OrganScore]:
    """Compare a predicted label map with the true one, organ by organ.

    Args:
        pred: ``(z, y, x)`` whole numbers. The prediction.
        truth: ``(z, y, x)`` whole numbers on the same grid. Voxels of the ignore id (255,
            unless an organ has it) are passed over in both.
        labels: Names of the ids in both.
        organs: Organs to report; all of ``labels`` by default.
        annotated: Organs that somebody drew in ``truth``; all by default. The others are
            "not evaluated" and score NaN.
        tolerances_mm: NSD tolerances that differ from ``tolerance_of``, by organ.

    Returns:
        One score an organ, in the order of ``organs``.

    Raises:
        GeometryError: The grids differ.
        LabelError: An organ is unknown, or a label map does not hold whole numbers.
    """
    expect_same_grid("the prediction", pred, truth, like_name="the truth")
    _expect_whole_numbers("the prediction", pred.array)
    _expect_whole_numbers("the truth", truth.array)
    names = list(labels.names if organs is None else organs)
    drawn = set(labels.names if annotated is None else labels.subset(annotated).names)
    tolerances = {name: tolerance_of(name) for name in names} | dict(tolerances_mm or {})
    ids = [labels.id_of(name) for name in names]
    guessed, true = pred.array, truth.array
    if IGNORE_ID not in labels.ids.values() and (true == IGNORE_ID).any():
        unknown = true == IGNORE_ID
        guessed, true = np.where(unknown, 0, guessed), np.where(unknown, 0, true)
    found_guess, found_truth = _find(guessed, max(ids, default=1)), _find(true, max(ids, default=1))
    scores = []
    for name, number in zip(names, ids, strict=True):
        if name not in drawn:
            scores.append(_score(name, tolerances[name], "not evaluated"))
            continue
        box = _hull(found_truth[number - 1], found_guess[number - 1])
        if box is None:
            scores.append(_score(name, tolerances[name], "absent", dsc=1.0, nsd=1.0))
            continue
        scores.append(
            _compare(name, true[box] == number, guessed[box] == number, truth, tolerances[name])
        )
    return scores


def summarise(cases: Iterable[Sequence[OrganScore]]) -> list[OrganMean]:
    """Average scores over cases, organ by organ.

    Args:
        cases: The scores of each case, as ``evaluate`` returns them.

    Returns:
        One mean an organ, in order of first appearance. "Not evaluated" scores and NaN
        distances are passed over; an organ without any has NaN means and 0 cases.
    """
    by_organ: dict[str, list[OrganScore]] = {}
    for scores in cases:
        for score in scores:
            by_organ.setdefault(score.organ, []).append(score)
    means = []
    for organ, scores in by_organ.items():
        counted = [score for score in scores if score.status != "not evaluated"]
        means.append(
            OrganMean(
                organ,
                dsc=mean_of(score.dsc for score in counted),
                nsd=mean_of(score.nsd for score in counted),
                hd95_mm=mean_of(score.hd95_mm for score in counted),
                tolerance_mm=scores[0].tolerance_mm,
                cases=len(counted),
            )
        )
    return means


def mean_of(values: Iterable[float]) -> float:
    """Average the numbers that are not NaN; NaN where there are none.

    Example:
        >>> mean_of([1.0, float("nan"), 2.0])
        1.5
    """
    finite = [value for value in values if not np.isnan(value)]
    return float(np.mean(finite)) if finite else float("nan")


def _compare(organ: str, truth: Mask, guess: Mask, grid: Volume, tolerance_mm: float) -> OrganScore:
    """Score one organ on the box that holds both masks, at least one of which has voxels."""
    if not guess.any():
        return _score(organ, tolerance_mm, "missed", dsc=0.0, nsd=0.0)
    if not truth.any():
        return _score(organ, tolerance_mm, "invented", dsc=0.0, nsd=0.0)
    surfaces = Surfaces.measure(truth, guess, spacing_mm=grid.spacing_mm)
    return OrganScore(
        organ,
        dsc=dice(truth, guess),
        nsd=surfaces.dice(tolerance_mm=tolerance_mm),
        hd95_mm=surfaces.hausdorff95(),
        tolerance_mm=tolerance_mm,
        status="scored",
    )


def _score(
    organ: str,
    tolerance_mm: float,
    status: Status,
    *,
    dsc: float = float("nan"),
    nsd: float = float("nan"),
) -> OrganScore:
    return OrganScore(organ, dsc, nsd, float("nan"), tolerance_mm, status)


def _find(array: NDArray[Any], largest: int) -> list[tuple[slice, ...] | None]:
    """Find the box of every id up to ``largest``; ``None`` where an id has no voxels."""
    # find_objects takes no bool, and nothing wider than 32 bits on every platform
    wide = array.dtype == bool or array.dtype.itemsize > 4
    whole: NDArray[np.int32] = array.astype(np.int32) if wide else array
    return list(ndimage.find_objects(whole, max_label=largest))


def _hull(*boxes: tuple[slice, ...] | None) -> tuple[slice, ...] | None:
    """Join boxes into the smallest one that holds them all."""
    known = [box for box in boxes if box is not None]
    if not known:
        return None
    return tuple(
        slice(min(part.start for part in parts), max(part.stop for part in parts))
        for parts in zip(*known, strict=True)
    )


def _expect_whole_numbers(name: str, array: NDArray[Any]) -> None:
    if array.dtype.kind not in "iub":
        raise LabelError(f"{name} must hold whole numbers, got {array.dtype}; round it first")
