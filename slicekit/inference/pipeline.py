"""From a scan and a model to labels: reference, selection, propagation.

A volumetric model names the scan as a solid instead, and there is nothing to select or propagate.

Reference: Pham et al. (FLARE22): two networks name the organs on sampled slices, the
surest slices become guides, STCN carries their masks through the scan in both directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicekit.data.intensity import as_expected
from slicekit.data.scale import with_likely_spacing
from slicekit.errors import RecipeError
from slicekit.inference.guided import carry_guides, name_every_slice
from slicekit.inference.model import Model
from slicekit.inference.outline import Outlined
from slicekit.inference.segmentation import Progress, Segmentation, teller
from slicekit.inference.selection import GuideChoice, selector_named
from slicekit.inference.stopwatch import Stopwatch
from slicekit.inference.view import View
from slicekit.inference.volumetric import name_in_patches
from slicekit.inference.witness import Witness
from slicekit.io import read_volume
from slicekit.labels import LabelSet
from slicekit.volume import Volume


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
    uncertainty: bool = False,
    name: str = "the scan",
) -> Segmentation:
    """Segment a scan and tell how.

    Memory beside the scan and its labels: a byte a pixel of every sampled slice, what
    ``inference.propagate`` says of one gap, and a batch of slices in the networks; float
    probabilities of all organs are never held for all slices. Of a volumetric model what
    ``inference.volumetric`` says; with ``uncertainty`` what ``inference.witness`` does besides.

    Args and errors are those of ``segment``; ``name`` is how warnings call the scan. With
    ``uncertainty`` the reference looks at every slice; a volumetric model is a RecipeError.
    """
    names = expect_known(model, organs=organs, selector=selector, uncertainty=uncertainty)
    watch = Stopwatch()
    with watch("prepare"):
        image = as_expected(scan, model.recipe.input, name=name)
        image = with_likely_spacing(image, model.recipe.input, name=name)
        view = View.of(image, model)
        witness = Witness(view.image.shape, view.grid) if uncertainty else None
        view = view if witness is None else replace(view, members_told=witness.note)
    guides: tuple[GuideChoice, ...] = ()
    if model.recipe.role == "volumetric":
        labels = _name_in_patches(view, watch, progress, name=name)
    elif model.propagator is None:
        labels = name_every_slice(view, watch, progress)
    else:
        labels, guides = carry_guides(view, watch, progress, selector=selector)
    if organs is not None:
        labels = np.where(np.isin(labels, list(names.ids.values())), labels, labels.dtype.type(0))
    done = Segmentation(scan.with_array(labels), names, image, guides, watch.rounded())
    return done if witness is None else _with_uncertainty(done, view, witness, watch, progress)


def expect_known(
    model: Outlined,
    *,
    organs: Sequence[str] | None,
    selector: str | None,
    uncertainty: bool = False,
) -> LabelSet:
    """Refuse unknown organs and selectors before anything is read or computed.

    Returns:
        The organs to keep.

    Raises:
        LabelError: An organ is unknown; the message suggests the likely one.
        RecipeError: There is no such selector, or a volumetric model is to tell its uncertainty.
    """
    if uncertainty and model.recipe.role == "volumetric":
        raise RecipeError(
            f"uncertainty is told by the networks of a reference, but {model.recipe.name!r} is a "
            "volumetric model; choose a reference, or leave --uncertainty out"
        )
    selector_named(selector or model.recipe.inference.selector)
    if organs is None:
        return model.recipe.labels
    return model.recipe.labels.subset([organs] if isinstance(organs, str) else organs)


def _with_uncertainty(
    done: Segmentation, view: View, witness: Witness, watch: Stopwatch, progress: Progress | None
) -> Segmentation:
    """Let the reference look at what it has not seen, and tell how sure its networks are."""
    unseen, carried = witness.unseen, view.model.propagator is not None
    with watch("uncertainty"):
        for _ in view.ask(unseen, told=teller(progress, "uncertainty", len(unseen))):
            pass  # the witness is told
        organs = witness.organs(done.labels.array, done.names, carried=carried)
    found = done.labels.with_array(witness.map)
    return replace(done, uncertainty=found, certainty=organs, seconds=watch.rounded())


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
            told=lambda done, total: teller(progress, "reference", total)(done),
            name=name,
        )
