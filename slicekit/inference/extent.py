"""Few-shot segmentation where the organ's extent in the query is known: the published protocol.

It is for comparison with the literature: who knows where an organ begins and ends knows much of it.

Reference: Roy et al. 2020, section 4; Ouyang et al. 2020, section 4.1.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from slicekit.errors import LabelError
from slicekit.inference.fewshot import Found, expect_shown
from slicekit.inference.protocol import middles_of, name_by_protocol
from slicekit.inference.resample import decide_on
from slicekit.inference.shots import FewShot, Sheets
from slicekit.inference.stopwatch import Stopwatch
from slicekit.labels import LabelSet
from slicekit.volume import Volume, expect_same_grid


def find_in_extents(
    query: Volume,
    support: Volume,
    drawn: Volume,
    names: LabelSet,
    model: FewShot,
    *,
    truth: Volume,
    query_name: str = "the query",
    support_name: str = "the support",
) -> Found:
    """Find organs by the published protocol: each between its first and its last true slice.

    The extent is cut in three chunks; every chunk is named from the middle slice of the support's.
    Where organs overlap, the one that comes last in ``names`` stands.

    Args:
        query: The scan in which organs are wanted.
        support: Another patient's scan.
        drawn: ``(z, y, x)`` ids on the support's grid.
        names: Which of them are wanted.
        model: From ``load_fewshot``; nothing is carried.
        truth: ``(z, y, x)`` ids on the query's grid. Only the first and the last slice of every
            organ are looked at.
        query_name: How messages call the query.
        support_name: How messages call the support.

    Raises:
        GeometryError: Labels lie on another grid than their scan.
        LabelError: The support does not show a wanted organ, or the truth shows none of them.
    """
    expect_same_grid("what was drawn", drawn, support, like_name="the support")
    expect_same_grid("the true labels", truth, query, like_name="the query")
    expect_shown(drawn.array, names, source=support_name)
    held = set(np.unique(truth.array).tolist())
    there = {name: number for name, number in names.ids.items() if number in held}
    if not there:
        raise LabelError(
            f"the labels that tell the extent show none of {', '.join(names.names)}; give those of "
            f"{query_name}"
        )
    watch, recipe = Stopwatch(), model.recipe.input
    with watch("prepare"):
        theirs = Sheets.of(support, recipe, name=support_name)
        ours = Sheets.of(query, recipe, name=query_name)
    labels = np.zeros(query.shape, dtype=np.uint8 if max(names.ids.values()) < 256 else np.uint16)
    supports = {}
    with watch("look"):
        for name, number in there.items():
            mask = drawn.array == number
            supports[name] = tuple(sorted(set(middles_of(mask))))
            _name(labels, number, mask, truth.array == number, theirs, ours, model)
    missing = tuple(name for name, number in names.ids.items() if not (labels == number).any())
    seconds = {stage: round(value, 3) for stage, value in watch.seconds.items()}
    return Found(query.with_array(labels), names, ours.image, supports, (), missing, seconds)


def _name(
    labels: NDArray[np.uint8] | NDArray[np.uint16],
    number: int,
    drawn: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    support: Sheets,
    query: Sheets,
    model: FewShot,
) -> None:
    """Write one organ into the labels, on the query's own grid."""
    held = np.flatnonzero(truth.any(axis=(1, 2)))
    extent = range(int(held[0]), int(held[-1]) + 1)
    masks = np.stack([support.mask(plane).numpy() > 0.5 for plane in drawn])
    named = name_by_protocol(
        model.network, support.windows, masks, query.windows, extent, runtime=model.runtime
    )
    decide = decide_on(query.grid)
    for z, plane in zip(extent, named, strict=True):
        odds = torch.from_numpy(np.stack([~plane, plane]).astype(np.float32))
        labels[z][decide(odds).chosen == 1] = number
