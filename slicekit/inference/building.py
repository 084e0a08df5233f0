"""The network of a recipe, before it has weights."""

from __future__ import annotations

from torch import nn

from slicekit.networks import Committee, build, expect_patch
from slicekit.recipes import Recipe


def build_network(recipe: Recipe) -> nn.Module:
    """Build the committee of a reference or the one network of another role, random weights.

    Raises:
        RecipeError: There is no such network, or a volumetric one cannot take the patch.
    """
    first, classes = recipe.networks[0], len(recipe.labels) + 1
    if recipe.role in ("propagator", "fewshot"):
        return build(first.kind, first.preset)
    if recipe.role == "volumetric":
        network = build(first.kind, first.preset, classes=classes)
        expect_patch(first.preset, recipe.training.patch)
        return network
    return Committee(
        *(
            build(
                entry.kind,
                entry.preset,
                classes=classes,
                architecture=entry.architecture,
                encoder=entry.encoder,
            )
            for entry in recipe.networks
        )
    )
