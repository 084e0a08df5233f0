"""A scan on an isotropic grid, cropped to its body, for networks that see it as a solid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from slicekit.checks import expect_shape
from slicekit.data.grid import InPlane
from slicekit.recipes import InputRecipe
from slicekit.volume import Volume


@dataclass(frozen=True)
class Solid:
    """How a scan lies on the isotropic grid; both cover the same block."""

    in_plane: InPlane
    source_depth: int
    """Slices of the scan."""
    depth: int
    """Slices of the grid."""

    @classmethod
    def of(cls, image: Volume, recipe: InputRecipe) -> Solid:
        """Find the body of a scan and its size at ``recipe.spacing_mm`` along all axes."""
        count = len(image.array)
        depth = max(1, round(count * image.spacing_mm[0] / recipe.spacing_mm))
        return cls(InPlane.of(image, recipe), count, depth)

    @property
    def size(self) -> tuple[int, int, int]:
        """Voxels ``(z, y, x)`` of the grid."""
        return (self.depth, *self.in_plane.model_size)

    def to_model(self, image: Volume, recipe: InputRecipe) -> NDArray[np.float32]:
        """Return ``(z, y, x)`` intensities of the grid, the recipe's range as ``[0, 1]``.

        Linear, with anti-aliasing where an axis shrinks. Memory: 4 bytes a voxel of the scan's
        slices on the grid, and of the grid.
        """
        low, high = recipe.range_hu
        planes = np.empty((self.source_depth, *self.in_plane.model_size), np.float32)
        for z in range(self.source_depth):
            clipped = np.clip(image.array[z].astype(np.float32), low, high)
            planes[z] = (self.in_plane.to_model(clipped) - low) / (high - low)
        flat = torch.from_numpy(planes).flatten(1)[None, None]
        moved = F.interpolate(
            flat, (self.depth, flat.shape[-1]), mode="bilinear", antialias=True, align_corners=False
        )
        solid: NDArray[np.float32] = moved.view(self.size).clamp(0.0, 1.0).numpy()
        return solid

    def labels_to_model(self, labels: NDArray[Any]) -> NDArray[np.uint8]:
        """Return ``(z, y, x)`` labels of the grid, by the nearest voxel."""
        expect_shape("labels", labels, f"{self.source_depth} y x")
        out = np.empty(self.size, np.uint8)
        for k, z in enumerate(self._nearest()):
            out[k] = self.in_plane.labels_to_model(labels[z])
        return out

    def slices_of(self, solid: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Yield the scan's slices ``(channels, y, x)`` of a grid ``(channels, z, y, x)``.

        In the plane they still lie on the grid: ``inference.resample.decide_on`` goes on.
        """
        expect_shape("solid", solid, "channels " + " ".join(map(str, self.size)))
        for z in range(self.source_depth):
            at = (z + 0.5) * self.depth / self.source_depth - 0.5
            at = min(max(at, 0.0), self.depth - 1.0)
            below = min(int(at), max(0, self.depth - 2))
            above = min(below + 1, self.depth - 1)
            yield z, torch.lerp(solid[:, below].float(), solid[:, above].float(), at - below)

    def _nearest(self) -> list[int]:
        """Return the scan's slice that is nearest to every slice of the grid."""
        share = self.source_depth / self.depth
        return [min(int((k + 0.5) * share), self.source_depth - 1) for k in range(self.depth)]
