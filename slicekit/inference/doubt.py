"""How much of a slice a committee doubts, organ by organ, in a few numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, log
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from slicekit.checks import expect_shape
from slicekit.labels import LabelSet

_ROUNDING = 0.01  # float16 softmax over many classes may miss 1 by so much


def most_to_quarrel_about(members: int, classes: int) -> float:
    """Return the largest mutual information of a pixel that a committee can have, in nats.

    It is reached where members share out evenly what each is certain of: so many classes as there
    are members, or all of them. For one member, who contradicts nobody, infinity: a share of it
    is 0.

    Example:
        >>> [round(most_to_quarrel_about(members, 14), 2) for members in (1, 2, 3, 20)]
        [inf, 0.69, 1.1, 2.64]
    """
    return log(min(members, classes)) if members > 1 else inf


@dataclass(frozen=True)
class SliceDoubt:
    """What is doubtful in one slice; in pixels, one that is as doubtful as can be counting 1."""

    case: str
    z: int
    """Number of the slice, as in ``Volume.array``."""
    z_mm: float
    """Where it lies along its scan."""
    entropy_px: Mapping[str, float]
    """Organ to its part of the entropy of the members' mean."""
    disagreement_px: Mapping[str, float]
    """Organ to its part of the information that members have over one another; 0 for one
    member. 1 counts a pixel in which members share out evenly what each is certain of."""
    area_px: Mapping[str, int]
    """Organ to the pixels where it is the most likely class."""
    members: int
    """How many networks were asked."""


def summarise_slice(
    probabilities: NDArray[Any],  # (members, classes, y, x)
    *,
    names: LabelSet,
    case: str,
    z: int,
    z_mm: float,
) -> SliceDoubt:
    """Reduce what a committee says of a slice to three numbers an organ.

    The entropy of a pixel is that of the members' mean. What the members would learn of one
    another (the entropy of their mean less the mean of their entropies, called mutual information
    or BALD) is their disagreement; doubt that all share is no part of it. Each is taken over its
    own largest possible value, as in ``uncertainty``, so a quarrel of two members can count more
    than the entropy it leaves. Both are shared out among the classes by their mean probability: a
    missed organ still gets its part where it was the second choice, and the thousands of pixels
    in which an organ is all but excluded weigh nothing, as they would in a sum of ``-p log p``.

    Args:
        probabilities: ``(members, classes, y, x)`` softmax of every member; class 0 is the
            background, class i the i-th organ of ``names``.
        names: The organs.
        case: Which scan the slice is of.
        z: Its number.
        z_mm: Where it lies; distances to other slices of the scan are taken from this.

    Raises:
        ShapeError: There are other axes or classes, no member or no organ.
        ValueError: The values are no probabilities.

    Example:
        >>> unsure = np.full((1, 2, 1, 3), 0.5)
        >>> doubt = summarise_slice(unsure, names=LabelSet({"liver": 1}), case="a", z=4, z_mm=12.0)
        >>> doubt.entropy_px, doubt.disagreement_px
        ({'liver': 1.5}, {'liver': 0.0})
    """
    classes = len(names) + 1
    members = expect_shape("probabilities", probabilities, f"members {classes} y x")["members"]
    if not members or classes < 2:
        expect_shape("probabilities", probabilities, "1 2 y x")  # tells what is wanted at least
    mean = probabilities.mean(axis=0, dtype=np.float32)
    _expect_probabilities(mean)
    entropy = entr(mean).sum(axis=0)
    alone = np.mean([entr(one.astype(np.float32)).sum(axis=0) for one in probabilities], axis=0)
    apart = np.maximum(entropy - alone, 0.0) / most_to_quarrel_about(members, classes)
    shares = mean[1:].reshape(classes - 1, -1)
    areas = np.bincount(mean.argmax(axis=0).ravel(), minlength=classes)[1:]
    return SliceDoubt(
        case=case,
        z=z,
        z_mm=z_mm,
        entropy_px=_by_name(names, shares @ entropy.ravel() / log(classes)),
        disagreement_px=_by_name(names, shares @ apart.ravel()),
        area_px={name: int(area) for name, area in zip(names.names, areas, strict=True)},
        members=members,
    )


def _expect_probabilities(mean: NDArray[np.float32]) -> None:
    total = mean.sum(axis=0)
    if not (float(mean.min()) >= 0 and float(np.abs(total - 1).max()) <= _ROUNDING):  # NaN too
        raise ValueError(
            "probabilities must lie in [0, 1] and sum to 1 over the classes, got sums from "
            f"{float(total.min()):g} to {float(total.max()):g}; take the softmax of logits first"
        )


def _by_name(names: LabelSet, values: NDArray[Any]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names.names, values, strict=True)}
