"""What a model says of a scan without labels, with all that the rules want to know of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from slicekit.data.intensity import as_expected
from slicekit.data.scale import with_likely_spacing
from slicekit.errors import RecipeError
from slicekit.inference.guides import Guide
from slicekit.inference.model import Model
from slicekit.inference.pipeline import segment_volume
from slicekit.inference.propagate import propagate
from slicekit.inference.resample import decide_on, on_source
from slicekit.inference.selection import GuideChoice
from slicekit.inference.settings import PropagateSettings
from slicekit.inference.view import View
from slicekit.superpixels.body import body_box
from slicekit.volume import Volume

Told = Callable[[int], None]
"""Told how many slices are done."""
BothWays = tuple[NDArray[Any], NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Predicted:
    """Labels of one scan, and what they were made of; arrays are ``(z, y, x)`` on its own grid."""

    labels: Volume
    """Ids, as the whole pipeline answers."""
    body: tuple[int, int, int, int]
    """Rows and columns ``(y0, y1, x0, x1)`` of the body."""
    members: tuple[NDArray[Any], ...] = ()
    """Ids, what each member says alone; none for a volumetric model."""
    confidence: NDArray[np.float16] | None = None
    """Probability that the members together give to what ``labels`` say."""
    both_ways: BothWays | None = None
    """Ids carried forward only and backward only; 0 in both up to the first guide and from the
    last one on, where only one way leads."""


def predict_scan(
    scan: Volume,
    model: Model,
    *,
    both_ways: bool = False,
    told: Told = lambda done: None,
    name: str = "the scan",
) -> Predicted:
    """Segment a scan and keep what its members said.

    Memory beside the scan: labels, a byte a voxel and member, two for the confidence, and two more
    for ``both_ways``.

    Args:
        scan: In HU for CT.
        model: From ``load_model``.
        both_ways: Whether guides are also carried one way at a time, which takes as long again.
        told: Told the slices that the committee has named.
        name: How messages call the scan.

    Raises:
        RecipeError: ``both_ways`` is asked of a model that carries no whole slices.
    """
    if both_ways and (model.carrier is None or model.carrier.in_regions):
        raise RecipeError(
            f"{model.recipe.name!r} carries no guides through whole slices, so there are no two "
            "ways to compare; leave the rule both-ways out, or use a propagator of whole slices"
        )
    if model.recipe.role == "volumetric":
        done = segment_volume(scan, model, name=name)
        return Predicted(done.labels, body_of(done.image, model))
    if model.propagator is None:  # what is voted is the answer, so nobody is asked twice
        view = _view_of(scan, model, name=name)
        voted, confidence, members = _ask_members(view, None, told)
        return Predicted(scan.with_array(voted), body_of(view.image, model), members, confidence)
    done = segment_volume(scan, model, name=name)
    view = View.of(done.image, model)
    _, confidence, members = _ask_members(view, done.labels.array, told)
    ways = _carry_one_way_each(view, done.labels, done.guides) if both_ways else None
    return Predicted(done.labels, body_of(done.image, model), members, confidence, ways)


def body_of(image: Volume, model: Model) -> tuple[int, int, int, int]:
    """Find rows and columns ``(y0, y1, x0, x1)`` of the body, in the model's own intensities."""
    threshold, (_, y, x) = model.recipe.input.body_above_hu, image.shape
    return (0, y, 0, x) if threshold is None else body_box(image.array, threshold_hu=threshold)


def losses_of(scan: Volume, labels: Volume, model: Model) -> dict[str, float]:
    """Measure how much predicted organs surprise a committee that never learnt from the scan.

    The mean cross entropy over the pixels that the labels or the committee call the organ, so that
    what is missing counts as well as what is too much. Measured on the committee's grid.

    Args:
        scan: In HU for CT.
        labels: ``(z, y, x)`` ids on the scan's grid.
        model: The committee.

    Returns:
        Organ to loss; an organ that neither sees has none.
    """
    recipe, view = model.recipe, _view_of(scan, model)
    classes = len(recipe.labels) + 1
    sums, counts = np.zeros(classes), np.zeros(classes, dtype=np.int64)
    for z, mean, _ in view.look(range(view.image.shape[0])):
        said = view.grid.labels_to_model(labels.array[z])
        wanted = mean.new_tensor(said).long().clamp(max=classes - 1)
        loss = -mean.gather(0, wanted[None])[0].clamp(min=1e-6).log().cpu().numpy()
        other = mean.argmax(dim=0).cpu().numpy()
        for ids, where in ((said, said >= 0), (other, other != said)):
            flat = np.where(where, ids, 0).ravel()
            sums += np.bincount(flat, weights=loss.ravel(), minlength=classes)[:classes]
            counts += np.bincount(flat, minlength=classes)[:classes]
    return {
        name: float(sums[number] / counts[number])
        for name, number in recipe.labels.ids.items()
        if counts[number]
    }


def _view_of(scan: Volume, model: Model, *, name: str = "the scan") -> View:
    """Return a scan as the networks see it, as ``segment_volume`` does."""
    recipe = model.recipe.input
    image = as_expected(scan, recipe, name=name)
    return View.of(with_likely_spacing(image, recipe, name=name), model)


def _ask_members(
    view: View, labels: NDArray[Any] | None, told: Told
) -> tuple[NDArray[Any], NDArray[np.float16], tuple[NDArray[Any], ...]]:
    """Let the committee name every slice, and say how far it believes in given labels.

    Args:
        view: The scan.
        labels: ``(z, y, x)`` ids on the scan's own grid; the committee's own vote for ``None``.
        told: Told the slices done.

    Returns:
        The labels, the probability of each, what each member says alone.
    """
    said, members = view.empty_labels() if labels is None else labels, list[NDArray[Any]]()
    confidence = np.ones(view.image.shape, dtype=np.float16)
    decide = decide_on(view.grid)
    for z, mean, choices in view.look(range(view.image.shape[0]), told=told):
        if labels is None:
            said[z], confidence[z] = decide(mean)
        else:
            ids = torch.from_numpy(view.grid.labels_to_model(labels[z])).to(mean.device)
            believed = mean.gather(0, ids.long()[None])[0]
            confidence[z] = on_source(believed, view.grid)
        members = members or [view.empty_labels() for _ in choices]
        for member, choice in zip(members, choices, strict=True):
            member[z] = _nearest(choice, view)
    return said, confidence, tuple(members)


def _nearest(choice: Tensor, view: View) -> NDArray[Any]:
    """Bring ids ``(y, x)`` from the network's grid to the scan's pixels."""
    y0, y1, x0, x1 = view.grid.box
    out = np.zeros(view.grid.source_size, dtype=np.uint8)
    size = (y1 - y0, x1 - x0)
    sized = F.interpolate(choice[None, None].float(), size, mode="nearest-exact")
    out[y0:y1, x0:x1] = sized[0, 0].byte().cpu().numpy()
    return out


def _carry_one_way_each(view: View, labels: Volume, chosen: Sequence[GuideChoice]) -> BothWays:
    """Carry every guide to the next one, and every one to the one before."""
    guides = sorted((_as_guide(view, labels, choice) for choice in chosen), key=lambda one: one.z)
    forward, backward = np.zeros((2, *labels.shape), dtype=labels.array.dtype)
    ends = {guides[0].z, guides[-1].z} if guides else set()
    for before, behind in pairwise(guides):
        for out, guide in ((forward, before), (backward, behind)):
            for z, ids in _carry_alone(view, guide, first=before.z, last=behind.z):
                if z != guide.z and z not in ends:
                    out[z] = ids
    return forward, backward


def _as_guide(view: View, labels: Volume, choice: GuideChoice) -> Guide:
    """Make a guide of a chosen slice and of what the answer says there."""
    full = labels.array[choice.z]
    full = np.where(np.isin(full, list(choice.organs)), full, full.dtype.type(0))
    small = view.grid.labels_to_model(full)
    return Guide(choice.z, small, choice.organs | choice.absent, output_labels=full)


def _carry_alone(
    view: View, guide: Guide, *, first: int, last: int
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Carry one guide through a part of the scan."""
    model, recipe = view.model, view.model.recipe.inference
    if model.propagator is None:
        return
    local = Guide(guide.z - first, guide.labels, guide.known, output_labels=guide.output)
    walk = propagate(
        lambda z: view.windows(z + first),
        [local],
        model.propagator,
        length=last - first + 1,
        slice_mm=view.image.spacing_mm[0],
        runtime=model.runtime,
        settings=PropagateSettings(memory_every_mm=recipe.memory_every_mm, top_k=recipe.top_k),
        decide=decide_on(view.grid),
    )
    for answer in walk:
        yield answer.z + first, answer.labels
