"""The slice-wise ways from a view of a scan to labels: every slice named, or guides carried.

Reference: Pham et al. (FLARE22): two networks name the organs on sampled slices, the surest slices
become guides, STCN carries their masks through the scan in both directions.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicekit.inference.evidence import Sample, summarise
from slicekit.inference.frames import follower_of
from slicekit.inference.guides import Guide, carried
from slicekit.inference.model import Carrier
from slicekit.inference.opinion import Opinion
from slicekit.inference.organwise import Opinions, OrganGuide, carry_organs
from slicekit.inference.propagate import propagate
from slicekit.inference.resample import decide_on
from slicekit.inference.segmentation import Progress, teller
from slicekit.inference.selection import GuideChoice, SelectionSettings, select
from slicekit.inference.settings import PropagateSettings
from slicekit.inference.sight import Propagator
from slicekit.inference.stopwatch import Stopwatch
from slicekit.inference.trust import Trust, trust_in
from slicekit.inference.view import View, sample_slices

log = logging.getLogger(__name__)


def name_every_slice(view: View, watch: Stopwatch, progress: Progress | None) -> NDArray[Any]:
    """Let the reference alone name all slices."""
    labels, zs, decide = view.empty_labels(), range(view.image.shape[0]), decide_on(view.grid)
    with watch("reference"):
        for z, mean, _ in view.look(zs, told=teller(progress, "reference", len(zs))):
            labels[z] = decide(mean).chosen
    return labels


def carry_guides(
    view: View, watch: Stopwatch, progress: Progress | None, *, selector: str | None
) -> tuple[NDArray[Any], tuple[GuideChoice, ...]]:
    """Sample, choose guides, propagate."""
    model, recipe, labels = view.model, view.model.recipe.inference, view.empty_labels()
    zs = sample_slices(view.image, every_mm=recipe.sample_every_mm)
    small: dict[int, NDArray[Any]] = {}
    full: dict[int, NDArray[Any]] = {}
    decide = decide_on(view.grid)

    def samples() -> Iterator[Sample]:
        for z, mean, choices in view.look(zs, told=teller(progress, "reference", len(zs))):
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
    if model.propagator is None or not guides:
        unsure = recipe.opinion_share > 0 and bool(evidence.area_px.any())
        return (name_every_slice(view, watch, progress) if unsure else labels), chosen
    trust = trust_in(evidence, chosen, share=recipe.opinion_share)
    if (carrier := model.carrier) is not None and carrier.in_regions:
        return _carry_organ_by_organ(view, guides, trust, carrier, watch, progress), chosen
    return _carry_slice_by_slice(view, guides, trust, model.propagator, watch, progress), chosen


def _carry_slice_by_slice(
    view: View,
    guides: Sequence[Guide],
    trust: Trust,
    propagator: Propagator,
    watch: Stopwatch,
    progress: Progress | None,
) -> NDArray[Any]:
    """Carry all organs together through whole slices."""
    model, recipe = view.model, view.model.recipe.inference
    labels = view.empty_labels()
    told = teller(progress, "propagate", len(labels))
    with watch("propagate"):
        walk = propagate(
            view.windows,
            guides,
            propagator,
            length=len(labels),
            slice_mm=view.image.spacing_mm[0],
            runtime=model.runtime,
            settings=PropagateSettings(
                memory_every_mm=recipe.memory_every_mm,
                top_k=recipe.top_k,
            ),
            decide=decide_on(view.grid),
            opinion=Opinion(
                lambda z: next(view.look([z]))[1],
                share=recipe.opinion_share, shares=trust.shares, alone=trust.alone,
            ),
        )  # fmt: skip
        for done, answer in enumerate(walk, start=1):
            labels[answer.z] = answer.labels
            told(done)
    return labels


def _carry_organ_by_organ(
    view: View,
    guides: Sequence[Guide],
    trust: Trust,
    carrier: Carrier,
    watch: Stopwatch,
    progress: Progress | None,
) -> NDArray[Any]:
    """Carry every organ in a region of its own; the reference looks at all slices besides."""
    share, length = view.model.recipe.inference.opinion_share, view.image.shape[0]
    opinions = None
    if share > 0:
        drawn = set() if trust.alone else {guide.z for guide in guides}
        zs = [z for z in range(length) if z not in drawn]
        opinions = Opinions(length, view.grid)
        with watch("reference"):
            for z, mean, _ in view.look(zs, told=teller(progress, "reference", len(zs))):
                opinions.note(z, mean)
    with watch("propagate"):
        return carry_organs(
            [OrganGuide(guide.z, guide.output, guide.known) for guide in guides],
            follower_of(view.image, carrier),
            shape=view.image.shape,
            opinions=opinions,
            shares=trust.shares,
            alone=trust.alone,
            told=lambda done, total: teller(progress, "propagate", total)(done),
        )
