"""The scans of a run that learns from images alone; labels only say what must not be seen."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from slicekit.data.cases import Case, Dataset, find_cases
from slicekit.data.doubts import expect_no_leak, tell_doubles
from slicekit.data.slices import CachedScan, cache_scans, read_case
from slicekit.data.truth import read_truth
from slicekit.errors import DatasetError
from slicekit.io import read_volume
from slicekit.labels import LabelSet
from slicekit.recipes import Recipe

log = logging.getLogger(__name__)


class Images(NamedTuple):
    """What a few-shot run learns from, and what it is scored on."""

    free: tuple[CachedScan, ...]
    """Without labels."""
    held_out: tuple[CachedScan, ...]
    """With labels."""


def gather_images(
    recipe: Recipe, folders: Sequence[Path], extra: Sequence[str | Path] = ()
) -> Images:
    """Find, read and cache scans without their labels.

    Of the organs in ``training.fewshot.exclude_classes`` nothing is learnt: every slice that
    holds ANY of them is blank in the scans that come back. To leave out only slices that hold ALL
    of them, as some published code does, would be a leak.

    Args:
        recipe: A few-shot model.
        folders: nnU-Net raw folders; labelsTr need not be there.
        extra: More scans, files or slice folders.

    Raises:
        DatasetError: There is no scan to learn from, an organ to be left out is unknown, or it is
            not known which slices hold it.
    """
    readers = []
    apart: list[Case] = []
    for folder in folders:
        dataset = find_cases(folder)
        taught, held = _split(dataset, recipe)
        hidden = _hidden(dataset, taught, extra, recipe)
        readers += [partial(_read_blanked, case, recipe, dataset.labels, hidden) for case in taught]
        apart += held
    held_files = {case.image.resolve() for case in apart}
    if leaks := [str(path) for path in map(Path, extra) if path.resolve() in held_files]:
        raise DatasetError(
            f"held out and trained on at once: {', '.join(leaks)}; leave them out of --unlabelled"
        )
    for path in map(Path, extra):
        case = Case(path.name, path, None)
        readers.append(partial(read_case, case, labels=None, recipe=recipe.input))
    if not readers:
        raise DatasetError(f"no scan to learn from in {', '.join(map(str, folders))}")
    if not apart:
        log.info("no labelled scan is held out, so nothing is scored while it learns")
    scored = [partial(read_case, case, labels=None, recipe=recipe.input) for case in apart]
    budget = int(recipe.training.cache_gib * 2**30)
    cached = cache_scans([*readers, *scored], budget_bytes=budget)
    found = Images(cached[: len(readers)], cached[len(readers) :])
    expect_no_leak(found.held_out, found.free)
    tell_doubles(found.free, found.held_out)
    _expect_pairs(found.held_out)
    return found


def _expect_pairs(held_out: Sequence[CachedScan]) -> None:
    """Refuse held-out scans of which none can support another, before hours are spent.

    Raises:
        DatasetError: No two of them hold the same organ.
    """
    counts = Counter(number for scan in held_out for number in scan.slices_of)
    if held_out and max(counts.values(), default=0) < 2:
        raise DatasetError(
            f"no two held-out scans ({', '.join(scan.name for scan in held_out)}) hold the same "
            "organ, so nothing can be scored; hold out more, or none "
            "(training.held_out_group = '')"
        )


def _split(dataset: Dataset, recipe: Recipe) -> tuple[list[Case], list[Case]]:
    """Return the cases to learn from and those that are held out and labelled."""
    training = recipe.training
    group, apart = training.labelled_group, training.held_out_group
    if not dataset.splits:
        return list(dataset.cases), []
    held = [] if apart is None else list(dataset.select(apart))
    names = {case.name for case in held}
    taught = [case for case in dataset.select(group) if group is not None or case.name not in names]
    if both := sorted(names & {case.name for case in taught}):
        raise DatasetError(
            f"held out and trained on at once: {', '.join(both)}; mend {dataset.folder}/splits.json"
        )
    return taught, [case for case in held if case.labels is not None]


def _hidden(
    dataset: Dataset, taught: Sequence[Case], extra: Sequence[str | Path], recipe: Recipe
) -> frozenset[int]:
    """Return the ids that no slice may hold, once it is sure that all of them can be found."""
    names = recipe.training.fewshot.exclude_classes
    if not names:
        return frozenset()
    hidden = frozenset(dataset.labels.subset(names).ids.values())
    blind = [case.name for case in taught if case.labels is None or case.is_partial]
    blind += [str(path) for path in extra]
    if blind:
        raise DatasetError(
            f"{', '.join(blind[:5])}: nobody says which slices hold {', '.join(names)}, which "
            "training.fewshot.exclude_classes leaves out; give whole label maps or leave them out"
        )
    return hidden


def _read_blanked(
    case: Case, recipe: Recipe, organs: LabelSet, hidden: frozenset[int]
) -> CachedScan:
    """Read a scan; slices with an id that is hidden are as dark as can be."""
    bare = replace(case, labels=None, labels_present=None, annotated_slices=None)
    scan = read_case(bare, labels=None, recipe=recipe.input)
    if not hidden or case.labels is None:
        return scan
    truth, _ = read_truth(case.labels, case, image=read_volume(case.image), organs=organs)
    kept = scan.slices.copy()
    kept[np.isin(truth.array, sorted(hidden)).reshape(len(kept), -1).any(axis=1)] = 0
    return replace(scan, slices=kept)
