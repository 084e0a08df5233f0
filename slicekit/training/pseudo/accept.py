"""What is left of a predicted case once some of its organs were refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slicekit.labels import IGNORE_ID, LabelSet
from slicekit.training.pseudo.judge import Judgement
from slicekit.training.pseudo.overlap import expect_ids


class Accepted(NamedTuple):
    """Pseudo labels to be learned from."""

    labels: NDArray[Any]
    """``(z, y, x)`` ids of accepted organs, 0 elsewhere; of the same type as the prediction."""
    labels_present: tuple[str, ...]
    """Organs that the labels tell the truth about, in the order of their ids; accepted as absent
    ones too. None: the case is as good as unlabelled."""


def accepted_labels(
    labels: NDArray[Any],  # (z, y, x) ids
    judgements: Mapping[str, Judgement],
    names: LabelSet,
) -> Accepted:
    """Keep the accepted organs of a case; of the others the labels then say nothing.

    Voxels of a refused organ become 0, not the ignore id, and the organ is left out of
    ``labels_present``. So an ``annotations.json`` can say all of it, and a loss for partial labels
    does what is meant: where an organ is not annotated, 0 stands for "background or one of those
    that nobody drew". The ignore id would take away more than was refused: that such a voxel is
    no liver is still believed. It also would need an id of its own in ``dataset.json``. The price:
    where a refused organ has spread into an accepted one, those voxels teach "not the accepted
    one".

    Args:
        labels: ``(z, y, x)`` predicted ids; not changed. Voxels with the ignore id (255, unless an
            organ has it) stay unknown.
        judgements: What ``judge`` said of every organ. An organ without judgement is unknown.
        names: All organs that there may be.

    Raises:
        ShapeError: The labels have not three axes.
        LabelError: They are no whole numbers from 0, or a judgement is of an unknown organ.
    """
    expect_ids("labels", labels)
    taken = {names.id_of(organ) for organ, one in judgements.items() if one.accepted}
    kept = sorted(taken if IGNORE_ID in names.ids.values() else taken | {IGNORE_ID})
    thinned = labels.copy()
    for plane in thinned:  # slice by slice, so that no wide copy is made
        plane[~np.isin(plane, kept)] = 0
    present = tuple(name for name, number in names.ids.items() if number in taken)
    return Accepted(thinned, present)
