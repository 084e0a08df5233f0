"""Networks that do not start from random weights but from a file of ours."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from torch import Tensor, nn

from slicekit.checkpoint import load_weights
from slicekit.errors import CheckpointError
from slicekit.networks import Committee
from slicekit.recipes import Recipe

log = logging.getLogger(__name__)

_PREFIXES = ("a.", "b.", "c.", "")
"""Of the networks of a reference, and of a network alone."""


def start_networks(network: nn.Module, recipe: Recipe) -> None:
    """Fill those networks of a recipe that name a file to start from, in place.

    Of a file with several networks the one that fits best is taken, of equals the one in the same
    place. Tensors of another name or shape, as of a head for other organs, stay random, and the
    log says which.

    Args:
        network: What ``build_network`` made of the recipe.
        recipe: Says by ``networks.start`` which files.

    Raises:
        CheckpointError: A file is missing or damaged, or nothing in it fits.
    """
    members = network.members if isinstance(network, Committee) else (network,)
    for own, member, entry in zip(_PREFIXES, members, recipe.networks, strict=False):
        if entry.start is None:
            continue
        state, held = member.state_dict(), load_weights(entry.start).state
        fitting = max((_fitting(held, prefix, state) for prefix in (own, *_PREFIXES)), key=len)
        if not fitting:
            raise CheckpointError(
                f"{entry.start}: holds nothing that fits the {entry.kind} of {recipe.name!r}; "
                "start from a network of the same kind and preset"
            )
        member.load_state_dict(state | fitting)
        random = [name for name in state if name not in fitting]
        shown = f"; random: {', '.join(random[:5])}" if random else ""
        count = f"{len(fitting)} of {len(state)} tensors"
        log.info("%s starts from %s: %s%s", entry.kind, entry.start, count, shown)


def _fitting(
    held: Mapping[str, Tensor], prefix: str, state: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return what is held under a prefix with the name and shape of a network's own tensors."""
    return {
        name: held[f"{prefix}{name}"]
        for name, own in state.items()
        if f"{prefix}{name}" in held and held[f"{prefix}{name}"].shape == own.shape
    }
