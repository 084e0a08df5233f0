"""Any network of segmentation-models-pytorch, on an encoder of its own or of timm, by name.

Iakubovskii 2019, "Segmentation Models PyTorch"; Wightman 2019, "PyTorch Image Models".
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import segmentation_models_pytorch as library
import timm
import torch
from segmentation_models_pytorch.encoders import get_encoder_names
from torch import Tensor, nn

from slicekit.checks import suggest
from slicekit.errors import RecipeError, lacks_memory
from slicekit.networks.slicewise import SlicewiseNetwork

ARCHITECTURES: dict[str, Callable[..., Any]] = {
    made.__name__: made for made in library.MODEL_ARCHITECTURES_MAPPING.values()
}
TIMM = "tu-"
"""In front of the name of an encoder of timm."""
_DEPRECATED = "timm-"
_FREE_SIZES: tuple[dict[str, bool], ...] = (
    {},
    {"strict_img_size": False},
    {"dynamic_img_size": True},
)
"""Options with which transformers of timm take other sizes than the one they were made for."""
_CELLS = ((1, 2), (2, 2), (1, 8), (7, 7), (8, 8))
"""Grids and smallest sides to try, in strides: most; DPT; pyramids of poolings; windows."""


class SmpNetwork(SlicewiseNetwork):
    """Slices in, class logits out, for slices of any size.

    Args:
        network: A network of segmentation-models-pytorch.
        classes: Channels that come out, background included.
        multiple: What y and x must be multiples of.
        least: Smallest y and x that it takes.
    """

    def __init__(self, network: nn.Module, *, classes: int, multiple: int, least: int) -> None:
        super().__init__(multiple=multiple, least=least)
        self.network, self.classes = network, classes
        for norm in network.modules():
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                norm.register_forward_pre_hook(_rest_if_alone)
                norm.register_forward_hook(_wake, always_call=True)

    def score(
        self,
        padded: Tensor,  # (b, 3, y, x), ``multiple`` divides y and x
    ) -> Tensor:  # (b, classes, y, x) logits
        """Compute the logits of ``prepare``'s slices: the network without its preparations."""
        logits: Tensor = self.network(padded)
        return logits


def smp(architecture: str, encoder: str, *, classes: int) -> SmpNetwork:
    """Build any network of segmentation-models-pytorch with random weights; nothing is fetched.

    Args:
        architecture: As ``segmentation_models_pytorch.create_model`` calls it, such as ``"FPN"``.
        encoder: Such as ``"resnet18"``, or an encoder of timm, such as ``"tu-convnext_atto"``.
        classes: Channels that come out, background included.

    Raises:
        RecipeError: One of the names is unknown (the likely one is suggested), the two do not go
            together, or the encoder is bound to slices of one size.
    """
    if architecture not in ARCHITECTURES:
        hint = suggest(architecture, ARCHITECTURES)
        raise RecipeError(f"unknown architecture {architecture!r}; {hint}")
    _expect_encoder(encoder)
    reasons = []
    for options in _FREE_SIZES if encoder.startswith(TIMM) else _FREE_SIZES[:1]:
        try:
            network = ARCHITECTURES[architecture](
                encoder_name=encoder, encoder_weights=None, classes=classes, **options
            )
            multiple, least = _find_grid(network)
        except Exception as fault:  # whatever an encoder that does not fit may end in
            if lacks_memory(fault):
                raise
            reasons.append(str(fault).partition("\n")[0] or type(fault).__name__)
        else:
            return SmpNetwork(network, classes=classes, multiple=multiple, least=least)
    raise RecipeError(
        f"{architecture} cannot be built on {encoder!r} for slices of any size ({reasons[0]}); "
        "choose another encoder"
    )


def _expect_encoder(encoder: str) -> None:
    """Refuse a name that neither library has."""
    ours = [name for name in get_encoder_names() if not name.startswith(_DEPRECATED)]
    if encoder in ours or (encoder.startswith(TIMM) and timm.is_model(encoder[len(TIMM) :])):
        return
    close = get_close_matches(encoder, [*ours, *(TIMM + name for name in timm.list_models())], n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise RecipeError(
        f"unknown encoder {encoder!r}; {hint}There are: {', '.join(ours)}, and "
        f"{TIMM}NAME for those of timm, such as {TIMM}convnext_atto"
    )


def _find_grid(network: Any) -> tuple[int, int]:
    """Return what slices must be multiples of and their smallest side, by trying.

    Raises:
        Exception: No size was taken; what the first ended in.
    """
    stride, mode = int(network.encoder.output_stride), network.training
    device = next(network.parameters()).device
    first: Exception | None = None
    for multiple, least in ((stride * a, stride * b) for a, b in _CELLS):
        slices = torch.zeros(1, 3, least, least + multiple, device=device)
        try:
            with torch.no_grad():
                network.eval()(slices)
        except Exception as fault:  # libraries say it in many ways
            first = first or fault
        else:
            network.train(mode)
            return multiple, least
    raise first or RuntimeError("it takes no slices")


def _rest_if_alone(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Let a norm with one value a channel use its running ones: it has no spread to learn from.

    Happens behind global poolings in a batch of one, where torch refuses to go on.
    """
    alone = norm.training and inputs[0].numel() == inputs[0].shape[1]
    norm.rests = alone  # type: ignore[assignment] # a flag of ours, on a module of theirs
    if alone:
        norm.eval()


def _wake(norm: nn.Module, *_: object) -> None:
    """Take up training where ``_rest_if_alone`` left it."""
    if norm.rests:
        norm.train()
