"""Networks by name: modules without files and without a device of their own."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from slicekit.checks import suggest
from slicekit.errors import RecipeError
from slicekit.networks.alpnet import ALPNet, Prototypes, alpnet
from slicekit.networks.attention_unet import AttentionUNet, attention_unet
from slicekit.networks.blocks import CropBox, pad_to_multiple
from slicekit.networks.committee import Committee
from slicekit.networks.deeplab import DeepLabV3Plus, deeplabv3plus
from slicekit.networks.dynunet import DynUNet, dynunet, expect_patch
from slicekit.networks.smp import SmpNetwork, smp
from slicekit.networks.stcn import STCN, Features, dense_read, soft_aggregate, stcn
from slicekit.networks.transunet import TransUNet, transunet

__all__ = [
    "BUILDERS",
    "STCN",
    "ALPNet",
    "AttentionUNet",
    "Committee",
    "CropBox",
    "DeepLabV3Plus",
    "DynUNet",
    "Features",
    "Prototypes",
    "SmpNetwork",
    "TransUNet",
    "alpnet",
    "attention_unet",
    "build",
    "deeplabv3plus",
    "dense_read",
    "dynunet",
    "expect_patch",
    "pad_to_multiple",
    "smp",
    "soft_aggregate",
    "stcn",
    "transunet",
]

BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "alpnet": alpnet,
    "attention-unet": attention_unet,
    "deeplabv3plus": deeplabv3plus,
    "dynunet": dynunet,
    "stcn": stcn,
    "transunet": transunet,
}
"""Networks that come in presets; ``"smp"`` is named by its architecture and encoder instead."""


def build(
    kind: str,
    preset: str = "small",
    *,
    classes: int | None = None,
    position: bool | None = None,
    architecture: str | None = None,
    encoder: str | None = None,
) -> nn.Module:
    """Build a network with random weights.

    Args:
        kind: A name in ``BUILDERS``, or ``"smp"``.
        preset: ``"tiny"``, ``"small"`` or ``"paper"``; ignored by ``"smp"``.
        classes: Channels that come out, background included; ignored by ``"stcn"`` and
            ``"alpnet"``, which take any number of objects.
        position: Whether ``"transunet"`` is told the relative slice position; ``None`` does as
            the preset says. The others cannot be told.
        architecture: Of ``"smp"``: a network of segmentation-models-pytorch, such as ``"FPN"``.
        encoder: Of ``"smp"``: such as ``"resnet18"`` or, of timm, ``"tu-convnext_atto"``.

    Raises:
        RecipeError: An unknown kind, preset, architecture or encoder, too few classes, or a
            position for a network that takes none.

    Example:
        >>> network = build("transunet", "tiny", classes=3)
        >>> build("transunett", "tiny", classes=3)
        Traceback (most recent call last):
        slicekit.errors.RecipeError: unknown network 'transunett'; did you mean 'transunet'? There \
are: alpnet, attention-unet, deeplabv3plus, dynunet, smp, stcn, transunet
    """
    if kind not in (known := {*BUILDERS, "smp"}):
        raise RecipeError(f"unknown network {kind!r}; {suggest(kind, known)}")
    if position and kind != "transunet":
        raise RecipeError(f"{kind} takes no slice position; leave position out or use transunet")
    if kind in ("alpnet", "stcn"):
        return BUILDERS[kind](preset)
    if classes is None or classes < 2:
        raise RecipeError(f"{kind} needs at least 2 classes, background included, got {classes}")
    if kind == "smp":
        if architecture is None or encoder is None:
            raise RecipeError("smp needs an architecture and an encoder, such as FPN on resnet18")
        return smp(architecture, encoder, classes=classes)
    options = {"position": position} if kind == "transunet" else {}
    return BUILDERS[kind](preset, classes=classes, **options)
