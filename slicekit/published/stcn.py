"""Published STCN weights under our names, which are the published ones."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from slicekit.checkpoint import misfits
from slicekit.errors import CheckpointError
from slicekit.networks import build
from slicekit.published.opening import WANTED

log = logging.getLogger(__name__)

PRESET = "paper"
"""The preset whose names and shapes are the published ones."""
_FIRST_CONV = "value_encoder.conv1.weight"
_COUNTER = ".num_batches_tracked"
_WINDOWS = ((-125.0, 275.0), (0.0, 160.0), (90.0, 260.0))
"""Three channels for a network that has learnt from colour pictures: those of our own models."""


def of_stcn(state: dict[str, Tensor], *, file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the weights of a propagator in our shapes, and the values of its recipe.

    Weights made for one object, whose value encoder sees four channels, get a fifth of zeros.
    Absent batch counters count as 0. All else must fit.

    Raises:
        CheckpointError: Other tensors than those of a published STCN.
    """
    with torch.device("meta"):
        network = build("stcn", PRESET)
    want = network.state_dict()
    counters = {name: torch.zeros((), dtype=torch.long) for name in want if name.endswith(_COUNTER)}
    state = counters | state
    first = state.get(_FIRST_CONV)
    outputs, channels, *sides = want[_FIRST_CONV].shape
    if first is not None and tuple(first.shape) == (outputs, channels - 1, *sides):
        log.info("%s: made for one object; the sum of the others has weight 0", file)
        state[_FIRST_CONV] = torch.cat([first, first.new_zeros(outputs, 1, *sides)], dim=1)
    if faults := misfits(network, state):
        raise CheckpointError(
            f"{file}: is no STCN as published: {'; '.join(faults)}; {WANTED}. An STCN is for one "
            "or several objects, with a ResNet-50 for keys and a ResNet-18 for values"
        )
    fitting = {name: state[name].to(want[name].dtype, copy=True) for name in want}
    return fitting, {
        "role": "propagator",
        "about": "Published STCN weights",
        "input": {
            "modality": "any",
            "windows": _WINDOWS,
            "spacing_mm": 1.0,
            "body_above_hu": None,
        },
        "organs": {},
        "networks": [{"kind": "stcn", "preset": PRESET}],
        "training": {"steps": 1},  # how they were trained is not known
    }
