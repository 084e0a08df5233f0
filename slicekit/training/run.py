"""A training run from a recipe and a dataset folder to a weights file."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from slicekit.checkpoint import save_weights
from slicekit.inference.model import build_network
from slicekit.recipes import Recipe
from slicekit.runtime import Runtime
from slicekit.training.choice import choose
from slicekit.training.loop import STATE, fit
from slicekit.training.material import gather
from slicekit.training.provenance import provenance
from slicekit.training.start import start_networks

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
        ``out/NAME.safetensors``: the averaged weights of the last step, as float16.

    Raises:
        DatasetError: The dataset does not hold what the recipe needs, or an unlabelled scan is
            one that is held out.
        CheckpointError: ``out`` holds the state of another recipe or teacher or of other scans,
            or a file to start from or the teacher's is damaged or fits nothing.
        RecipeError: The teacher is another kind of model.
        Interrupted: A signal came; the state was saved first.
    """
    folder = Path(out)
    # seeded before the weights are drawn: the same recipe starts from the same network
    torch.manual_seed(recipe.training.seed)
    network = build_network(recipe)
    if not (folder / STATE).exists():  # a run that goes on has its weights there
        start_networks(network, recipe)
    folders = [Path(one) for one in ([data] if isinstance(data, str | Path) else data)]
    material = gather(recipe, folders, unlabelled)
    chosen = choose(recipe, material, runtime)
    evaluate = partial(chosen.score, scans=material.held_out, recipe=recipe, runtime=runtime)
    average, scores = fit(
        network,
        chosen.method,
        chosen.batches,
        recipe=recipe,
        out=folder,
        runtime=runtime,
        evaluate=evaluate if material.held_out else None,
        progress=progress,
        teacher_sha256=chosen.teacher_sha256,
        scans=provenance(material.groups()),
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
