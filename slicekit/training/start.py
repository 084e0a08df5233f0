"""Networks that do not start from random weights but from a file of ours."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from slicekit.checkpoint import Weights, load_weights
from slicekit.errors import CheckpointError
from slicekit.inference.model import build_network, find_weights
from slicekit.networks import Committee
from slicekit.recipes import Recipe

log = logging.getLogger(__name__)

_PREFIXES = ("a.", "b.", "c.", "")
"""Of the networks of a reference, and of a network alone."""


def start_networks(network: nn.Module, recipe: Recipe) -> None:
    """Fill those networks of a recipe that name weights to start from, in place.

    Of a file with several networks the one that fits best is taken, of equals the one in the same
    place. Of a head for other organs the rows of those that both know are taken, and of the
    background. All else, tensors of another name or shape too, stays random; the log says which.

    Args:
        network: What ``build_network`` made of the recipe.
        recipe: Says by ``networks.start`` which weights: a file or a bundled model's name.

    Raises:
        CheckpointError: A file is missing or damaged, or nothing in it fits.
        RecipeError: There is no bundled model of that name.
    """
    members = network.members if isinstance(network, Committee) else (network,)
    for own, member, entry in zip(_PREFIXES, members, recipe.networks, strict=False):
        if entry.start is None:
            continue
        state, held = member.state_dict(), load_weights(find_weights(entry.start)[0])
        rows = _rows(held.recipe, recipe)
        heads = frozenset[str]() if rows is None else _heads(held.recipe)
        found = [_fitting(held, prefix, state, heads, rows) for prefix in (own, *_PREFIXES)]
        fitting = max(found, key=len)
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


Rows = tuple[list[int], list[int]]
"""Classes here, and the same classes there."""


def _rows(theirs: Recipe, ours: Recipe) -> Rows | None:
    """Pair the classes that two recipes share; nothing where they tell the same ones apart."""
    if theirs.organs == ours.organs:
        return None
    shared = [name for name in ours.organs if name in theirs.organs]
    here = [0, *(ours.organs[name] for name in shared)]
    return here, [0, *(theirs.organs[name] for name in shared)]


def _heads(recipe: Recipe) -> frozenset[str]:
    """Return the names of the tensors with a row a class: those that one more class changes."""
    organs = {**recipe.organs, "one more": len(recipe.organs) + 1}
    more = recipe.model_copy(update={"organs": organs})
    with torch.random.fork_rng(devices=[]):
        one, other = (build_network(either).state_dict() for either in (recipe, more))
    return frozenset(name for name, tensor in one.items() if tensor.shape != other[name].shape)


def _fitting(
    held: Weights,
    prefix: str,
    state: Mapping[str, Tensor],
    heads: frozenset[str],
    rows: Rows | None,
) -> dict[str, Tensor]:
    """Return what is held under a prefix with the name and shape of a network's own tensors."""
    fitting = {}
    for name, own in state.items():
        there = held.state.get(f"{prefix}{name}")
        if there is None:
            continue
        if f"{prefix}{name}" in heads and rows is not None:
            if there.shape[1:] == own.shape[1:]:
                fitting[name] = own.clone()
                fitting[name][rows[0]] = there[rows[1]].to(own.dtype)
        elif there.shape == own.shape:
            fitting[name] = there
    return fitting
