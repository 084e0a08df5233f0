"""From a recipe to what trains it: a step, batches, a score."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from torch import nn

from slicekit.checkpoint import fill, load_weights
from slicekit.errors import DataWarning, RecipeError
from slicekit.inference.model import build_network
from slicekit.networks import Committee
from slicekit.recipes import Recipe
from slicekit.runtime import Runtime
from slicekit.training.cps import cps_step
from slicekit.training.evaluation import score_propagator, score_reference
from slicekit.training.fewshot import EpisodeBatches, episode_step, score_fewshot
from slicekit.training.loop import Batches, Method, StepResult
from slicekit.training.material import Material
from slicekit.training.propagator import ClipBatches, propagation_step
from slicekit.training.supervision import supervised_step
from slicekit.training.teacher import confident_labels, consistency_step
from slicekit.training.tracks import TrackBatches, score_tracks, track_step
from slicekit.training.two_stream import TwoStreamBatches
from slicekit.training.volumetric import PatchBatches, score_volumetric, volumetric_step

_STEPS: dict[str, Callable[..., StepResult]] = {
    "cps": cps_step,
    "mean-teacher": consistency_step,
    "side-by-side": supervised_step,
    "supervised": supervised_step,
    "teacher-student": consistency_step,
}


@dataclass(frozen=True, eq=False)
class Choice:
    """What the loop needs beside the network."""

    method: Method
    batches: Batches
    score: Callable[..., dict[str, float]]
    teacher_sha256: str | None = None
    """Of the tensors of the teacher that was trained before, where there is one."""


@dataclass(frozen=True, eq=False)
class Teacher:
    """Who was trained before and stays as it is."""

    network: Committee
    """In eval mode."""
    sha256: str
    """Of its tensors."""


def choose(recipe: Recipe, material: Material, runtime: Runtime) -> Choice:
    """Return how a recipe is trained on its material.

    Raises:
        CheckpointError, RecipeError: The teacher of ``teacher-student`` cannot be loaded.
        DatasetError: The teacher sees nothing.
    """
    training = recipe.training
    if recipe.role == "propagator":
        if training.tracks is not None:
            batches = TrackBatches(material.labelled, phantoms=material.phantoms, recipe=recipe)
            return Choice(partial(track_step, clips=training.clips), batches, score_tracks)
        clips = ClipBatches(material.labelled, phantoms=material.phantoms, recipe=recipe)
        return Choice(partial(propagation_step, clips=training.clips), clips, score_propagator)
    if recipe.role == "volumetric":
        cubes = PatchBatches(material.labelled, phantoms=material.phantoms, recipe=recipe)
        return Choice(partial(volumetric_step, training=training), cubes, score_volumetric)
    if recipe.role == "fewshot":
        episodes = EpisodeBatches(material.free, recipe=recipe)
        return Choice(partial(episode_step, settings=training.fewshot), episodes, score_fewshot)
    step = partial(_STEPS[training.method], training=training)
    labelled, sha256 = material.labelled, None
    if training.method == "teacher-student":
        teacher = load_teacher(recipe, runtime, held_out=[scan.name for scan in material.held_out])
        left = int(training.cache_gib * 2**30) - material.bytes_in_memory
        labelled += confident_labels(
            teacher.network, material.free, recipe=recipe, runtime=runtime, budget_bytes=left
        )
        step, sha256 = partial(step, teacher=teacher.network), teacher.sha256
    taught = TwoStreamBatches(
        labelled, phantoms=material.phantoms, unlabelled=material.free, recipe=recipe
    )
    return Choice(step, taught, score_reference, sha256)


def load_teacher(recipe: Recipe, runtime: Runtime, *, held_out: Sequence[str] = ()) -> Teacher:
    """Load the teacher that a recipe names.

    Args:
        recipe: Of the pupil.
        runtime: Where it runs.
        held_out: Names of the scans that the pupil is scored on.

    Raises:
        CheckpointError: Its file is missing or damaged.
        RecipeError: It sees slices differently or tells other organs apart.

    Warns:
        DataWarning: It learnt from scans of the names of those held out.
    """
    weights = load_weights(recipe.training.teacher.weights or "")
    theirs = weights.recipe
    if (theirs.role, theirs.input, theirs.organs) != (recipe.role, recipe.input, recipe.organs):
        raise RecipeError(
            f"{weights.path}: the teacher {theirs.name!r} is another kind of model than "
            f"{recipe.name!r}; role, [input] and [organs] must be the same"
        )
    if seen := sorted({*held_out} & {*weights.card.get("trained_on", ())}):
        warnings.warn(
            f"{weights.path}: the teacher learnt from {', '.join(seen)}, which the pupil is scored "
            "on; if these are the same scans, the scores are too good to be true",
            DataWarning, stacklevel=2,
        )  # fmt: skip
    network: nn.Module = build_network(theirs)
    fill(network, weights.state, source=str(weights.path))
    placed = runtime.place(network).eval().requires_grad_(False)
    if not isinstance(placed, Committee):
        raise RecipeError(f"{weights.path}: a teacher is a reference")
    return Teacher(placed, weights.sha256)
