"""A training run from a recipe and a dataset folder to a weights file."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from slicekit.checkpoint import save_weights
from slicekit.data.cases import Case, find_cases, training_split
from slicekit.data.phantom import make_phantom
from slicekit.data.slices import CachedScan, cache_scan, cache_scans, read_case
from slicekit.errors import DatasetError
from slicekit.inference.model import build_network
from slicekit.labels import LabelSet
from slicekit.recipes import Recipe
from slicekit.runtime import Runtime
from slicekit.training.cps import TwoStreamBatches, cps_step
from slicekit.training.evaluation import score_pair, score_propagator
from slicekit.training.loop import fit
from slicekit.training.propagator import ClipBatches, propagation_step

log = logging.getLogger(__name__)

_PHANTOM_SEED = 20_000


def train(
    recipe: Recipe,
    *,
    data: str | Path,
    out: str | Path,
    runtime: Runtime,
    unlabelled: Sequence[str | Path] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Train what a recipe describes and write its weights.

    Args:
        recipe: A reference (a pair, by cross pseudo supervision) or a propagator.
        data: An nnU-Net raw folder.
        out: Folder of the run; a run that was interrupted goes on from what lies there.
        runtime: Device, precision and threads.
        unlabelled: More scans without labels, files or slice folders.
        progress: Told ``(steps done, steps in all)`` after every step.

    Returns:
        ``out/NAME.safetensors``: the averaged weights of the last step, as float16.

    Raises:
        DatasetError: The dataset does not hold what the recipe needs, or an unlabelled scan is
            one that is held out.
        CheckpointError: ``out`` holds the state of another recipe.
        Interrupted: A signal came; the state was saved first.
    """
    folder = Path(out)
    training = recipe.training
    # seeded before the weights are drawn: the same recipe starts from the same network
    torch.manual_seed(training.seed)
    network = build_network(recipe)
    dataset = find_cases(data)
    _expect_same_organs(dataset.labels, recipe, where=Path(data))
    teach, free, apart = training_split(
        dataset,
        labelled=training.labelled_group if dataset.splits else None,
        unlabelled=training.unlabelled_group if dataset.splits else None,
        held_out=training.held_out_group if dataset.splits else None,
    )
    free = _without_labels(free, unlabelled, apart)
    if recipe.role == "propagator" or training.batch_unlabelled == 0:
        free = ()  # nobody would look at them
    read = partial(read_case, labels=recipe.labels, recipe=recipe.input)
    cached = iter(
        cache_scans(
            [
                *(partial(read, case) for case in (*teach, *apart, *free)),
                *(partial(_phantom, n, recipe) for n in range(training.phantoms)),
            ],
            budget_bytes=int(training.cache_gib * 2**30),
        )
    )
    scans, held, loose = (tuple(islice(cached, len(part))) for part in (teach, apart, free))
    phantoms = tuple(cached)
    if recipe.role == "reference":
        average, scores = fit(
            network,
            partial(cps_step, cps=training.cps),
            TwoStreamBatches(scans, phantoms=phantoms, unlabelled=loose, recipe=recipe),
            recipe=recipe,
            out=folder,
            runtime=runtime,
            evaluate=partial(score_pair, scans=held, recipe=recipe, runtime=runtime),
            progress=progress,
        )
    else:
        average, scores = fit(
            network,
            partial(propagation_step, clips=training.clips),
            ClipBatches(scans, phantoms=phantoms, recipe=recipe),
            recipe=recipe,
            out=folder,
            runtime=runtime,
            evaluate=partial(score_propagator, scans=held, recipe=recipe, runtime=runtime),
            progress=progress,
        )
    card = {
        "trained_on": [case.name for case in teach],
        "unlabelled": [case.name for case in free],
        "held_out": [case.name for case in apart],
        "phantoms": training.phantoms,
        "steps": training.steps,
        "hardware": f"{platform.processor() or platform.machine()}, {runtime}",
        "torch": torch.__version__,
        "scores": scores,
    }
    weights = folder / f"{recipe.name}.safetensors"
    sha256 = save_weights(weights, average.state_dict(), recipe, card=card)
    log.info("wrote %s (sha256 of its tensors %s)", weights, sha256)
    return weights


def _without_labels(
    free: Sequence[Case], extra: Sequence[str | Path], apart: Sequence[Case]
) -> tuple[Case, ...]:
    """Take the labels from cases and add scans from elsewhere, none of them held out."""
    held = {case.image.resolve() for case in apart}
    paths = [Path(path) for path in extra]
    leaks = [str(path) for path in paths if path.resolve() in held]
    if leaks:
        raise DatasetError(
            f"held out and trained on at once: {', '.join(leaks)}; leave them out of --unlabelled"
        )
    cases = (*free, *(Case(path.name, path, None) for path in paths))
    return tuple(Case(case.name, case.image, None) for case in cases)


def _phantom(number: int, recipe: Recipe) -> CachedScan:
    """Make one phantom."""
    made = make_phantom(np.random.default_rng((_PHANTOM_SEED, number)))
    return cache_scan(f"phantom {number}", made.image, made.labels, recipe=recipe.input)


def _expect_same_organs(labels: LabelSet, recipe: Recipe, *, where: Path) -> None:
    if dict(labels.ids) != recipe.organs:
        raise DatasetError(
            f"{where / 'dataset.json'} names other organs than the recipe {recipe.name!r}: "
            f"{dict(labels.ids)} against {recipe.organs}; make them equal, ids as well"
        )
