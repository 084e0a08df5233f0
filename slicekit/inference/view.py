"""A scan as the networks of a reference see it, slice by slice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slicekit.data.grid import InPlane
from slicekit.inference.model import Model
from slicekit.volume import Volume
from slicekit.windows import three_channels

_SLICES_AT_ONCE = 4
_MOST_SAMPLES = 256

MembersTold = Callable[[int, Tensor], None]
"""Told a slice's number and ``(members, classes, y, x)`` probabilities, one network a member."""


def nobody_told(z: int, probabilities: Tensor) -> None:
    """Let what is said of a slice pass."""


@dataclass(frozen=True, eq=False)
class View:
    """A scan and the model that looks at it."""

    image: Volume
    model: Model
    grid: InPlane
    members_told: MembersTold = nobody_told
    """Told what every network says of every slice that is looked at."""

    @classmethod
    def of(cls, image: Volume, model: Model) -> View:
        """Find where the scan's body lies on the model's grid."""
        return cls(image, model, InPlane.of(image, model.recipe.input))

    def windows(self, z: int) -> Tensor:
        """Return slice z as ``(3, y, x)`` float32 on the model's grid."""
        low, high = self.model.recipe.input.range_hu
        clipped = np.clip(self.image.array[z].astype(np.float32), low, high)
        shown = three_channels(self.grid.to_model(clipped), self.model.recipe.input.three_windows)
        return torch.from_numpy(shown)

    def empty_labels(self) -> NDArray[Any]:
        """Return background for the whole scan."""
        largest = max(self.model.recipe.organs.values())
        return np.zeros(self.image.shape, dtype=np.uint8 if largest < 256 else np.uint16)

    def look(
        self, zs: Sequence[int], *, told: Callable[[int], None] = lambda done: None
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Yield slice, mean probabilities ``(classes, y, x)`` and choices ``(members, y, x)``."""
        for z, members in self.ask(zs, told=told):
            yield z, members.mean(dim=0), members.argmax(dim=1)

    def ask(
        self, zs: Sequence[int], *, told: Callable[[int], None] = lambda done: None
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield slice and what every network says, ``(members, classes, y, x)`` probabilities."""
        runtime, last = self.model.runtime, max(1, self.image.shape[0] - 1)
        for start in range(0, len(zs), _SLICES_AT_ONCE):
            batch = zs[start : start + _SLICES_AT_ONCE]
            slices = runtime.put(torch.stack([self.windows(z) for z in batch]))
            position = torch.tensor([z / last for z in batch], device=runtime.device)
            with torch.inference_mode(), runtime.autocast():
                said = self.model.reference(slices, position)
                shares = [logits.float().softmax(dim=1) for logits in said]
            for n, z in enumerate(batch):
                members = torch.stack([share[n] for share in shares])
                self.members_told(z, members)
                yield z, members
            told(min(start + _SLICES_AT_ONCE, len(zs)))


def sample_slices(image: Volume, *, every_mm: float) -> list[int]:
    """Choose the slices that the reference looks at: evenly, both ends included.

    Reference: Pham et al. (FLARE22) take every fifth slice; here the distance is in mm.
    """
    count = image.shape[0]
    step = max(1, round(every_mm / image.spacing_mm[0]), -(-count // _MOST_SAMPLES))
    return sorted({*range(0, count, step), count - 1})
