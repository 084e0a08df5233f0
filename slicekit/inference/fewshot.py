"""Few-shot segmentation of a whole scan: an organ drawn in one patient is found in another.

Nobody says where the organ begins and ends in the query. The few-shot network looks at every
slice, the slices that it can be trusted on become guides, and the propagator carries them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from slicekit.data.intensity import as_expected
from slicekit.errors import LabelError
from slicekit.inference.answers import Answers, Shown, SupportSettings, ask, learn
from slicekit.inference.fewshot_guides import Evidence, GuideSettings, choose_guides
from slicekit.inference.frames import follower_of
from slicekit.inference.guides import carried
from slicekit.inference.model import Carrier
from slicekit.inference.organwise import Opinions, OrganGuide, carry_organs
from slicekit.inference.resample import decide_on
from slicekit.inference.segmentation import Progress
from slicekit.inference.shots import FewShot, Sheets
from slicekit.inference.stopwatch import Stopwatch
from slicekit.labels import LabelSet
from slicekit.volume import Volume, expect_same_grid

log = logging.getLogger(__name__)

_LEAST_PIECE = 0.3
"""Pieces of a guide smaller than this share of the largest are left out."""


class ChosenGuide(NamedTuple):
    """A slice of the query that became a guide of one organ."""

    z: int
    organ: str
    reason: str


@dataclass(frozen=True, eq=False)
class Found:
    """Labels of a query, and how they came about."""

    labels: Volume
    """``(z, y, x)`` on the query's own grid; ids are the support's."""
    names: LabelSet
    """What the ids mean."""
    image: Volume
    """The query as the network takes it."""
    supports: Mapping[str, tuple[int, ...]]
    """Organ to the slices of the support that were used."""
    guides: tuple[ChosenGuide, ...]
    """Slices that were trusted, in rising order."""
    missing: tuple[str, ...]
    """Organs of which nothing was found."""
    seconds: dict[str, float]
    """Time of each stage."""


@dataclass(frozen=True, eq=False)
class _Look:
    """One organ in the query: its number in this run counts from 1."""

    number: int
    name: str
    answers: Answers
    run: list[Evidence]
    guides: list[Evidence]


def find_organs(
    query: Volume,
    support: Volume,
    drawn: Volume,
    names: LabelSet,
    model: FewShot,
    *,
    settings: SupportSettings = SupportSettings(),
    guide_settings: GuideSettings = GuideSettings(),
    progress: Progress | None = None,
    query_name: str = "the query",
    support_name: str = "the support",
) -> Found:
    """Find in one scan what was drawn in another.

    Memory beside both scans and the labels: the features of the support's slices, 1 MB each, 8 KB
    an organ and slice of the query, and what ``carry_organs`` takes.

    Args:
        query: The scan in which organs are wanted.
        support: A scan of the same kind, of anybody.
        drawn: ``(z, y, x)`` ids on the support's grid, on some slices or on all.
        names: Which of them are wanted.
        model: From ``load_fewshot``; without its carrier every slice is named by itself.
        settings: What of the support is used.
        guide_settings: How guides are chosen.
        progress: Told the stage, slices or gaps done, and in all.
        query_name: How messages call the query.
        support_name: How messages call the support.

    Raises:
        GeometryError: What was drawn lies on another grid than the support.
        LabelError: The support does not show a wanted organ; the message lists those it shows.
    """
    expect_same_grid("what was drawn", drawn, support, like_name="the support")
    expect_shown(drawn.array, names, source=support_name)
    watch, recipe = Stopwatch(), model.recipe.input
    with watch("prepare"):
        theirs = Sheets.of(support, recipe, name=support_name)
        ours = Sheets.of(query, recipe, name=query_name)
    with watch("support"):
        organs = _learn(model, theirs, drawn, names, ours, settings, progress)
    depth = query.shape[0]
    with watch("look"):
        said = ask(
            model, ours, organs, settings=settings, guide_settings=guide_settings,
            told=lambda done: None if progress is None else progress("look", done, depth),
        )  # fmt: skip
    looks = _looks(names, said, slice_mm=query.spacing_mm[0], settings=guide_settings)
    with watch("propagate"):
        if model.carrier is None:
            found = _name_slices(looks, ours)
        else:
            image = as_expected(query, model.carrier.recipe.input, name=query_name)
            found = _carry(looks, ours, image, model.carrier, model, progress)
    return Found(
        query.with_array(_renumbered(found, names)),
        names,
        ours.image,
        {name: shown.slices for name, shown in zip(names.names, organs, strict=True)},
        tuple(sorted(ChosenGuide(t.z, one.name, t.reason) for one in looks for t in one.guides)),
        tuple(one.name for one in looks if not (found == one.number).any()),
        {stage: round(value, 3) for stage, value in watch.seconds.items()},
    )


def _looks(
    names: LabelSet,
    said: Sequence[tuple[Answers, list[Evidence]]],
    *,
    slice_mm: float,
    settings: GuideSettings,
) -> list[_Look]:
    """Choose every organ's guides."""
    return [
        _Look(number, name, answers, run, choose_guides(run, slice_mm=slice_mm, settings=settings))
        for number, (name, (answers, run)) in enumerate(zip(names.names, said, strict=True), 1)
    ]


def expect_shown(drawn: NDArray[Any], names: LabelSet, *, source: str) -> None:
    """Refuse organs that a support does not show.

    Raises:
        LabelError: It shows none, or not all of them; the message lists those it shows.
    """
    held = {int(number) for number in np.unique(drawn)} - {0}
    if not held:
        raise LabelError(f"{source}: nothing is drawn; draw an organ on at least one slice")
    lacking = [name for name, number in names.ids.items() if number not in held]
    if lacking:
        there = [name for name, number in names.ids.items() if number in held]
        told = ", ".join(there) if there else f"only the ids {sorted(held)}"
        raise LabelError(
            f"{source} does not show {', '.join(lacking)}, it shows {told}; choose another "
            "support, or among these"
        )


def _learn(
    model: FewShot,
    support: Sheets,
    drawn: Volume,
    names: LabelSet,
    query: Sheets,
    settings: SupportSettings,
    progress: Progress | None,
) -> list[Shown]:
    organs: list[Shown] = []
    seen: dict[int, Tensor] = {}
    for done, number in enumerate(names.ids.values(), start=1):
        organs.append(learn(model, support, drawn.array == number, query, settings, seen=seen))
        if progress is not None:
            progress("support", done, len(names))
    return organs


def _stack(looks: Sequence[_Look], z: int) -> Tensor:
    """Return probabilities ``(1 + organs, y, x)`` of a slice, background first; sum 1 or more."""
    planes = torch.stack([one.answers.fine(z)[0] for one in looks])
    return torch.cat([1 - planes.amax(dim=0, keepdim=True), planes])


def _decided(looks: Sequence[_Look], z: int, sheets: Sheets) -> NDArray[np.uint16]:
    """Return ``(y, x)`` numbers of organs on the query's own grid, without specks and holes."""
    chosen = decide_on(sheets.grid)(_stack(looks, z)).chosen
    labels = np.array([0, *(one.number for one in looks)], dtype=np.uint16)[chosen]
    organs = frozenset(one.number for one in looks)
    kept = np.asarray(carried(labels, organs, least_share=_LEAST_PIECE))
    for number in sorted(organs):
        kept[ndimage.binary_fill_holes(kept == number) & (kept == 0)] = number
    return kept


def _name_slices(looks: Sequence[_Look], sheets: Sheets) -> NDArray[Any]:
    """Name every slice by itself, each organ where it can be trusted."""
    labels = np.zeros(sheets.image.shape, dtype=np.uint16)
    for z in sorted({one.z for look in looks for one in look.run}):
        labels[z] = _decided([o for o in looks if z in {t.z for t in o.run}], z, sheets)
    return labels


def _carry(
    looks: Sequence[_Look],
    sheets: Sheets,
    image: Volume,
    carrier: Carrier,
    model: FewShot,
    progress: Progress | None,
) -> NDArray[Any]:
    """Carry the trusted slices through the scan, every organ in a region of its own.

    ``image`` is the query in the carrier's unit.
    """
    guides = []
    for z in sorted({one.z for look in looks for one in look.guides}):
        labels = _decided([o for o in looks if z in {t.z for t in o.guides}], z, sheets)
        shown = frozenset(np.unique(labels).tolist()) - {0}
        if shown:
            guides.append(OrganGuide(z, labels, shown))
    log.info("%d guides", len(guides))
    if not guides:
        return np.zeros(image.shape, dtype=np.uint16)
    share = model.recipe.inference.opinion_share
    opinions = _opinions(looks, sheets) if share > 0 and len(looks) < 255 else None
    return carry_organs(
        guides,
        follower_of(image, carrier),
        shape=image.shape,
        opinions=opinions,
        shares=dict.fromkeys(range(1, len(looks) + 1), share),
        told=lambda done, total: None if progress is None else progress("propagate", done, total),
    )


def _opinions(looks: Sequence[_Look], sheets: Sheets) -> Opinions:
    """Keep what the few-shot network says of every slice, each organ where it can be trusted."""
    depth = sheets.image.shape[0]
    opinions = Opinions(depth, sheets.grid)
    trusted = [{one.z for one in look.run} for look in looks]
    for z in range(depth):
        planes = _stack(looks, z)
        for number, zs in enumerate(trusted, start=1):
            if z not in zs:
                planes[number] = 0
        opinions.note(z, planes)
    return opinions


def _renumbered(found: NDArray[Any], names: LabelSet) -> NDArray[Any]:
    """Give the organs of a run, counted from 1, the ids of the support."""
    largest = max(names.ids.values())
    ids = np.array([0, *names.ids.values()], dtype=np.uint8 if largest < 256 else np.uint16)
    return np.asarray(ids[found])
