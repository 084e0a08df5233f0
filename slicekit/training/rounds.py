"""Training in rounds: train, label what has no labels, choose, and go on with what was accepted.

Reference: Pham et al. (FLARE22), Gao et al. (FLARE22): pseudo labels of a first model are chosen
and learnt from. Here organ by organ: what was refused is unknown, not background.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from slicekit.checkpoint import load_weights, save_weights
from slicekit.data.cases import Dataset, Groups, find_cases
from slicekit.errors import RecipeError
from slicekit.inference.model import Carrier, load_model, load_propagator
from slicekit.recipes import Recipe, RoundsRecipe, expect_same_view
from slicekit.runtime import Runtime
from slicekit.training.pseudo.folder import HELD_OUT, TRAIN, UNLABELLED
from slicekit.training.pseudo.groups import choose_groups
from slicekit.training.pseudo.labelling import PseudoDataset, label_dataset
from slicekit.training.pseudo.needs import Helpers, choose_rules
from slicekit.training.pseudo.rules import Rule, kind_of, parse_rules
from slicekit.training.run import train

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Told the stage, what is done and what there is in all."""


def train_in_rounds(
    recipe: Recipe,
    *,
    data: str | Path,
    out: str | Path,
    runtime: Runtime,
    unlabelled: Sequence[str | Path] = (),
    progress: Progress = lambda stage, done, total: None,
    labelled: Callable[[PseudoDataset], object] = lambda made: None,
) -> Path:
    """Train, label, choose and fine-tune, as often as ``training.rounds.count`` says.

    Every round labels the same scans anew; true labels stay as they are. A run that was
    interrupted goes on where it stood; a round whose weights are there is done, without a state
    too.

    Args:
        recipe: A reference or a volumetric model; ``training.rounds`` says how.
        data: An nnU-Net raw folder with scans without labels, or with a group that is used so.
        out: Folder of the run: ``round-1``, ``round-2``, ... and the weights of the last round. A
            propagator of your own lies there, under the name by which the recipe calls it.
        runtime: Device, precision and threads.
        unlabelled: More scans without labels. They are learnt from as in one round, not labelled.
        progress: Told about every step and every scan.
        labelled: Told about the pseudo labels of every round, to report them.

    Returns:
        ``out/NAME.safetensors``, the averaged weights of the last round.

    Raises:
        DatasetError, RecipeError, WriteError: As ``train`` and ``label_dataset`` say.
        Interrupted: A signal came; the state was saved first.
    """
    folder, settings = Path(out), recipe.training.rounds
    plan = _plan(recipe, Path(data), folder, runtime)
    weights, taught, now = Path(), Path(data), _first(recipe)
    for number in range(1, settings.count + 1):
        here = folder / f"round-{number}"
        log.info("round %d of %d, in %s", number, settings.count, here)
        weights = train(
            now, data=taught, out=here, runtime=runtime, unlabelled=unlabelled,
            progress=partial(progress, f"round {number}"),
        )  # fmt: skip
        if number == settings.count:
            break
        earlier = here / "dataset" if number > 1 else None
        taught = folder / f"round-{number + 1}" / "dataset"
        made = label_dataset(
            plan.dataset,
            plan.groups,
            load_model(weights, runtime, propagator=plan.propagator or False),
            taught,
            rules=plan.rules if earlier else plan.first_rules,
            helpers=Helpers(earlier=earlier, per_organ=settings.per_organ),
            progress=progress,
        )
        labelled(made)
        now = _finer(recipe, weights, made, more=bool(unlabelled))
    return _keep(weights, recipe, folder)


class _Plan(NamedTuple):
    """What all rounds have in common."""

    dataset: Dataset
    groups: Groups
    propagator: str | Path | None
    rules: tuple[Rule, ...]
    first_rules: tuple[Rule, ...]
    """Without those that compare with an earlier round, where there is none yet."""


def _plan(recipe: Recipe, data: Path, folder: Path, runtime: Runtime) -> _Plan:
    """Find what the rounds need, and refuse before the first one what a later one would lack."""
    training, written = recipe.training, recipe.training.rounds.rules
    rules = None if written is None else parse_rules(written)
    dataset = find_cases(data)
    groups = choose_groups(
        dataset,
        labelled=training.labelled_group if dataset.splits else None,
        unlabelled=training.unlabelled_group if dataset.splits else None,
        held_out=training.held_out_group if dataset.splits else None,
    )
    propagator = _find_propagator(recipe, folder)
    carrier = None if propagator is None else _load_carrier(propagator, recipe, runtime)
    first = choose_rules(
        dataset, groups.labelled, recipe,
        rules=None if rules is None else _first_rules(rules), helpers=Helpers(), carrier=carrier,
    )  # fmt: skip
    return _Plan(dataset, groups, propagator, first if rules is None else rules, first)


def _first_rules(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Leave out rules that compare with an earlier round, where there is none yet."""
    first = tuple(rule for rule in rules if kind_of(rule.name).argument != "earlier")
    if rules and not first:
        raise RecipeError(
            f"training.rounds.rules = {[str(rule) for rule in rules]} compare with an earlier "
            "round, so nothing would be asked in the first one; name another rule besides"
        )
    return first


def _find_propagator(recipe: Recipe, folder: Path) -> str | Path | None:
    """Find what carries guides: in the folder of the run, or bundled."""
    name = recipe.inference.propagator
    if recipe.role != "reference" or name is None:
        return None
    beside = folder / f"{name}.safetensors"
    return beside if beside.is_file() else name


def _load_carrier(propagator: str | Path, recipe: Recipe, runtime: Runtime) -> Carrier:
    """Make sure that a propagator is there and fits, before hours of training."""
    carrier = load_propagator(propagator, runtime)
    expect_same_view(recipe, carrier.recipe, source=propagator)
    return carrier


def _first(recipe: Recipe) -> Recipe:
    """Return the recipe of the first round: a single training, which may have been run before."""
    single = recipe.training.model_copy(update={"rounds": RoundsRecipe()})
    return recipe.model_copy(update={"training": single})


def _finer(recipe: Recipe, weights: Path, made: PseudoDataset, *, more: bool) -> Recipe:
    """Return the recipe of a later round: from the last one's weights, shorter and more slowly.

    Scans of which nothing was accepted stay unlabelled ones. Where there are none, nor ``more``
    from elsewhere, no method has anything to look at but labels.
    """
    training, settings = recipe.training, recipe.training.rounds
    left = more or any(
        not any(one.accepted for one in organs.values()) for organs in made.judgements.values()
    )
    alone: dict[str, object] = {"batch_unlabelled": 0}
    if recipe.role == "reference" and training.method != "supervised":
        alone["method"] = "side-by-side"
    changed = training.model_copy(
        update={
            "steps": max(1, round(training.steps * settings.steps_share)),
            "learning_rate": training.learning_rate * settings.rate_share,
            "labelled_group": TRAIN,
            "unlabelled_group": UNLABELLED,
            "held_out_group": HELD_OUT if training.held_out_group else None,
            "rounds": settings.model_copy(update={"count": 1}),
        }
        | ({} if left else alone)
    )
    networks = tuple(
        entry.model_copy(update={"start": str(weights.resolve())}) for entry in recipe.networks
    )
    return recipe.model_copy(update={"training": changed, "networks": networks})


def _keep(weights: Path, recipe: Recipe, folder: Path) -> Path:
    """Write the weights of the last round with the recipe that was asked for."""
    last = load_weights(weights)
    card = {**last.card, "rounds": recipe.training.rounds.count}
    target = folder / weights.name
    sha256 = save_weights(target, last.state, recipe, card=card)
    log.info("wrote %s (sha256 of its tensors %s)", target, sha256)
    return target
