"""How doubtful labels are that were given: from the uncertainty map that lies beside them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slicekit.errors import SlicekitError
from slicekit.io import read_volume
from slicekit.labels import LabelSet
from slicekit.report.batch import outputs_beside
from slicekit.volume import Volume, expect_same_grid

log = logging.getLogger(__name__)


class NextSlice(NamedTuple):
    """A slice worth drawing."""

    z: int
    organs: tuple[str, ...]
    reason: str


def read_doubt(
    given: Path | None, scan: Volume, labels: NDArray[Any]
) -> dict[int, NDArray[np.float32]]:
    """Return how doubtful every organ is in every slice, where a map beside the labels tells.

    An organ's doubt in a slice is the map's mean over the organ's voxels there, as 1 - `certainty`
    of the statistics is over the whole scan.

    Args:
        given: The labels' file; its map is ``NAME_uncertainty.nii.gz``, of
            ``slicekit segment --uncertainty``.
        scan: The scan.
        labels: ``(z, y, x)`` ids.

    Returns:
        Id to ``(z,)`` doubt, 0 to 1; empty without a map, and where it is not one of this scan,
        which is logged.
    """
    path = None if given is None else outputs_beside(given).uncertainty
    if path is None or not path.is_file():
        return {}
    try:
        unsure = read_volume(path)
        expect_same_grid(path.name, unsure, scan, like_name="the scan")
    except SlicekitError as fault:
        log.warning("doubt is not shown: %s", fault)
        return {}
    most = int(labels.max()) + 1
    total, voxels = np.zeros((2, len(labels), most))
    for z, plane in enumerate(labels):
        ids = plane.ravel().astype(np.intp)
        values = np.nan_to_num(unsure.array[z].ravel()).clip(0, 1)
        total[z] = np.bincount(ids, weights=values, minlength=most)
        voxels[z] = np.bincount(ids, minlength=most)
    doubt = (total / np.maximum(voxels, 1)).astype(np.float32)
    return {int(n): doubt[:, n] for n in np.flatnonzero(voxels.any(axis=0)) if n}


def most_doubtful(
    doubt: Mapping[int, NDArray[np.float32]],
    voxels: Mapping[int, NDArray[np.int64]],
    names: LabelSet,
    *,
    count: int,
) -> tuple[NextSlice, ...]:
    """Choose the slices to look at first: of every organ the one with most doubtful voxels.

    What is doubtful counts as a share of its organ, so that small organs are not forgotten.

    Args:
        doubt: Id to ``(z,)`` doubt.
        voxels: Id to ``(z,)`` voxels.
        names: Organs and their ids.
        count: How many slices at most.
    """
    found: dict[int, list[tuple[float, int]]] = {}
    for n in set(doubt) & set(voxels) & set(names.names_by_id):
        wrong = doubt[n] * voxels[n]
        z = int(wrong.argmax())
        if wrong[z] > 0:
            found.setdefault(z, []).append((float(wrong[z] / voxels[n].sum()), n))
    ranked = sorted(found.items(), key=lambda entry: -sum(share for share, _ in entry[1]))
    chosen = []
    for z, organs in ranked[:count]:
        ids = [n for _, n in sorted(organs, reverse=True)]
        reason = f"{names.names_by_id[ids[0]]}: doubt {doubt[ids[0]][z]:.2f} in what was given"
        chosen.append(NextSlice(z, tuple(names.names_by_id[n] for n in ids), reason))
    return tuple(chosen)
