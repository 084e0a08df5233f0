"""From a scan and a model to labels: reference, selection, propagation.

Reference: Pham et al. (FLARE22): a pair of networks names the organs on sampled slices, the
surest slices become guides, STCN carries their masks through the scan in both directions.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slicekit.data.grid import InPlane
from slicekit.data.intensity import as_expected
from slicekit.data.scale import with_likely_spacing
from slicekit.inference.evidence import Sample, summarise
from slicekit.inference.frames import follower_of
from slicekit.inference.guides import Guide, carried
from slicekit.inference.model import Carrier, Model
from slicekit.inference.organwise import Opinions, OrganGuide, carry_organs
from slicekit.inference.propagate import propagate
from slicekit.inference.resample import decide_on
from slicekit.inference.selection import GuideChoice, SelectionSettings, select, selector_named
from slicekit.inference.settings import PropagateSettings
from slicekit.io import read_volume
from slicekit.labels import LabelSet
from slicekit.volume import Volume
from slicekit.windows import three_channels

log = logging.getLogger(__name__)

_MOST_SAMPLES = 256
_SLICES_AT_ONCE = 4

Progress = Callable[[str, int, int], None]
"""Told the stage, the slices done and the slices in all."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Labels, and how they came about."""

    labels: Volume
    """``(z, y, x)`` ids on the scan's own grid; uint8, uint16 above 255."""
    names: LabelSet
    """What the ids mean."""
    image: Volume
    """The scan as the model takes it: in its unit, its spacing guessed where nobody knows it."""
    guides: tuple[GuideChoice, ...]
    """Guide slices, what they carried and why; none without a propagator."""
    seconds: dict[str, float]
    """Time of each stage."""


@dataclass
class Stopwatch:
    """Seconds spent in named stages."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count the time of a block."""
        started = time.perf_counter()
        try:
            yield
        finally:
            passed = time.perf_counter() - started
            self.seconds[stage] = self.seconds.get(stage, 0.0) + passed


def segment(
    scan: Volume | str | Path,
    model: Model,
    *,
    organs: Sequence[str] | None = None,
    selector: str | None = None,
    progress: Progress | None = None,
) -> Volume:
    """Segment a scan.

    Args:
        scan: A volume in HU, or the path of one.
        model: From ``load_model``.
        organs: Names to keep; all the model knows when ``None``.
        selector: How guides are chosen; as the recipe says when ``None``.
        progress: Told about every slice.

    Returns:
        ``(z, y, x)`` labels on the scan's own grid; ids as in ``model.recipe.organs``.

    Raises:
        ReadError: The file cannot be read.
        LabelError: An organ is unknown.
        RecipeError: There is no such selector.

    Reference: Pham et al. (FLARE22).
    """
    expect_known(model, organs=organs, selector=selector)  # before a scan is read in vain
    volume = scan if isinstance(scan, Volume) else read_volume(scan)
    return segment_volume(volume, model, organs=organs, selector=selector, progress=progress).labels


def segment_volume(
    scan: Volume,
    model: Model,
    *,
    organs: Sequence[str] | None = None,
    selector: str | None = None,
    progress: Progress | None = None,
    name: str = "the scan",
) -> Segmentation:
    """Segment a scan and tell how.

    Memory beside the scan and its labels: a byte a pixel of every sampled slice, what
    ``inference.propagate`` says of one gap, and a batch of slices in the networks; float
    probabilities of all organs are never held for all slices.

    Args and errors are those of ``segment``; ``name`` is how warnings call the scan.
    """
    names = expect_known(model, organs=organs, selector=selector)
    watch = Stopwatch()
    with watch("prepare"):
        image = as_expected(scan, model.recipe.input, name=name)
        image = with_likely_spacing(image, model.recipe.input, name=name)
        view = _View.of(image, model)
    guides: tuple[GuideChoice, ...] = ()
    if model.propagator is None:
        labels = _name_every_slice(view, watch, progress)
    else:
        labels, guides = _carry_guides(view, watch, progress, selector=selector)
    if organs is not None:
        labels = np.where(np.isin(labels, list(names.ids.values())), labels, labels.dtype.type(0))
    seconds = {stage: round(value, 3) for stage, value in watch.seconds.items()}
    return Segmentation(scan.with_array(labels), names, image, guides, seconds)


def expect_known(model: Model, *, organs: Sequence[str] | None, selector: str | None) -> LabelSet:
    """Refuse unknown organs and selectors before anything is read or computed.

    Returns:
        The organs to keep.

    Raises:
        LabelError: An organ is unknown; the message suggests the likely one.
        RecipeError: There is no such selector.
    """
    selector_named(selector or model.recipe.inference.selector)
    if organs is None:
        return model.recipe.labels
    return model.recipe.labels.subset([organs] if isinstance(organs, str) else organs)


@dataclass(frozen=True, eq=False)
class _View:
    """A scan as the networks of a model see it."""

    image: Volume
    model: Model
    grid: InPlane

    @classmethod
    def of(cls, image: Volume, model: Model) -> _View:
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


def _look(
    view: _View, zs: Sequence[int], *, told: Callable[[int], None] = lambda done: None
) -> Iterator[tuple[int, Tensor, Tensor, Tensor]]:
    """Yield slice, mean probabilities ``(classes, y, x)`` and the choices of both networks."""
    runtime, last = view.model.runtime, max(1, view.image.shape[0] - 1)
    for start in range(0, len(zs), _SLICES_AT_ONCE):
        batch = zs[start : start + _SLICES_AT_ONCE]
        slices = runtime.put(torch.stack([view.windows(z) for z in batch]))
        position = torch.tensor([z / last for z in batch], device=runtime.device)
        with torch.inference_mode(), runtime.autocast():
            a, b = view.model.reference(slices, position)
            shares_a, shares_b = a.float().softmax(dim=1), b.float().softmax(dim=1)
        mean = (shares_a + shares_b) / 2
        for n, z in enumerate(batch):
            yield z, mean[n], shares_a[n].argmax(dim=0), shares_b[n].argmax(dim=0)
        told(min(start + _SLICES_AT_ONCE, len(zs)))


def _name_every_slice(view: _View, watch: Stopwatch, progress: Progress | None) -> NDArray[Any]:
    """Let the reference alone name all slices."""
    labels, zs, decide = view.empty_labels(), range(view.image.shape[0]), decide_on(view.grid)
    with watch("reference"):
        for z, mean, _, _ in _look(view, zs, told=_teller(progress, "reference", len(zs))):
            labels[z] = decide(mean).chosen
    return labels


def _carry_guides(
    view: _View, watch: Stopwatch, progress: Progress | None, *, selector: str | None
) -> tuple[NDArray[Any], tuple[GuideChoice, ...]]:
    """Sample, choose guides, propagate."""
    model, recipe, labels = view.model, view.model.recipe.inference, view.empty_labels()
    zs = sample_slices(view.image, every_mm=recipe.sample_every_mm)
    small: dict[int, NDArray[Any]] = {}
    full: dict[int, NDArray[Any]] = {}
    decide = decide_on(view.grid)

    def samples() -> Iterator[Sample]:
        for z, mean, a, b in _look(view, zs, told=_teller(progress, "reference", len(zs))):
            small[z] = mean.argmax(dim=0).byte().cpu().numpy()
            full[z] = decide(mean).chosen.astype(labels.dtype)
            yield Sample(z, mean.cpu().numpy(), a.cpu().numpy(), b.cpu().numpy())

    with watch("reference"):
        spacing = (view.image.spacing_mm[0], *(model.recipe.input.spacing_mm,) * 2)
        evidence = summarise(samples(), labels=model.recipe.labels, spacing_mm=spacing)
    with watch("select"):
        chosen = select(
            selector or recipe.selector,
            evidence,
            settings=SelectionSettings(max_gap_mm=recipe.max_guide_gap_mm, budget=len(zs)),
            rng=np.random.default_rng(0),
        )
        guides = [
            Guide(
                choice.z,
                carried(small[choice.z], choice.organs),
                choice.organs | choice.absent,
                output_labels=carried(full[choice.z], choice.organs),
            )
            for choice in chosen
        ]
    log.info("%d guides among %d sampled slices", len(guides), len(zs))
    if not guides or model.propagator is None:
        return labels, chosen
    if (carrier := model.carrier) is not None and carrier.in_regions:
        labels = _carry_organ_by_organ(view, guides, carrier, watch, progress)
    else:
        _carry_slice_by_slice(view, guides, labels, watch, progress)
    return labels, chosen


def _carry_slice_by_slice(
    view: _View,
    guides: Sequence[Guide],
    labels: NDArray[Any],
    watch: Stopwatch,
    progress: Progress | None,
) -> None:
    """Carry all organs together through whole slices, into ``labels``."""
    model, recipe = view.model, view.model.recipe.inference
    told = _teller(progress, "propagate", len(labels))
    if model.propagator is None:
        return
    with watch("propagate"):
        walk = propagate(
            view.windows,
            guides,
            model.propagator,
            length=len(labels),
            slice_mm=view.image.spacing_mm[0],
            runtime=model.runtime,
            settings=PropagateSettings(
                memory_every_mm=recipe.memory_every_mm,
                top_k=recipe.top_k,
                opinion_share=recipe.opinion_share,
            ),
            decide=decide_on(view.grid),
            opinion=lambda z: next(_look(view, [z]))[1],
        )
        for done, answer in enumerate(walk, start=1):
            labels[answer.z] = answer.labels
            told(done)


def _carry_organ_by_organ(
    view: _View,
    guides: Sequence[Guide],
    carrier: Carrier,
    watch: Stopwatch,
    progress: Progress | None,
) -> NDArray[Any]:
    """Carry every organ in a region of its own; the reference looks at all slices besides."""
    share, length = view.model.recipe.inference.opinion_share, view.image.shape[0]
    opinions = None
    if share > 0:
        drawn = {guide.z for guide in guides}
        zs = [z for z in range(length) if z not in drawn]
        opinions = Opinions(length, view.grid)
        with watch("reference"):
            for z, mean, _, _ in _look(view, zs, told=_teller(progress, "reference", len(zs))):
                opinions.note(z, mean)
    with watch("propagate"):
        return carry_organs(
            [OrganGuide(guide.z, guide.output, guide.known) for guide in guides],
            follower_of(view.image, carrier),
            shape=view.image.shape,
            opinions=opinions,
            share=share,
            told=lambda done, total: _teller(progress, "propagate", total)(done),
        )


def sample_slices(image: Volume, *, every_mm: float) -> list[int]:
    """Choose the slices that the reference looks at: evenly, both ends included.

    Reference: Pham et al. (FLARE22) take every fifth slice; here the distance is in mm.
    """
    count = image.shape[0]
    step = max(1, round(every_mm / image.spacing_mm[0]), -(-count // _MOST_SAMPLES))
    return sorted({*range(0, count, step), count - 1})


def _teller(progress: Progress | None, stage: str, total: int) -> Callable[[int], None]:
    """Bind the stage and the number of slices to a progress callback."""
    return lambda done: None if progress is None else progress(stage, done, total)
