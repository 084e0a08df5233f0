"""The scans of a few-shot run; their labels are read only for what a recipe asks them.

They say what must not be seen, and which organs were drawn.
"""

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
from slicekit.labels import IGNORE_ID, LabelSet
from slicekit.recipes import Recipe

log = logging.getLogger(__name__)


class Images(NamedTuple):
    """What a few-shot run learns from, and what it is scored on."""

    free: tuple[CachedScan, ...]
    """Without labels, unless episodes are of drawn organs."""
    held_out: tuple[CachedScan, ...]
    """With labels."""


def gather_images(
    recipe: Recipe, folders: Sequence[Path], extra: Sequence[str | Path] = ()
) -> Images:
    """Find, read and cache scans, without their labels unless drawn organs are learnt.

    Of the organs in ``training.fewshot.exclude_classes`` nothing is learnt: every slice that
    holds ANY of them is blank in the scans that come back. To leave out only slices that hold ALL
    of them, as some published code does, would be a leak. Nobody knows what a blank slice shows,
    so labels are ``IGNORE_ID`` there.

    Args:
        recipe: A few-shot model.
        folders: nnU-Net raw folders; labelsTr need not be there.
        extra: More scans, files or slice folders.

    Raises:
        DatasetError: There is no scan to learn from, an organ to be left out is unknown, or it is
            not known which slices hold it; or drawn organs are learnt, and one id means two.
    """
    readers = []
    apart: list[Case] = []
    datasets = [find_cases(folder) for folder in folders]
    if recipe.training.fewshot.drawn_share > 0:
        _expect_one_meaning(datasets, recipe)
    for dataset in datasets:
        taught, held = _split(dataset, recipe)
        hidden = _hidden(dataset, taught, extra, recipe)
        readers += [partial(_read_taught, case, recipe, dataset.labels, hidden) for case in taught]
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


def _expect_one_meaning(datasets: Sequence[Dataset], recipe: Recipe) -> None:
    """Refuse ids that mean one organ here and another there: episodes know organs by their ids.

    Raises:
        DatasetError: Two datasets, or one and the recipe, disagree.
    """
    meanings = dict(recipe.labels.names_by_id)
    for dataset in datasets:
        for number, name in dataset.labels.names_by_id.items():
            if meanings.setdefault(number, name) != name:
                raise DatasetError(
                    f"{dataset.folder / 'dataset.json'}: the id {number} is {name!r}, but "
                    f"{meanings[number]!r} in the recipe or another dataset; drawn organs are "
                    "known by their ids, so make them equal"
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


def _read_taught(
    case: Case, recipe: Recipe, organs: LabelSet, hidden: frozenset[int]
) -> CachedScan:
    """Read a scan, with its labels where drawn organs are learnt.

    Slices with an id that is hidden are as dark as can be, and nobody knows what is there.
    """
    seen = case
    if recipe.training.fewshot.drawn_share == 0:
        seen = replace(case, labels=None, labels_present=None, annotated_slices=None)
    scan = read_case(seen, labels=recipe.labels if recipe.organs else None, recipe=recipe.input)
    if not hidden or case.labels is None:
        return scan
    truth, _ = read_truth(case.labels, case, image=read_volume(case.image), organs=organs)
    blank = np.isin(truth.array, sorted(hidden)).any(axis=(1, 2), keepdims=True)
    slices = np.where(blank, np.int16(0), scan.slices)
    labels = None if scan.labels is None else np.where(blank, np.uint8(IGNORE_ID), scan.labels)
    return replace(scan, slices=slices, labels=labels)
