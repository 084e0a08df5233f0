"""Slices of many scans, ready to be drawn: on the recipe's grid, cropped to the body, cached.

Intensities are clipped to what the recipe's windows can tell apart and kept as int16 (``STEPS``
over that range), so a slice of 240 x 300 pixels takes 144 KB and its labels 72 KB. What does not
fit the stated budget lies in a file on disk and is mapped into memory.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicekit.data.cases import Case
from slicekit.data.grid import InPlane
from slicekit.data.intensity import as_expected
from slicekit.data.on_disk import keep_on_disk
from slicekit.data.scale import with_likely_spacing
from slicekit.data.truth import read_truth
from slicekit.errors import DatasetError, DataWarning, SlicekitError
from slicekit.io import read_volume
from slicekit.labels import IGNORE_ID, LabelSet
from slicekit.recipes import InputRecipe
from slicekit.volume import Volume

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class CachedScan:
    """One scan on the recipe's grid."""

    name: str
    slices: NDArray[np.int16]
    """``(z, y, x)`` intensities as steps: 0 is the lowest that any window sees."""
    labels: NDArray[np.uint8] | None
    """``(z, y, x)`` organ ids, or ``None`` for an unlabelled scan."""
    step_mm: float
    """Distance between slices."""
    known_ids: frozenset[int] | None = None
    """Organs that somebody annotated, ``None`` for all; where another one lies the label is 0."""
    digest: str = ""
    """Tells whether two scans hold the same slices; empty where nobody asked."""

    @cached_property
    def _holds(self) -> NDArray[np.bool_]:
        """Return ``(z, 256)``: which ids a slice holds, 0 on every slice of an unlabelled scan."""
        holds = np.zeros((len(self.slices), IGNORE_ID + 1), dtype=np.bool_)
        if self.labels is None:
            holds[:, 0] = True
        else:
            for z, mask in enumerate(self.labels):
                holds[z] = np.bincount(mask.ravel(), minlength=IGNORE_ID + 1) > 0
        return holds

    @cached_property
    def slices_of(self) -> dict[int, NDArray[np.intp]]:
        """Organ id to the slices that hold it."""
        held = np.flatnonzero(self._holds[:, 1:IGNORE_ID].any(axis=0)) + 1
        return {int(number): np.flatnonzero(self._holds[:, number]) for number in held}

    @cached_property
    def annotated(self) -> NDArray[np.intp]:
        """Slices of which somebody knows something; every slice of an unlabelled scan."""
        return np.flatnonzero(self._holds[:, :IGNORE_ID].any(axis=1))

    def known_classes(self, count: int) -> NDArray[np.bool_]:
        """Return ``(count,)``: which classes somebody annotated; background, the first, always.

        Of an unlabelled scan nobody knows anything but that.
        """
        known = np.full(count, self.labels is not None and self.known_ids is None)
        known[[0, *(() if self.labels is None else self.known_ids or ())]] = True
        return known

    @property
    def nbytes(self) -> int:
        """Bytes that the arrays take."""
        return self.slices.nbytes + (0 if self.labels is None else self.labels.nbytes)


STEPS = 16_000
"""Steps between the lowest and the highest intensity; finer than any window needs."""


def unit_slices(steps: NDArray[np.int16]) -> NDArray[np.float32]:
    """Turn cached steps into floats in ``[0, 1]`` over the recipe's range."""
    return steps.astype(np.float32) / np.float32(STEPS)


def cache_scan(
    name: str,
    image: Volume,
    labels: Volume | None,
    *,
    recipe: InputRecipe,
    known_ids: frozenset[int] | None = None,
) -> CachedScan:
    """Bring one scan to the recipe's grid.

    Args:
        name: How messages call it.
        image: The scan, in HU for CT.
        labels: Its label map on the same grid, or ``None``.
        recipe: Windows, spacing and how the body is found.
        known_ids: Organs that somebody annotated, ``None`` for all.

    Returns:
        The scan cropped to its body, clipped, resampled slice by slice.
    """
    grid = InPlane.of(image, recipe)
    low, high = recipe.range_hu
    steps = np.empty((image.shape[0], *grid.model_size), dtype=np.int16)
    masks = None if labels is None else np.empty(steps.shape, dtype=np.uint8)
    for z in range(image.shape[0]):
        clipped = np.clip(image.array[z].astype(np.float32), low, high)
        unit = (grid.to_model(clipped) - low) / (high - low)
        steps[z] = np.rint(np.clip(unit, 0.0, 1.0) * STEPS).astype(np.int16)
        if masks is not None and labels is not None:
            masks[z] = grid.labels_to_model(labels.array[z])
    if masks is not None and labels is not None:
        _tell_vanished(name, labels, masks)
    digest = blake2b(steps.data, key=str(steps.shape).encode(), digest_size=16).hexdigest()
    return CachedScan(name, steps, masks, image.spacing_mm[0], known_ids, digest)


def _tell_vanished(name: str, labels: Volume, masks: NDArray[np.uint8]) -> None:
    """Warn about organs that the recipe's grid is too coarse for."""
    kept = {0, IGNORE_ID, *np.unique(masks).tolist()}
    gone = sorted(set(np.unique(labels.array).tolist()) - kept)
    if gone:
        warnings.warn(
            f"{name}: the ids {gone} have no pixel left on the recipe's grid; they are too small "
            "for its spacing, or lie outside of the body",
            DataWarning,
            stacklevel=2,
        )


def read_case(case: Case, *, labels: LabelSet | None, recipe: InputRecipe) -> CachedScan:
    """Read one case of a dataset and bring it to the recipe's grid.

    Args:
        case: The scan and its labels.
        labels: The organs there may be; any ids for ``None``.
        recipe: What the networks see.

    Raises:
        ReadError: A file cannot be read.
        GeometryError: The labels lie on another grid.
        LabelError: A label is no id at all.
        DatasetError: The labels hold an id that they must not hold, an annotated slice is not
            there, or several of all these faults were found; the message lists them.
    """
    image = read_volume(case.image)
    truth = (
        None if case.labels is None else read_truth(case.labels, case, image=image, organs=labels)
    )
    image = as_expected(image, recipe, name=str(case.image))
    image = with_likely_spacing(image, recipe, name=str(case.image))
    drawn, known = (None, None) if truth is None else truth
    return cache_scan(case.name, image, drawn, recipe=recipe, known_ids=known)


def cache_scans(
    loaders: Iterable[Callable[[], CachedScan]], *, budget_bytes: int, folder: Path | None = None
) -> tuple[CachedScan, ...]:
    """Load scans one by one, in memory up to a budget and on disk beyond it.

    Args:
        loaders: Each makes one scan.
        budget_bytes: Memory that the scans may take together.
        folder: Where the rest lies; in temporary files that go with the scans when ``None``.

    Returns:
        The scans, in the order of their loaders.

    Raises:
        DatasetError: More than one scan cannot be used; the message lists them all. The fault
            of a single one is raised as it is.
        WriteError: The disk cannot hold the rest.
    """
    scans: list[CachedScan] = []
    faults: list[SlicekitError] = []
    used = 0
    for load in loaders:
        try:
            scan = load()
        except SlicekitError as fault:
            faults.append(fault)
            continue
        if faults:
            continue  # only look whether the others can be read
        if used + scan.nbytes > budget_bytes:
            scan = _on_disk(scan, folder, len(scans))
        else:
            used += scan.nbytes
        scans.append(scan)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise DatasetError(
            f"{len(faults)} scans cannot be used:\n" + "\n".join(f"- {fault}" for fault in faults)
        )
    count = sum(len(scan.slices) for scan in scans)
    log.info("%d slices cached, %.2f GiB in memory", count, used / 2**30)
    return tuple(scans)


def draw_slice(
    scans: Sequence[CachedScan], rng: np.random.Generator, *, balanced_share: float = 0.5
) -> tuple[CachedScan, int]:
    """Draw one slice; in a share of the draws an organ is drawn first, then a slice with it.

    Args:
        scans: Where to draw from; every slice of which something is known counts the same.
        rng: Randomness.
        balanced_share: Share of draws that begin with an organ, so that small organs are seen.

    Raises:
        DatasetError: Nobody annotated a slice of any scan.
    """
    if rng.random() < balanced_share:
        numbers = sorted({number for scan in scans for number in scan.slices_of})
        if numbers:
            number = numbers[rng.integers(len(numbers))]
            holding = [scan for scan in scans if number in scan.slices_of]
            scan = holding[rng.integers(len(holding))]
            return scan, int(rng.choice(scan.slices_of[number]))
    lengths = np.array([len(scan.annotated) for scan in scans])
    if not lengths.any():
        raise DatasetError(f"no slice of {len(scans)} scans is annotated; mend annotations.json")
    scan = scans[rng.choice(len(scans), p=lengths / lengths.sum())]
    return scan, int(scan.annotated[rng.integers(len(scan.annotated))])


def _on_disk(scan: CachedScan, folder: Path | None, number: int) -> CachedScan:
    def kept(array: NDArray[Any], what: str) -> NDArray[Any]:
        return keep_on_disk(array, folder and folder / f"{number:05d}_{what}.npy")

    labels = None if scan.labels is None else kept(scan.labels, "labels")
    return replace(scan, slices=kept(scan.slices, "slices"), labels=labels)


def crop_or_pad(
    arrays: Sequence[NDArray[Any]],  # each (n, y, x)
    size: tuple[int, int],
    *,
    fills: Sequence[float],
    rng: np.random.Generator,
    about: tuple[int, int] | None = None,
) -> list[NDArray[Any]]:
    """Cut the same random window out of several arrays, padding where they are smaller.

    Args:
        arrays: Each ``(n, y, x)`` with one ``(y, x)``.
        size: ``(y, x)`` of the window.
        fills: Value of the padding, one an array.
        rng: Randomness.
        about: A pixel that the window should hold, or ``None`` for any window.
    """
    starts = []
    for axis, (have, want) in enumerate(zip(arrays[0].shape[1:], size, strict=True)):
        low, high = min(0, have - want), max(0, have - want)
        if about is not None and have > want:
            low, high = (np.clip(v, 0, have - want) for v in (about[axis] - want + 1, about[axis]))
        starts.append(int(rng.integers(low, high + 1)))
    cut = []
    for array, fill in zip(arrays, fills, strict=True):
        out = np.full((len(array), *size), fill, dtype=array.dtype)
        source, target = [slice(None)], [slice(None)]
        for start, have, want in zip(starts, array.shape[1:], size, strict=True):
            source.append(slice(max(0, start), min(have, start + want)))
            target.append(
                slice(max(0, -start), max(0, -start) + source[-1].stop - source[-1].start)
            )
        out[tuple(target)] = array[tuple(source)]
        cut.append(out)
    return cut
