"""The network of nnU-Net, of MONAI's blocks: a plain volumetric U-Net, the yardstick of the field.

Reference: Isensee et al. 2021 (nnU-Net); Gao et al. (FLARE22) used it with 31.42 million
parameters, ``paper`` has 31.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from torch import Tensor, nn

from slicekit.checks import expect_shape, suggest
from slicekit.errors import RecipeError


@dataclass(frozen=True)
class Shape:
    """How large the network is."""

    filters: tuple[int, ...]
    """Channels a level; each level after the first halves the grid."""

    @property
    def multiple(self) -> int:
        """Patches must be multiples of this many voxels along every axis."""
        return int(2 ** (len(self.filters) - 1))


PRESETS = {
    "tiny": Shape((8, 16, 32)),
    "small": Shape((16, 32, 64, 128, 128)),
    "paper": Shape((32, 64, 128, 256, 320, 320)),
}


class DynUNet(nn.Module):
    """Solids in, class logits out.

    MONAI's network of this name holds each of its blocks twice, the second time in the order of
    its ``forward``; here each is held once, so a state dict names every weight once.

    Args:
        shape: How large.
        classes: Channels that come out, background included.
    """

    def __init__(self, shape: Shape, *, classes: int) -> None:
        super().__init__()
        from monai.networks.nets.dynunet import DynUNet as Monai  # late: it takes a second

        strides = [1, *[2] * (len(shape.filters) - 1)]
        blocks = Monai(
            spatial_dims=3,
            in_channels=1,
            out_channels=classes,
            kernel_size=[3] * len(shape.filters),
            strides=strides,
            upsample_kernel_size=strides[1:],
            filters=shape.filters,
        )
        self.input_block, self.downsamples = blocks.input_block, blocks.downsamples
        self.bottleneck, self.upsamples = blocks.bottleneck, blocks.upsamples
        self.output_block = blocks.output_block

    def forward(
        self,
        solids: Tensor,  # (b, 1, z, y, x) in [0, 1], every axis a multiple of Shape.multiple
    ) -> Tensor:  # (b, classes, z, y, x) logits
        """Return one logit a class and voxel.

        Raises:
            ShapeError: The solids have not five axes and one channel.
        """
        expect_shape("solids", solids, "b 1 z y x")
        levels = [self.input_block(solids)]
        for down in self.downsamples:
            levels.append(down(levels[-1]))
        deepest: Tensor = self.bottleneck(levels[-1])
        for up in self.upsamples:
            deepest = up(deepest, levels.pop())
        logits: Tensor = self.output_block(deepest)
        return logits


def dynunet(preset: str, *, classes: int) -> DynUNet:
    """Build the network with random weights.

    Args:
        preset: ``"tiny"`` (tests), ``"small"`` or ``"paper"`` (31,189,806 parameters at 14
            classes).
        classes: Channels that come out, background included.

    Raises:
        RecipeError: There is no such preset.
    """
    if preset not in PRESETS:
        raise RecipeError(f"unknown preset {preset!r} of dynunet; {suggest(preset, PRESETS)}")
    return DynUNet(PRESETS[preset], classes=classes)


def expect_patch(preset: str, patch: tuple[int, int, int]) -> None:
    """Refuse a patch whose sides the levels of a preset cannot halve.

    Raises:
        RecipeError: A side is not a multiple of ``PRESETS[preset].multiple``, or all are just that:
            a single voxel at the deepest level leaves its norm nothing to average over.
    """
    multiple = PRESETS[preset].multiple
    if any(side % multiple for side in patch) or prod(patch) == multiple**3:
        raise RecipeError(
            f"training.patch of dynunet's preset {preset!r} must be multiples of {multiple} voxels "
            f"along every axis, and one of them twice that or more, got {list(patch)}"
        )
