"""Networks by name: modules without files and without a device of their own."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from slicekit.checks import suggest
from slicekit.errors import RecipeError
from slicekit.networks.blocks import CropBox, pad_to_multiple
from slicekit.networks.deeplab import DeepLabV3Plus, deeplabv3plus
from slicekit.networks.pair import Pair, PairLogits
from slicekit.networks.stcn import STCN, Features, dense_read, soft_aggregate, stcn
from slicekit.networks.transunet import TransUNet, transunet

__all__ = [
    "BUILDERS",
    "STCN",
    "CropBox",
    "DeepLabV3Plus",
    "Features",
    "Pair",
    "PairLogits",
    "TransUNet",
    "build",
    "deeplabv3plus",
    "dense_read",
    "pad_to_multiple",
    "soft_aggregate",
    "stcn",
    "transunet",
]

BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "deeplabv3plus": deeplabv3plus,
    "stcn": stcn,
    "transunet": transunet,
}


def build(
    kind: str, preset: str, *, classes: int | None = None, position: bool | None = None
) -> nn.Module:
    """Build a network with random weights.

    Args:
        kind: A name in ``BUILDERS``.
        preset: ``"tiny"``, ``"small"`` or ``"paper"``.
        classes: Channels that come out, background included; ignored by ``"stcn"``, which
            carries any number of objects.
        position: Whether ``"transunet"`` is told the relative slice position; ``None`` does as
            the preset says. The others cannot be told.

    Raises:
        RecipeError: An unknown kind or preset, too few classes, or a position for a network
            that takes none.

    Example:
        >>> network = build("transunet", "tiny", classes=3)
        >>> build("transunett", "tiny", classes=3)
        Traceback (most recent call last):
        slicekit.errors.RecipeError: unknown network 'transunett'; did you mean 'transunet'? There \
are: deeplabv3plus, stcn, transunet
    """
    if kind not in BUILDERS:
        raise RecipeError(f"unknown network {kind!r}; {suggest(kind, BUILDERS)}")
    if position and kind != "transunet":
        raise RecipeError(f"{kind} takes no slice position; leave position out or use transunet")
    if kind == "stcn":
        return stcn(preset)
    if classes is None or classes < 2:
        raise RecipeError(f"{kind} needs at least 2 classes, background included, got {classes}")
    options = {"position": position} if kind == "transunet" else {}
    return BUILDERS[kind](preset, classes=classes, **options)
