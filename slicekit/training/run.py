"""A training run from a recipe and a dataset folder to a weights file."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import nn

from slicekit.checkpoint import save_weights
from slicekit.inference.model import build_network
from slicekit.recipes import Recipe
from slicekit.runtime import Runtime
from slicekit.training.choice import choose
from slicekit.training.finished import expect_learnt_from, finished_weights
from slicekit.training.loop import STATE, Evaluation, fit
from slicekit.training.material import Material, gather
from slicekit.training.provenance import provenance
from slicekit.training.start import start_networks
from slicekit.training.state import expect_state_of

log = logging.getLogger(__name__)


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
        recipe: A reference, by the method that its ``training.method`` names, a propagator or a
            volumetric model.
        data: An nnU-Net raw folder; several for a propagator that is to follow anything.
        out: Folder of the run; a run that was interrupted goes on from what lies there.
        runtime: Device, precision and threads.
        unlabelled: More scans without labels, files or slice folders.
        progress: Told ``(steps done, steps in all)`` after every step.

    Returns:
        ``out/NAME.safetensors``: the averaged weights of the last step, as float16. Where they
        lie there already, of the same recipe and scans, they are not made again.

    Raises:
        DatasetError: The dataset does not hold what the recipe needs, or an unlabelled scan is
            one that is held out.
        CheckpointError: ``out`` holds state or weights of another recipe or of other scans, or
            the state of another teacher, or a file to start from or the teacher's is damaged or
            fits nothing.
        RecipeError: The teacher is another kind of model.
        Interrupted: A signal came; the state was saved first.
    """
    folder = Path(out)
    folders = [Path(one) for one in ([data] if isinstance(data, str | Path) else data)]
    expect_state_of(folder / STATE, recipe)
    if (done := finished_weights(recipe, folder)) is not None:
        expect_learnt_from(done, gather(recipe, folders, unlabelled))
        return done.path
    network = prepare_network(recipe, folder)
    material = gather(recipe, folders, unlabelled)
    average, scores = train_on(
        material, network, recipe, out=folder, runtime=runtime, progress=progress
    )
    return write_weights(average, material, recipe, scores, out=folder, runtime=runtime)


def prepare_network(recipe: Recipe, out: Path) -> nn.Module:
    """Build the networks of a run, from what they start from; the same recipe gives the same.

    Raises:
        CheckpointError: A file to start from is damaged or fits nothing.
        RecipeError: There is no such network or model.
    """
    torch.manual_seed(recipe.training.seed)
    network = build_network(recipe)
    if not (out / STATE).exists():  # a run that goes on has its weights there
        start_networks(network, recipe)
    return network


def train_on(
    material: Material,
    network: nn.Module,
    recipe: Recipe,
    *,
    out: Path,
    runtime: Runtime,
    evaluate: Evaluation | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[nn.Module, dict[str, float]]:
    """Train a network on scans that were gathered; see ``train``.

    Args:
        material: The scans.
        network: From ``prepare_network``.
        recipe: Says how.
        out: Folder of the run.
        runtime: Device, precision and threads.
        evaluate: Scores the network; as is usual for its role, on what is held out, for ``None``.
        progress: Told ``(steps done, steps in all)`` after every step.

    Returns:
        The averaged network in eval mode, and its last scores.
    """
    chosen = choose(recipe, material, runtime)
    if evaluate is None and material.held_out:
        evaluate = partial(chosen.score, scans=material.held_out, recipe=recipe, runtime=runtime)
    return fit(
        network,
        chosen.method,
        chosen.batches,
        recipe=recipe,
        out=out,
        runtime=runtime,
        evaluate=evaluate,
        progress=progress,
        teacher_sha256=chosen.teacher_sha256,
        scans=provenance(material.groups()),
    )


def write_weights(
    average: nn.Module,
    material: Material,
    recipe: Recipe,
    scores: dict[str, float],
    *,
    out: Path,
    runtime: Runtime,
) -> Path:
    """Write the weights file of a finished run, with a card of what made it."""
    card = material.card() | {
        "steps": recipe.training.steps,
        "hardware": f"{platform.processor() or platform.machine()}, {runtime}",
        "torch": torch.__version__,
        "scores": scores,
        "scans": provenance(material.groups()),
    }
    weights = out / f"{recipe.name}.safetensors"
    sha256 = save_weights(weights, average.state_dict(), recipe, card=card)
    log.info("wrote %s (sha256 of its tensors %s)", weights, sha256)
    return weights
