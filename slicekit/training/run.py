"""A training run from a recipe and a dataset folder to a weights file."""

from __future__ import annotations

import logging
import platform
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from slicekit.checkpoint import save_weights
from slicekit.data.cases import Case, find_cases, training_split
from slicekit.data.phantom import PHANTOM_LABELS, make_phantom
from slicekit.data.slices import CachedScan, cache_scan, cache_scans, read_case
from slicekit.errors import DatasetError, DataWarning, RecipeError
from slicekit.inference.model import build_network
from slicekit.labels import LabelSet
from slicekit.recipes import Recipe
from slicekit.runtime import Runtime
from slicekit.training.cps import TwoStreamBatches, cps_step
from slicekit.training.evaluation import score_pair, score_propagator
from slicekit.training.loop import Batches, Method, fit
from slicekit.training.propagator import ClipBatches, propagation_step
from slicekit.training.tracks import TrackBatches, score_tracks, track_step

log = logging.getLogger(__name__)

_PHANTOM_SEED = 20_000


def train(
    recipe: Recipe,
    *,
    data: str | Path | Sequence[str | Path],
    out: str | Path,
    runtime: Runtime,
    unlabelled: Sequence[str | Path] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Train what a recipe describes and write its weights.

    Args:
        recipe: A reference (a pair, by cross pseudo supervision) or a propagator.
        data: An nnU-Net raw folder; several for a propagator that is to follow anything.
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
    # seeded before the weights are drawn: the same recipe starts from the same network
    torch.manual_seed(recipe.training.seed)
    network = build_network(recipe)
    folders = [Path(one) for one in ([data] if isinstance(data, str | Path) else data)]
    material = _gather(recipe, folders, unlabelled)
    method: Method
    batches: Batches
    score: Callable[..., dict[str, float]]
    if recipe.role == "reference":
        method, score = partial(cps_step, cps=recipe.training.cps), score_pair
        batches = TwoStreamBatches(
            material.labelled, phantoms=material.phantoms, unlabelled=material.free, recipe=recipe
        )
    elif recipe.training.tracks is not None:
        method, score = partial(track_step, clips=recipe.training.clips), score_tracks
        batches = TrackBatches(material.labelled, phantoms=material.phantoms, recipe=recipe)
    else:
        method = partial(propagation_step, clips=recipe.training.clips)
        score = score_propagator
        batches = ClipBatches(material.labelled, phantoms=material.phantoms, recipe=recipe)
    evaluate = partial(score, scans=material.held_out, recipe=recipe, runtime=runtime)
    average, scores = fit(
        network,
        method,
        batches,
        recipe=recipe,
        out=folder,
        runtime=runtime,
        evaluate=evaluate if material.held_out else None,
        progress=progress,
    )
    card = material.card() | {
        "steps": recipe.training.steps,
        "hardware": f"{platform.processor() or platform.machine()}, {runtime}",
        "torch": torch.__version__,
        "scores": scores,
    }
    weights = folder / f"{recipe.name}.safetensors"
    sha256 = save_weights(weights, average.state_dict(), recipe, card=card)
    log.info("wrote %s (sha256 of its tensors %s)", weights, sha256)
    return weights


@dataclass(frozen=True, eq=False)
class _Material:
    """The scans of a run, by what they are for."""

    labelled: tuple[CachedScan, ...]
    held_out: tuple[CachedScan, ...]
    free: tuple[CachedScan, ...]
    phantoms: tuple[CachedScan, ...]

    def card(self) -> dict[str, Any]:
        """Name them for the model card."""
        parts = {"trained_on": self.labelled, "unlabelled": self.free, "held_out": self.held_out}
        names = {key: [scan.name for scan in scans] for key, scans in parts.items()}
        return {**names, "phantoms": len(self.phantoms)}


def _gather(recipe: Recipe, folders: Sequence[Path], extra: Sequence[str | Path]) -> _Material:
    """Find, read and cache what a run learns from and is scored on."""
    training = recipe.training
    if not folders or (len(folders) > 1 and recipe.organs):
        raise DatasetError(
            f"{recipe.name} tells {len(recipe.organs)} organs apart, so it learns from one dataset "
            f"that names them so; got {len(folders)}"
        )
    teach, free, apart = _cases(recipe, folders)
    free = _without_labels(free, extra, apart)
    if recipe.role == "propagator" or training.batch_unlabelled == 0:
        free = ()  # nobody would look at them
    elif not free:
        _warn(
            "no scan is used without its labels, so the two networks learn side by side and do "
            "not teach one another; give some with --unlabelled, name a group of splits.json as "
            "training.unlabelled_group, or set training.batch_unlabelled=0"
        )
    if not apart:
        _warn(
            f"no scan is held out, so nothing tells how well the model does; name a group "
            f"{training.held_out_group or 'val'!r} in {folders[0] / 'splits.json'}"
        )
    read = partial(read_case, labels=recipe.labels if recipe.organs else None, recipe=recipe.input)
    cached = iter(
        cache_scans(
            [
                *(partial(read, case) for case in (*teach, *apart, *free)),
                *(partial(_phantom, n, recipe) for n in range(training.phantoms)),
            ],
            budget_bytes=int(training.cache_gib * 2**30),
        )
    )
    labelled, held, loose = (tuple(islice(cached, len(part))) for part in (teach, apart, free))
    return _Material(labelled, held, loose, phantoms=tuple(cached))


def _cases(recipe: Recipe, folders: Sequence[Path]) -> tuple[tuple[Case, ...], ...]:
    """Return the labelled, unlabelled and held-out cases of all folders."""
    training = recipe.training
    parts: tuple[list[Case], ...] = ([], [], [])
    for folder in folders:
        dataset = find_cases(folder)
        if recipe.organs:
            _expect_same_organs(dataset.labels, recipe, where=folder)
        groups = training_split(
            dataset,
            labelled=training.labelled_group if dataset.splits else None,
            unlabelled=training.unlabelled_group if dataset.splits else None,
            held_out=training.held_out_group if dataset.splits else None,
        )
        for part, cases in zip(parts, groups, strict=True):
            part.extend(cases)
    return tuple(map(tuple, parts))


def _warn(message: str) -> None:
    warnings.warn(message, DataWarning, stacklevel=3)


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
    """Make one phantom, its organs numbered as the recipe numbers them.

    Raises:
        RecipeError: A phantom is a CT of thirteen organs and cannot stand for such scans.
    """
    strange = sorted(set(recipe.organs) - set(PHANTOM_LABELS.names))
    if recipe.input.modality == "MR" or strange:
        raise RecipeError(
            f"{recipe.name}: phantoms are CTs with {', '.join(PHANTOM_LABELS.names)}; set "
            f"training.phantoms = 0 for {recipe.input.modality} of {', '.join(recipe.organs)}"
        )
    made = make_phantom(np.random.default_rng((_PHANTOM_SEED, number)))
    table = np.zeros(len(PHANTOM_LABELS) + 1, dtype=np.uint8)
    for organ, place in PHANTOM_LABELS.ids.items():
        table[place] = recipe.organs.get(organ, 0) if recipe.organs else place
    labels = made.labels.with_array(table[made.labels.array])
    return cache_scan(f"phantom {number}", made.image, labels, recipe=recipe.input)


def _expect_same_organs(labels: LabelSet, recipe: Recipe, *, where: Path) -> None:
    if dict(labels.ids) != recipe.organs:
        raise DatasetError(
            f"{where / 'dataset.json'} names other organs than the recipe {recipe.name!r}: "
            f"{dict(labels.ids)} against {recipe.organs}; make them equal, ids as well"
        )
