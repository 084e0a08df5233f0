"""Clips: three slices of one scan, as a propagator meets them.

The first slice is a guide whose mask may be imperfect; the other two follow in one direction
at distances drawn in millimetres. In a share of the clips an organ of the first slice is gone
in the last one, so that the propagator learns to stop.

Reference: STCN training (three frames, growing gaps); gaps in mm and ending organs are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slicekit.data.augment import STRONG, Draw
from slicekit.data.slices import CachedScan, crop_or_pad, unit_slices
from slicekit.errors import DatasetError
from slicekit.labels import IGNORE_ID
from slicekit.recipes import ClipRecipe

_LENGTH = 3
_SMALLEST_GUIDE = 12
_TRIES = 10


@dataclass(frozen=True, eq=False)
class Clip:
    """Three slices and the objects that are followed through them."""

    slices: NDArray[np.float32]
    """``(3, y, x)`` in ``[0, 1]`` over the recipe's range."""
    objects: NDArray[np.uint8]
    """``(3, y, x)``: 0 background, 1 to k the objects, ``IGNORE_ID`` outside the slice."""
    guide: NDArray[np.uint8]
    """``(y, x)``: the first mask as the propagator gets it, perhaps degraded."""


def draw_clip(
    scans: Sequence[CachedScan],
    rng: np.random.Generator,
    *,
    recipe: ClipRecipe,
    size: tuple[int, int],
    reach: float = 1.0,
) -> Clip:
    """Draw one clip.

    Args:
        scans: Labelled scans; each is as likely, and so is every organ of the one drawn.
        rng: Randomness.
        recipe: Gaps, objects, shares.
        size: Pixels ``(y, x)`` of the slices.
        reach: Share of the largest gap in use; training lets it grow.

    Raises:
        DatasetError: No scan holds a labelled organ.
    """
    scan, labels, where = _draw_place(scans, rng, recipe=recipe, reach=reach)
    images, masks = unit_slices(scan.slices[where]), labels[where]
    inside = np.argwhere((masks[0] > 0) & (masks[0] != IGNORE_ID))
    y, x = inside[rng.integers(len(inside))]
    images, masks = crop_or_pad(
        [images, masks], size, fills=[0.0, IGNORE_ID], rng=rng, about=(int(y), int(x))
    )
    images, moved = Draw.draw(rng, STRONG).apply(images, masks)
    objects = _choose_objects(masks if moved is None else moved, rng, most=recipe.objects)
    guide = objects[0]
    if rng.random() < recipe.degrade_share:
        guide = degrade(guide, rng)
    return Clip(images, objects, guide)


def _draw_place(
    scans: Sequence[CachedScan], rng: np.random.Generator, *, recipe: ClipRecipe, reach: float
) -> tuple[CachedScan, NDArray[np.uint8], list[int]]:
    """Choose a scan and three slices of which the first holds a chosen organ."""
    usable = [(s, s.labels) for s in scans if s.labels is not None and s.slices_of]
    if not usable:
        raise DatasetError("no labelled organ to draw a clip from; the scans hold no labels")
    low_mm, high_mm = recipe.gap_mm
    high_mm = low_mm + (high_mm - low_mm) * reach
    tries = _TRIES if rng.random() < recipe.ending_share else 0
    while True:
        scan, labels = usable[int(rng.integers(len(usable)))]
        numbers = sorted(scan.slices_of)
        held = scan.slices_of[numbers[rng.integers(len(numbers))]]
        way = int(rng.choice((-1, 1)))
        gaps = [max(1, round(rng.uniform(low_mm, high_mm) / scan.step_mm)) for _ in range(2)]
        last = len(scan.slices) - 1
        if tries > 0:
            tries -= 1
            edge = int(held.max() if way > 0 else held.min())
            first = edge - way * int(rng.integers(0, sum(gaps)))
            if first not in held or not 0 <= first + way * sum(gaps) <= last:
                continue
        else:
            first = int(rng.choice(held))
        where = [first, first + way * gaps[0], first + way * sum(gaps)]
        return scan, labels, [int(np.clip(z, 0, last)) for z in where]


def _choose_objects(
    masks: NDArray[np.uint8], rng: np.random.Generator, *, most: int
) -> NDArray[np.uint8]:
    """Renumber up to ``most`` organs of the first mask as 1 to k; the rest is background."""
    counts = np.bincount(masks[0].ravel(), minlength=256)
    counts[[0, IGNORE_ID]] = 0
    present = np.flatnonzero(counts >= _SMALLEST_GUIDE)
    chosen = rng.permutation(present)[:most]
    table = np.zeros(256, dtype=np.uint8)
    table[IGNORE_ID] = IGNORE_ID
    table[chosen] = np.arange(1, len(chosen) + 1)
    return table[masks]


def degrade(guide: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Erode, dilate or shift a guide by up to three pixels, as a hurried hand would.

    Args:
        guide: ``(y, x)`` with objects 1 to k.
        rng: Randomness.

    Returns:
        A mask of the same shape; an object that would vanish is kept as it was, and where that
        would hide another one, the whole guide is.
    """
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * int(rng.integers(1, 3)) + 1,) * 2)
    kind = rng.integers(3)
    if kind == 0:
        dy, dx = (int(step) for step in rng.integers(-3, 4, size=2))
        y, x = guide.shape
        moved = np.pad(guide, 3)[3 - dy : 3 - dy + y, 3 - dx : 3 - dx + x].copy()
    else:
        morph = cv2.erode if kind == 1 else cv2.dilate
        moved = np.zeros_like(guide)
        for number in range(1, int(guide[guide != IGNORE_ID].max(initial=0)) + 1):
            shape = morph((guide == number).astype(np.uint8), kernel)
            moved[(shape > 0) & ((guide == 0) | (guide == number))] = number
        moved[guide == IGNORE_ID] = IGNORE_ID
    for number in np.unique(guide):
        if number and not (moved == number).any():
            moved[guide == number] = number
    hidden = np.setdiff1d(guide[guide > 0], moved)
    return guide if hidden.size else moved
