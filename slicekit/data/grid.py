"""The recipe's in-plane grid: the body cropped out and resampled, one slice at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from slicekit.checks import expect_shape
from slicekit.recipes import InputRecipe
from slicekit.superpixels.body import body_box
from slicekit.volume import Volume


@dataclass(frozen=True)
class InPlane:
    """How slices of one volume lie on the recipe's grid.

    Both grids cover the same rectangle of the slice, so pixel edges agree and going there and
    back moves nothing.
    """

    source_size: tuple[int, int]
    """Pixels ``(y, x)`` of the volume's own slices."""
    box: tuple[int, int, int, int]
    """Rows and columns ``(y0, y1, x0, x1)`` of the source that are kept: the body."""
    model_size: tuple[int, int]
    """Pixels ``(y, x)`` that the box has on the recipe's grid."""

    @classmethod
    def of(cls, image: Volume, recipe: InputRecipe) -> InPlane:
        """Find the body of a volume and the size of its slices on the recipe's grid."""
        _, rows, columns = image.shape
        box = (0, rows, 0, columns)
        if recipe.body_above_hu is not None:
            box = body_box(image.array, threshold_hu=recipe.body_above_hu)
        _, step_y, step_x = image.spacing_mm
        size = (
            max(1, round((box[1] - box[0]) * step_y / recipe.spacing_mm)),
            max(1, round((box[3] - box[2]) * step_x / recipe.spacing_mm)),
        )
        return cls((rows, columns), box, size)

    def crop(self, plane: NDArray[Any]) -> NDArray[Any]:
        """Cut the box out of a slice ``(y, x)``."""
        expect_shape("slice", plane, f"{self.source_size[0]} {self.source_size[1]}")
        y0, y1, x0, x1 = self.box
        return plane[y0:y1, x0:x1]

    def to_model(self, plane: NDArray[Any]) -> NDArray[np.float32]:
        """Resample a slice ``(y, x)`` linearly, with anti-aliasing where it shrinks."""
        cut = torch.from_numpy(np.ascontiguousarray(self.crop(plane), dtype=np.float32))
        sized = F.interpolate(
            cut[None, None], self.model_size, mode="bilinear", antialias=True, align_corners=False
        )
        out: NDArray[np.float32] = sized[0, 0].numpy()
        return out

    def labels_to_model(self, plane: NDArray[Any]) -> NDArray[np.uint8]:
        """Resample a label slice ``(y, x)`` by the nearest pixel."""
        cut = torch.from_numpy(np.ascontiguousarray(self.crop(plane), dtype=np.float32))
        sized = F.interpolate(cut[None, None], self.model_size, mode="nearest-exact")
        return sized[0, 0].numpy().astype(np.uint8)
