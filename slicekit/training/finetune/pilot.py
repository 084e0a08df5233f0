"""A short training with something kept apart: what the long one can be expected to do."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from slicekit.data.slices import CachedScan
from slicekit.errors import DatasetError, DataWarning
from slicekit.labels import IGNORE_ID, LabelSet
from slicekit.networks import ALPNet
from slicekit.recipes import Recipe
from slicekit.runtime import Runtime
from slicekit.training.evaluation import score_propagator, score_reference
from slicekit.training.fewshot import protocol_dice
from slicekit.training.loop import Evaluation
from slicekit.training.material import Material
from slicekit.training.run import prepare_network, train_on

log = logging.getLogger(__name__)

STEPS_SHARE = 0.2
"""Steps of the pilot, as a share of those of the training."""
_LEAST_STEPS = 20
_LISTED = 3


@dataclass(frozen=True)
class Expectation:
    """How well a short training did on what it had not seen."""

    steps: int
    of_steps: int
    judged_on: tuple[str, ...]
    """Names of the scans."""
    same_scan: bool
    """Whether other slices of it were learnt from: then it says little about other patients."""
    dsc: dict[str, float]
    """By organ, and ``"dsc"``, the mean; of a propagator ``"copy"`` too, its control."""

    def __str__(self) -> str:
        organs = ", ".join(f"{n} {v:.2f}" for n, v in self.dsc.items() if n not in ("dsc", "copy"))
        mean = f"DSC {self.dsc['dsc']:.2f}" + (f" ({organs})" if organs else "")
        if "copy" in self.dsc:
            mean += f", where the drawn mask left as it is has {self.dsc['copy']:.2f},"
        names = ", ".join(self.judged_on[:_LISTED]) + (
            f" and {len(self.judged_on) - _LISTED} more" if len(self.judged_on) > _LISTED else ""
        )
        where = (
            f"slices of {names} that it had not seen; another patient's will be worse"
            if self.same_scan
            else f"{names}, not seen before"
        )
        longer = "goes on longer and " if self.steps < self.of_steps else ""
        return (
            f"after {self.steps} of {self.of_steps} steps: {mean} on {where}. The training proper "
            f"{longer}learns from all that is drawn"
        )


class Trial(NamedTuple):
    """What a pilot learns from, and how it is judged."""

    material: Material
    judged: tuple[CachedScan, ...]
    same_scan: bool
    evaluate: Evaluation | None
    """As is usual for its role on ``material.held_out`` for ``None``."""


def fly_pilot(
    material: Material,
    recipe: Recipe,
    organs: LabelSet,
    *,
    out: Path,
    runtime: Runtime,
    progress: Callable[[int, int], None] | None = None,
) -> Expectation | None:
    """Train for a fifth of the steps and score what was kept apart: what is held out anyway.

    Where nothing is, a drawn scan is kept apart whose organs the others teach, the last one of
    those; where there is none, every other block of drawn slices. A few-shot model needs a scan to
    support another: with one alone nothing can be told.

    Args:
        material: What the training proper learns from.
        recipe: Of the training proper.
        organs: By id, as the labels of ``material`` have them.
        out: Folder of the pilot.
        runtime: Device, precision and threads.
        progress: Told ``(steps done, steps in all)``.

    Returns:
        What was found; ``None`` where there is nothing to judge on.

    Warns:
        DataWarning: There is not; the training proper can go on all the same.
    """
    most = recipe.training.steps
    steps = max(min(_LEAST_STEPS, most), round(STEPS_SHARE * most))
    training = recipe.training.model_copy(update={"steps": steps, "evaluate_every": steps})
    short = recipe.model_copy(update={"training": training})
    trial = plan_trial(material, short, organs, runtime)
    if trial is None:
        _tell_nothing("too little is drawn to keep some of it apart")
        return None
    try:
        _, scores = train_on(
            trial.material, prepare_network(short, out), short,
            out=out, runtime=runtime, evaluate=trial.evaluate, progress=progress,
        )  # fmt: skip
    except DatasetError as fault:  # of a part of the scans; all of them may do
        _tell_nothing(str(fault))
        return None
    if not math.isfinite(scores["dsc"]):
        _tell_nothing("no organ is left on what was kept apart")
        return None
    names = tuple(scan.name for scan in trial.judged)
    said = Expectation(steps, most, names, trial.same_scan, scores)
    log.info("%s", said)
    return said


def _tell_nothing(why: str) -> None:
    warnings.warn(
        f"nothing tells what to expect of the new model: {why}; draw the organ on more slices, or "
        "on another scan",
        DataWarning,
        stacklevel=3,
    )


def plan_trial(
    material: Material, recipe: Recipe, organs: LabelSet, runtime: Runtime
) -> Trial | None:
    """Decide what is kept apart."""
    if material.held_out:
        return Trial(material, material.held_out, False, None)
    if recipe.role == "fewshot":
        return _plan_fewshot(material, recipe, organs, runtime)
    kept, judged = _scan_apart(material.labelled) or _slices_apart(material.labelled)
    if not judged:
        return None
    apart = replace(material, labelled=kept, held_out=judged)
    same = {scan.name for scan in kept} >= {scan.name for scan in judged}
    score: Evaluation | None = None
    if recipe.role == "reference":  # every slice, as only some of them may be drawn
        score = partial(score_reference, scans=judged, recipe=recipe, runtime=runtime, every=1)
    elif recipe.training.tracks is None:
        score = partial(score_propagator, scans=judged, recipe=recipe, runtime=runtime, every=1)
    return Trial(apart, judged, same, score)


_Parted = tuple[tuple[CachedScan, ...], tuple[CachedScan, ...]]
"""What is kept to learn from, and what is judged on."""


def _scan_apart(scans: Sequence[CachedScan]) -> _Parted | None:
    """Keep the last scan apart whose organs are all drawn on others too."""
    for n in reversed(range(len(scans))):
        kept, judged = (*scans[:n], *scans[n + 1 :]), scans[n]
        if judged.slices_of and judged.slices_of.keys() <= _organs(kept):
            return kept, (judged,)
    return None


def _slices_apart(scans: Sequence[CachedScan]) -> _Parted:
    """Keep slices of every scan apart; nothing is judged on where no organ is left for both."""
    kept = tuple(hide_blocks(scan, odd=True) for scan in scans)
    judged = tuple(hide_blocks(scan, odd=False) for scan in scans)
    if not _organs(kept) & _organs(judged):
        return kept, ()
    return kept, tuple(scan for scan in judged if scan.slices_of)


def _organs(scans: Sequence[CachedScan]) -> set[int]:
    return set().union(*(scan.slices_of for scan in scans))


def _plan_fewshot(
    material: Material, recipe: Recipe, organs: LabelSet, runtime: Runtime
) -> Trial | None:
    """Find the organs of the last drawn scan by the others'."""
    drawn = [scan for scan in material.free if scan.slices_of]
    if len(drawn) < 2:
        return None
    *supports, judged = drawn
    pairs = {
        number: next((scan for scan in supports if number in scan.slices_of), None)
        for number in judged.slices_of
    }

    def evaluate(network: ALPNet) -> dict[str, float]:
        dice = partial(protocol_dice, network, recipe=recipe, runtime=runtime)
        found = {
            organs.names_by_id[number]: dice(support, judged, number)
            for number, support in pairs.items()
            if support is not None
        }
        return {"dsc": float(np.mean(list(found.values()))), **found}

    if not any(pairs.values()):
        return None
    kept = tuple(scan for scan in material.free if scan is not judged)
    return Trial(replace(material, free=kept), (judged,), False, evaluate)


def hide_blocks(scan: CachedScan, *, odd: bool) -> CachedScan:
    """Forget what was drawn on every other of four blocks of drawn slices."""
    if scan.labels is None:
        return scan
    drawn = np.flatnonzero(((scan.labels > 0) & (scan.labels < IGNORE_ID)).any(axis=(1, 2)))
    blocks = np.arange(len(drawn)) // max(1, len(drawn) // 4)
    labels = np.array(scan.labels)
    labels[drawn[blocks % 2 == int(odd)]] = IGNORE_ID
    return replace(scan, labels=labels)
