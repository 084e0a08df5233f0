"""The recipe of a model of new organs: that of the model it starts from, for a handful of scans."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slicekit.errors import RecipeError
from slicekit.inference.model import DEFAULT_PROPAGATOR, bundled
from slicekit.labels import LabelSet
from slicekit.recipes import (
    InferenceRecipe,
    InputRecipe,
    Recipe,
    expect_same_view,
    parse_recipe,
    read_recipe,
)
from slicekit.training.pseudo.folder import HELD_OUT, TRAIN, UNLABELLED

STEPS: Mapping[str, int] = {"reference": 600, "propagator": 400, "fewshot": 400}
"""By role; some minutes on two cores."""
_BATCH = 4
_RATE_SHARE = 0.5
"""Learning rate as a share of that by which the model was trained from random weights."""
_ENCODER_RATE_SHARE = 0.5
_EMA = 0.99
_CHECKPOINT_EVERY = 50


@dataclass(frozen=True)
class Scans:
    """What a recipe must know of the scans."""

    holds_hu: bool | None
    """Whether intensities are HU; ``None`` for 8-bit pictures, which may stand for any."""
    unlabelled: bool
    """Whether there are scans without labels."""
    held_out: int
    """How many labelled scans there are to be scored on."""


def new_recipe(
    base: Recipe, *, start: str | Path, name: str, organs: LabelSet, scans: Scans, steps: int | None
) -> Recipe:
    """Make the recipe of a model that goes on from another one's weights.

    Args:
        base: Of the model it starts from.
        start: That model's name or weights file.
        name: Of the new model.
        organs: With the ids 1, 2, ...; a few-shot model does not name them.
        scans: What they are like.
        steps: Of the training; the usual number for ``None``.

    Raises:
        RecipeError: There is no way to go on from such a model.
    """
    expect_tunable(base)
    steps = STEPS[base.role] if steps is None else steps
    input = _input(base, scans)
    file = Path(start)
    origin = str(file.resolve()) if file.suffix and file.is_file() else str(start)
    values = {
        "name": name,
        "role": base.role,
        "about": f"Fine-tuned from {base.name}: {', '.join(organs.names)}.",
        "licence": base.licence,
        "input": input,
        "organs": {} if base.role == "fewshot" else dict(organs.ids),
        "networks": tuple(n.model_copy(update={"start": origin}) for n in base.networks),
        "training": _training(base, scans, steps),
        "inference": _inference(base, input),
    }
    return parse_recipe(values, source=name)


def expect_tunable(base: Recipe) -> None:
    """Refuse a model from which there is no way to go on.

    Raises:
        RecipeError: It is of another role than those of ``STEPS``.
    """
    if base.role not in STEPS:
        raise RecipeError(
            f"{base.name!r} is a {base.role} model, which is trained from random weights; go on "
            f"--from a {', a '.join(STEPS)}"
        )


def usual_name(organs: LabelSet, role: str) -> str:
    """Name a model after its organs and role.

    Example:
        >>> usual_name(LabelSet({"left ventricle": 1}), "reference")
        'left_ventricle_reference'
    """
    words = re.sub(r"\W+", "_", "_".join(organs.names[:3])).strip("_")
    return f"{words}_{role}"


def _input(base: Recipe, scans: Scans) -> InputRecipe:
    """Show the scans as the model is used to see them."""
    if base.input.modality == "CT" and scans.holds_hu is False:
        # MR is stretched over the range of the windows, which is what the encoders know
        return base.input.model_copy(update={"modality": "any", "body_above_hu": None})
    if base.input.modality == "MR" and scans.holds_hu:
        raise RecipeError(
            f"{base.name!r} was trained on MR and these scans hold HU; go on --from a model of CT"
        )
    return base.input


def _training(base: Recipe, scans: Scans, steps: int) -> dict[str, object]:
    before = base.training
    tuned = before.encoder_rate_share < 1  # itself fine-tuned: its rate is a low one already
    changes: dict[str, object] = {
        "steps": steps,
        "batch": min(before.batch, _BATCH),
        "batch_unlabelled": 0,
        "learning_rate": before.learning_rate * (1 if tuned else _RATE_SHARE),
        "encoder_rate_share": _ENCODER_RATE_SHARE,
        "ema": min(before.ema, _EMA),
        "phantoms": 0,
        "labelled_group": TRAIN,
        "unlabelled_group": UNLABELLED if scans.unlabelled else None,
        "held_out_group": HELD_OUT if scans.held_out else None,
        "evaluate_every": max(1, steps // 4),
        "checkpoint_every": _CHECKPOINT_EVERY,
    }
    if base.role == "reference":
        two = len(base.networks) == 2
        changes["method"] = "cps" if two and scans.unlabelled else "side-by-side"
        changes["batch_unlabelled"] = min(before.batch, _BATCH) if two and scans.unlabelled else 0
    if base.role == "fewshot":
        enough = scans.held_out > 1  # one supports another
        changes["held_out_group"] = HELD_OUT if enough else None
        changes["labelled_group"] = None if enough or not scans.held_out else TRAIN
        changes["fewshot"] = before.fewshot.model_copy(
            update={"drawn_share": 0.5, "exclude_classes": ()}
        )
    kept = before.model_dump(exclude_unset=True, exclude={"rounds", "teacher"})
    return kept | changes


def _inference(base: Recipe, input: InputRecipe) -> InferenceRecipe:
    """A propagator of certain organs knows nothing of new ones: that of anything carries them."""
    if base.role != "reference" or base.inference.propagator is None:
        return base.inference
    carrier = read_recipe(bundled("models") / f"{DEFAULT_PROPAGATOR}.toml")
    try:
        expect_same_view(base.model_copy(update={"input": input}), carrier, source=carrier.name)
    except RecipeError:
        return base.inference.model_copy(update={"propagator": None})
    return base.inference.model_copy(update={"propagator": DEFAULT_PROPAGATOR})
