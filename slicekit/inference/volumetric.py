"""A scan as a solid: overlapping patches through a volumetric network, blended into labels.

The yardstick beside the slice-wise pipeline, behind the same door. Where memory runs out the scan
is looked at again with larger voxels, and a warning says so.

Reference: Gao et al. (FLARE22), section 2.2; nnU-Net's sliding window (Isensee et al. 2021).
"""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slicekit.data.solid import Solid
from slicekit.errors import DataWarning, lacks_memory
from slicekit.inference.resample import decide_on
from slicekit.io.budget import available_bytes, in_words
from slicekit.recipes import Recipe
from slicekit.runtime import Runtime
from slicekit.volume import Volume

log = logging.getLogger(__name__)


def name_in_patches(
    image: Volume,
    network: Callable[..., Any],
    recipe: Recipe,
    runtime: Runtime,
    *,
    told: Callable[[int, int], None] = lambda done, total: None,
    name: str = "the scan",
) -> NDArray[Any]:
    """Name every voxel of a scan.

    Memory: of the scan's body at the recipe's spacing 4 bytes a voxel and class, and 12 a voxel
    besides; at ``coarse_spacing_mm`` where that cannot be had. It is asked for before it is taken,
    since a system that lends more than it has ends the process instead of refusing.

    Args:
        image: In the unit that the recipe expects.
        network: ``(b, 1, z, y, x)`` to logits ``(b, classes, z, y, x)``.
        recipe: A volumetric model.
        runtime: Device and precision.
        told: Told the patches done and the patches in all.
        name: How a warning calls the scan.

    Returns:
        ``(z, y, x)`` ids on the scan's own grid, uint8.

    Raises:
        MemoryError, RuntimeError: Not even the coarse grid fits.

    Warns:
        DataWarning: Memory ran out, and the answer is coarser.
    """
    fine, coarse = recipe.input.spacing_mm, recipe.inference.coarse_spacing_mm
    try:
        return _name(image, network, recipe, runtime, spacing_mm=fine, told=told)
    except (MemoryError, RuntimeError) as fault:
        if not lacks_memory(fault) or coarse <= fine:
            raise
        warnings.warn(
            f"{name}: {fine:g} mm voxels do not fit the memory; it is segmented with {coarse:g} mm "
            "voxels instead, small organs suffer - close other programs or take a larger machine",
            DataWarning, stacklevel=2,
        )  # fmt: skip
    gc.collect()  # what the failed attempt held
    if runtime.device.type == "cuda":
        torch.cuda.empty_cache()
    return _name(image, network, recipe, runtime, spacing_mm=coarse, told=told)


def _name(
    image: Volume,
    network: Callable[..., Any],
    recipe: Recipe,
    runtime: Runtime,
    *,
    spacing_mm: float,
    told: Callable[[int, int], None],
) -> NDArray[Any]:
    from monai.inferers.utils import sliding_window_inference  # takes a second, and few need it

    seen = recipe.input.model_copy(update={"spacing_mm": spacing_mm})
    solid = Solid.of(image, seen)
    _expect_room(solid, classes=len(recipe.labels) + 1)
    patch = recipe.training.patch
    steps = [max(1, int(side * (1 - recipe.inference.overlap))) for side in patch]
    counts = [
        -(-max(0, have - side) // step) + 1
        for have, side, step in zip(solid.size, patch, steps, strict=True)
    ]
    total, done = int(np.prod(counts)), 0

    def look(patches: Tensor) -> Tensor:
        nonlocal done
        with runtime.autocast():
            logits: Tensor = network(runtime.put(patches))
        done += len(patches)
        told(min(done, total), total)
        return logits.float()

    with torch.inference_mode():
        logits = sliding_window_inference(
            torch.from_numpy(solid.to_model(image, seen))[None, None],
            roi_size=patch,
            sw_batch_size=1,
            predictor=look,
            overlap=recipe.inference.overlap,
            mode="gaussian",
            sw_device=runtime.device,
            device=torch.device("cpu"),
        )
        decide = decide_on(solid.in_plane)
        labels = np.zeros(image.shape, np.uint8)
        for z, plane in solid.slices_of(logits[0]):
            labels[z] = decide(plane.softmax(dim=0)).chosen
    return labels


def _expect_room(solid: Solid, *, classes: int) -> None:
    """Raise MemoryError where the logits of a whole grid do not fit."""
    needed, left = int(np.prod(solid.size)) * (4 * classes + 12), available_bytes()
    if needed > left:
        raise MemoryError(f"{solid.size} voxels need {in_words(needed)}, {in_words(left)} are left")
