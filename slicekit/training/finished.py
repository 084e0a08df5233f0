"""A run that is done: its weights lie in its folder, and no state to go on from.

States are large and may be deleted once a run is done; that must not cost its weights.
"""

from __future__ import annotations

import logging
from pathlib import Path

from slicekit.checkpoint import Weights, load_weights
from slicekit.recipes import Recipe
from slicekit.training.loop import STATE
from slicekit.training.material import Material
from slicekit.training.provenance import expect_same_scans, provenance
from slicekit.training.state import expect_same_recipe

log = logging.getLogger(__name__)


def finished_weights(recipe: Recipe, out: Path) -> Weights | None:
    """Return the weights of a run that is done and whose state is gone.

    Args:
        recipe: Of the run; keys that may change while a run goes on may differ.
        out: Folder of the run.

    Returns:
        ``None`` where there are no weights, and where a state says how far the run has come.

    Raises:
        CheckpointError: The weights are damaged, or another recipe made them; training would
            replace them.
    """
    path = out / f"{recipe.name}.safetensors"
    if (out / STATE).exists() or not path.exists():
        return None
    done = load_weights(path)
    expect_same_recipe(done.recipe, recipe, path=path)
    return done


def expect_learnt_from(done: Weights, material: Material) -> None:
    """Make sure that a finished run learnt from these scans, and say that it is not done again.

    Weights of a version that noted no scans are taken as they are.

    Raises:
        CheckpointError: Scans came, went or changed; the message names them.
    """
    expect_same_scans(done.card.get("scans"), provenance(material.groups()), path=done.path)
    log.info(
        "%s is there already, finished after %s steps; to train again remove it, or choose "
        "another --out", done.path, done.recipe.training.steps,
    )  # fmt: skip
