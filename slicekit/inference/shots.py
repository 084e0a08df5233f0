"""A few-shot model by its name, and a scan as it sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slicekit.data.grid import InPlane
from slicekit.data.intensity import as_expected
from slicekit.data.scale import with_likely_spacing
from slicekit.errors import CheckpointError, RecipeError
from slicekit.inference.model import DEFAULT_PROPAGATOR, Carrier, load_network, load_propagator
from slicekit.networks import ALPNet
from slicekit.recipes import InputRecipe, Recipe
from slicekit.runtime import Runtime, pick_runtime
from slicekit.superpixels.body import foreground
from slicekit.volume import Volume
from slicekit.windows import three_channels

_FRAME_PX = 64
"""Pixels a side of the frame in which places in two bodies are compared."""


def usual_box(array: NDArray[Any]) -> tuple[int, int, int, int]:
    """Return rows and columns ``(y0, y1, x0, x1)`` of the body on a usual slice of a scan.

    Each edge is the median over slices, so an arm or a fold on some of them moves nothing; the
    whole slice where there is no body.
    """
    boxes = []
    for inside in foreground(array):
        rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
        if len(rows):
            boxes.append((rows[0], rows[-1] + 1, columns[0], columns[-1] + 1))
    if not boxes:
        return 0, array.shape[1], 0, array.shape[2]
    y0, y1, x0, x1 = (int(edge) for edge in np.median(boxes, axis=0))
    return y0, max(y1, y0 + 1), x0, max(x1, x0 + 1)


@dataclass(frozen=True, eq=False)
class FewShot:
    """A few-shot network and, where it is wanted, the propagator that carries its guides."""

    network: ALPNet
    recipe: Recipe
    sha256: str
    """Of its tensors."""
    carrier: Carrier | None
    runtime: Runtime


def load_fewshot(
    name: str | Path,
    runtime: Runtime | None = None,
    *,
    propagator: bool | str | Path = True,
    cache: Path | None = None,
) -> FewShot:
    """Load a few-shot network and the propagator that its recipe names.

    Args:
        name: A bundled model's name, a recipe (``.toml``) or a weights file (``.safetensors``).
        runtime: Where it runs; decided automatically when ``None``. The network itself is always
            torch's.
        propagator: ``True`` takes the one of the recipe, the bundled one where it names none; a
            name or path takes that one; ``False`` takes none.
        cache: As for ``load_model``.

    Raises:
        RecipeError: No such model, it is of another role, or the propagator of another modality.
        CheckpointError: Weights are missing, damaged, or of another recipe.
    """
    runtime = runtime or pick_runtime()
    network, recipe, digest = load_network(name, runtime, "fewshot")
    if not isinstance(network, ALPNet):
        raise CheckpointError(f"{name}: a few-shot model is an ALPNet")
    carrier = None
    if propagator is not False:
        usual = recipe.inference.propagator or DEFAULT_PROPAGATOR
        wanted = usual if propagator is True else propagator
        carrier = load_propagator(wanted, runtime, cache=cache)
        if carrier.recipe.input.modality not in ("any", recipe.input.modality):
            raise RecipeError(
                f"the propagator {carrier.recipe.name!r} is of {carrier.recipe.input.modality}, "
                f"{recipe.name!r} of {recipe.input.modality}; choose one for any modality, or do "
                "without it (--no-propagation, propagator=False)"
            )
    return FewShot(network, recipe, digest, carrier, replace(runtime, backend="torch"))


@dataclass(frozen=True, eq=False)
class Sheets:
    """A scan as a few-shot network sees it, slice by slice."""

    image: Volume
    """In the recipe's unit."""
    recipe: InputRecipe
    grid: InPlane
    body: tuple[int, int, int, int]
    """Rows and columns ``(y0, y1, x0, x1)`` of the scan's own slices that usually hold the body."""

    @classmethod
    def of(cls, scan: Volume, recipe: InputRecipe, *, name: str = "the scan") -> Sheets:
        """Bring a scan into the recipe's unit and find its body."""
        image = as_expected(scan, recipe, name=name)
        image = with_likely_spacing(image, recipe, name=name)
        return cls(image, recipe, InPlane.of(image, recipe), usual_box(image.array))

    def windows(self, zs: Sequence[int]) -> Tensor:
        """Return slices as ``(n, 3, y, x)`` float32 on the network's grid."""
        low, high = self.recipe.range_hu
        planes = [
            self.grid.to_model(np.clip(self.image.array[z].astype(np.float32), low, high))
            for z in zs
        ]
        return torch.from_numpy(three_channels(np.stack(planes), self.recipe.three_windows))

    def mask(self, inside: NDArray[np.bool_]) -> Tensor:
        """Return the share of every pixel of the network's grid that lies in a mask ``(y, x)``."""
        return torch.from_numpy(self.grid.to_model(inside)).clamp(0, 1)

    def to_frame(self, plane: NDArray[Any]) -> NDArray[np.float32]:
        """Cut the body out of a slice ``(y, x)`` and bring it to the frame of all bodies."""
        y0, y1, x0, x1 = self.body
        cut = np.ascontiguousarray(plane[y0:y1, x0:x1], dtype=np.float32)
        frame = cv2.resize(cut, (_FRAME_PX, _FRAME_PX), interpolation=cv2.INTER_AREA)
        return np.asarray(frame, dtype=np.float32)

    def from_frame(self, frame: NDArray[np.float32], *, outside: float) -> Tensor:
        """Bring what lies in the frame of all bodies to ``(y, x)`` of the network's grid."""
        y0, y1, x0, x1 = self.body
        whole = np.full(self.grid.source_size, outside, np.float32)
        whole[y0:y1, x0:x1] = cv2.resize(frame, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
        return torch.from_numpy(self.grid.to_model(whole))
