"""A short training with something kept apart: what the long one can be expected to do."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from slicekit.data.slices import CachedScan
from slicekit.labels import IGNORE_ID, LabelSet
from slicekit.networks import ALPNet
from slicekit.recipes import Recipe
from slicekit.runtime import Runtime
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
        names = ", ".join(self.judged_on[:_LISTED]) + (
            f" and {len(self.judged_on) - _LISTED} more" if len(self.judged_on) > _LISTED else ""
        )
        where = (
            f"slices of {names} that it had not seen; another patient's will be worse"
            if self.same_scan
            else f"{names}, not seen before"
        )
        return (
            f"after {self.steps} of {self.of_steps} steps: {mean} on {where}. The training proper "
            "goes on longer and learns from all that is drawn"
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

    Where nothing is, the last drawn scan is kept apart; of a single one every other block of drawn
    slices. A few-shot model needs a scan to support another: with one alone nothing can be told.

    Args:
        material: What the training proper learns from.
        recipe: Of the training proper.
        organs: By id, as the labels of ``material`` have them.
        out: Folder of the pilot.
        runtime: Device, precision and threads.
        progress: Told ``(steps done, steps in all)``.

    Returns:
        What was found; ``None`` where there is nothing to judge on.
    """
    most = recipe.training.steps
    steps = max(min(_LEAST_STEPS, most), round(STEPS_SHARE * most))
    training = recipe.training.model_copy(update={"steps": steps, "evaluate_every": steps})
    short = recipe.model_copy(update={"training": training})
    trial = plan_trial(material, short, organs, runtime)
    if trial is None:
        return None
    network = prepare_network(short, out)
    _, scores = train_on(
        trial.material, network, short,
        out=out, runtime=runtime, evaluate=trial.evaluate, progress=progress,
    )  # fmt: skip
    names = tuple(scan.name for scan in trial.judged)
    said = Expectation(steps, most, names, trial.same_scan, scores)
    log.info("%s", said)
    return said


def plan_trial(
    material: Material, recipe: Recipe, organs: LabelSet, runtime: Runtime
) -> Trial | None:
    """Decide what is kept apart."""
    if material.held_out:
        return Trial(material, material.held_out, False, None)
    if recipe.role == "fewshot":
        return _plan_fewshot(material, recipe, organs, runtime)
    *kept, judged = material.labelled
    same = not kept
    if same:
        kept, judged = [hide_blocks(judged, odd=True)], hide_blocks(judged, odd=False)
        if not (kept[0].slices_of and judged.slices_of):
            return None
    apart = replace(material, labelled=tuple(kept), held_out=(judged,))
    return Trial(apart, (judged,), same, None)


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
