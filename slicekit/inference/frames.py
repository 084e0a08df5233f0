"""Slices of a scan as a propagator sees them, cut to a region of interest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from slicekit.data.region import Region
from slicekit.inference.follow import Follower
from slicekit.inference.model import Carrier
from slicekit.inference.stretch import FollowSettings, Planes
from slicekit.recipes import InputRecipe
from slicekit.volume import Volume
from slicekit.windows import three_channels


def frames_of(
    scan: Volume,  # in the unit that the recipe expects
    recipe: InputRecipe,
) -> Planes:
    """Return a function from slices and a region to windows ``(n, 3, size, size)`` in [0, 1].

    Intensities are clipped before they are resampled, so that metal does not bleed into its
    surroundings; outside of the slice all is as dark as can be.
    """
    low, high = recipe.range_hu

    def planes(zs: Sequence[int], region: Region) -> Tensor:
        rows = slice(max(0, region.top), max(0, region.top + region.height))
        columns = slice(max(0, region.left), max(0, region.left + region.width))
        near = np.stack([scan.array[z, rows, columns] for z in zs]).astype(np.float32)
        near = np.clip(near, low, high)
        moved = region.moved(-rows.start, -columns.start)
        cut = np.clip(moved.cut(near, fill=low), low, high)
        return torch.from_numpy(three_channels(cut, recipe.three_windows))

    return planes


def follower_of(scan: Volume, carrier: Carrier, *, budget_bytes: int = 128 << 20) -> Follower:
    """Return what follows organs through a scan whose intensities are as the carrier expects.

    A network that was not trained on regions sees them with twice the pixels.
    """
    recipe = carrier.recipe
    tracks = recipe.training.tracks
    settings = FollowSettings(size=tracks.size if tracks else 256, budget_bytes=budget_bytes)
    planes = frames_of(scan, recipe.input)
    return Follower(planes, carrier.network, carrier.runtime, scan.spacing_mm, settings)
