"""From a scan and a model to labels: reference, selection, propagation.

A volumetric model names the scan as a solid instead, and there is nothing to select or propagate.

Reference: Pham et al. (FLARE22): two networks name the organs on sampled slices, the
surest slices become guides, STCN carries their masks through the scan in both directions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from slicekit.inference.stopwatch import Stopwatch
from slicekit.inference.view import View
from slicekit.inference.volumetric import name_in_patches
from slicekit.io import read_volume
from slicekit.labels import LabelSet
from slicekit.volume import Volume

log = logging.getLogger(__name__)

_MOST_SAMPLES = 256

Progress = Callable[[str, int, int], None]
"""Told the stage, the slices done and the slices in all; of a volumetric model the patches."""


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
    probabilities of all organs are never held for all slices. Of a volumetric model what
    ``inference.volumetric`` says.

    Args and errors are those of ``segment``; ``name`` is how warnings call the scan.
    """
    names = expect_known(model, organs=organs, selector=selector)
    watch = Stopwatch()
    with watch("prepare"):
        image = as_expected(scan, model.recipe.input, name=name)
        image = with_likely_spacing(image, model.recipe.input, name=name)
        view = View.of(image, model)
    guides: tuple[GuideChoice, ...] = ()
    if model.recipe.role == "volumetric":
        labels = _name_in_patches(view, watch, progress, name=name)
    elif model.propagator is None:
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


def _name_in_patches(
    view: View, watch: Stopwatch, progress: Progress | None, *, name: str
) -> NDArray[Any]:
    """Let a volumetric model name the scan as a solid."""
    model = view.model
    with watch("reference"):
        return name_in_patches(
            view.image,
            model.reference,
            model.recipe,
            model.runtime,
            told=lambda done, total: _teller(progress, "reference", total)(done),
            name=name,
        )


def _name_every_slice(view: View, watch: Stopwatch, progress: Progress | None) -> NDArray[Any]:
    """Let the reference alone name all slices."""
    labels, zs, decide = view.empty_labels(), range(view.image.shape[0]), decide_on(view.grid)
    with watch("reference"):
        for z, mean, _ in view.look(zs, told=_teller(progress, "reference", len(zs))):
            labels[z] = decide(mean).chosen
    return labels


def _carry_guides(
    view: View, watch: Stopwatch, progress: Progress | None, *, selector: str | None
) -> tuple[NDArray[Any], tuple[GuideChoice, ...]]:
    """Sample, choose guides, propagate."""
    model, recipe, labels = view.model, view.model.recipe.inference, view.empty_labels()
    zs = sample_slices(view.image, every_mm=recipe.sample_every_mm)
    small: dict[int, NDArray[Any]] = {}
    full: dict[int, NDArray[Any]] = {}
    decide = decide_on(view.grid)

    def samples() -> Iterator[Sample]:
        for z, mean, choices in view.look(zs, told=_teller(progress, "reference", len(zs))):
            small[z] = mean.argmax(dim=0).byte().cpu().numpy()
            full[z] = decide(mean).chosen.astype(labels.dtype)
            yield Sample(z, mean.cpu().numpy(), choices.cpu().numpy())

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
    view: View,
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
            opinion=lambda z: next(view.look([z]))[1],
        )
        for done, answer in enumerate(walk, start=1):
            labels[answer.z] = answer.labels
            told(done)


def _carry_organ_by_organ(
    view: View,
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
            for z, mean, _ in view.look(zs, told=_teller(progress, "reference", len(zs))):
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
