"""The scans of a training run: found, read, cached, by what they are for."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from slicekit.data.cases import Case, find_cases, training_split
from slicekit.data.doubts import expect_no_leak, tell_doubles, tell_gaps
from slicekit.data.on_disk import bytes_in_memory
from slicekit.data.phantom import PHANTOM_LABELS, make_phantom
from slicekit.data.slices import CachedScan, cache_scan, cache_scans, read_case
from slicekit.errors import DatasetError, DataWarning, RecipeError
from slicekit.labels import LabelSet
from slicekit.recipes import Recipe
from slicekit.training.images import gather_images

log = logging.getLogger(__name__)

_PHANTOM_SEED = 20_000


@dataclass(frozen=True, eq=False)
class Material:
    """The scans of a run, by what they are for."""

    labelled: tuple[CachedScan, ...]
    held_out: tuple[CachedScan, ...]
    free: tuple[CachedScan, ...]
    phantoms: tuple[CachedScan, ...]

    def groups(self) -> dict[str, tuple[CachedScan, ...]]:
        """Return all of them by what a user calls their group."""
        return {
            "labelled": self.labelled,
            "held out": self.held_out,
            "unlabelled": self.free,
            "phantoms": self.phantoms,
        }

    @property
    def bytes_in_memory(self) -> int:
        """Bytes of what does not lie on disk."""
        scans = chain.from_iterable(self.groups().values())
        return sum(bytes_in_memory(scan.slices, scan.labels) for scan in scans)

    def __str__(self) -> str:
        """Count what there is by what it is for."""
        return ", ".join(
            f"{group}: {len(scans)} ({sum(len(scan.slices) for scan in scans)} slices)"
            for group, scans in self.groups().items()
            if scans
        )

    def card(self) -> dict[str, Any]:
        """Name them for the model card; a few-shot model may learn from the labels of some."""
        drawn = [scan for scan in self.free if scan.labels is not None]
        bare = [scan for scan in self.free if scan.labels is None]
        parts = {
            "trained_on": (*self.labelled, *drawn),
            "unlabelled": bare,
            "held_out": self.held_out,
        }
        names = {key: [scan.name for scan in scans] for key, scans in parts.items()}
        return {**names, "phantoms": len(self.phantoms)}


def gather(
    recipe: Recipe,
    folders: Sequence[Path],
    extra: Sequence[str | Path] = (),
    *,
    judged_otherwise: bool = False,
) -> Material:
    """Find, read and cache what a run learns from and is scored on.

    Args:
        recipe: Says which groups are for what.
        folders: nnU-Net raw folders.
        extra: More scans without labels.
        judged_otherwise: Whether it is all right that nothing is held out.
    """
    training = recipe.training
    if not folders or (len(folders) > 1 and recipe.organs):
        raise DatasetError(
            f"{recipe.name} tells {len(recipe.organs)} organs apart, so it learns from one dataset "
            f"that names them so; got {len(folders)}"
        )
    if recipe.role == "fewshot":
        images = gather_images(recipe, folders, extra)
        return _logged(Material((), images.held_out, images.free, ()))
    teach, free, apart = _cases(recipe, folders)
    free = _without_labels(free, extra, apart)
    if not _looks_at_unlabelled(recipe):
        free = ()
    elif not free:
        _tell_nothing_free(recipe)
    if not judged_otherwise or apart:
        _tell_unjudged(apart, recipe, folders[0])
    read = partial(read_case, labels=recipe.labels if recipe.organs else None, recipe=recipe.input)
    cached = iter(
        cache_scans(
            [
                *(partial(read, case) for case in (*teach, *apart, *free)),
                *(partial(_phantom, n, recipe) for n in range(training.phantoms)),
            ],
            budget_bytes=int(training.cache_gib * 2**30),
        )
    )
    labelled, held, loose = (tuple(islice(cached, len(part))) for part in (teach, apart, free))
    phantoms = tuple(cached)
    expect_no_leak(held, labelled, loose)
    if recipe.role != "propagator":
        tell_doubles(labelled, loose, held)
        tell_gaps((*labelled, *phantoms), recipe.labels)
    return _logged(Material(labelled, held, loose, phantoms))


def _logged(material: Material) -> Material:
    log.info("%s", material)
    return material


def _looks_at_unlabelled(recipe: Recipe) -> bool:
    """Tell whether a run learns anything from scans without labels."""
    training = recipe.training
    if recipe.role != "reference" or training.method in ("side-by-side", "supervised"):
        return False
    return training.batch_unlabelled > 0 or training.method == "teacher-student"


def _cases(recipe: Recipe, folders: Sequence[Path]) -> tuple[tuple[Case, ...], ...]:
    """Return the labelled, unlabelled and held-out cases of all folders."""
    training = recipe.training
    parts: tuple[list[Case], ...] = ([], [], [])
    for folder in folders:
        dataset = find_cases(folder)
        if recipe.organs:
            _expect_same_organs(dataset.labels, recipe, where=folder)
        groups = training_split(
            dataset,
            labelled=training.labelled_group if dataset.splits else None,
            unlabelled=training.unlabelled_group if dataset.splits else None,
            held_out=training.held_out_group if dataset.splits else None,
        )
        for part, cases in zip(parts, groups, strict=True):
            part.extend(cases)
    return tuple(map(tuple, parts))


def _tell_nothing_free(recipe: Recipe) -> None:
    """Say that there are no scans without labels; refuse it where they are all there is to do."""
    if recipe.training.method == "teacher-student":
        raise DatasetError(
            f"{recipe.name}: a teacher labels scans without labels, and there is none; give some "
            "with --unlabelled, or name a group of splits.json as training.unlabelled_group"
        )
    _warn(
        "no scan is used without its labels, so nothing is learnt but the labels, as with "
        "training.method = 'side-by-side'; give some with --unlabelled, name a group of "
        "splits.json as training.unlabelled_group, or set training.batch_unlabelled=0"
    )


def _tell_unjudged(apart: Sequence[Case], recipe: Recipe, folder: Path) -> None:
    """Warn where nothing tells how well a model does."""
    if not apart:
        _warn(
            f"no scan is held out, so nothing tells how well the model does; name a group "
            f"{recipe.training.held_out_group or 'val'!r} in {folder / 'splits.json'}"
        )
    elif all(case.labels is None for case in apart):
        _warn(
            f"no held-out scan has labels ({', '.join(case.name for case in apart[:5])}), so "
            f"nothing tells how well the model does; put their label maps into "
            f"{folder / 'labelsTr'}"
        )


def _warn(message: str) -> None:
    warnings.warn(message, DataWarning, stacklevel=4)


def _without_labels(
    free: Sequence[Case], extra: Sequence[str | Path], apart: Sequence[Case]
) -> tuple[Case, ...]:
    """Take the labels from cases and add scans from elsewhere, none of them held out."""
    held = {case.image.resolve() for case in apart}
    paths = [Path(path) for path in extra]
    leaks = [str(path) for path in paths if path.resolve() in held]
    if leaks:
        raise DatasetError(
            f"held out and trained on at once: {', '.join(leaks)}; leave them out of --unlabelled"
        )
    cases = (*free, *(Case(path.name, path, None) for path in paths))
    return tuple(Case(case.name, case.image, None) for case in cases)


def _phantom(number: int, recipe: Recipe) -> CachedScan:
    """Make one phantom, its organs numbered as the recipe numbers them.

    Raises:
        RecipeError: A phantom is a CT of thirteen organs and cannot stand for such scans.
    """
    strange = sorted(set(recipe.organs) - set(PHANTOM_LABELS.names))
    if recipe.input.modality == "MR" or strange:
        raise RecipeError(
            f"{recipe.name}: phantoms are CTs with {', '.join(PHANTOM_LABELS.names)}; set "
            f"training.phantoms = 0 for {recipe.input.modality} of {', '.join(recipe.organs)}"
        )
    made = make_phantom(np.random.default_rng((_PHANTOM_SEED, number)))
    table = np.zeros(len(PHANTOM_LABELS) + 1, dtype=np.uint8)
    for organ, place in PHANTOM_LABELS.ids.items():
        table[place] = recipe.organs.get(organ, 0) if recipe.organs else place
    labels = made.labels.with_array(table[made.labels.array])
    return cache_scan(f"phantom {number}", made.image, labels, recipe=recipe.input)


def _expect_same_organs(labels: LabelSet, recipe: Recipe, *, where: Path) -> None:
    if dict(labels.ids) != recipe.organs:
        raise DatasetError(
            f"{where / 'dataset.json'} names other organs than the recipe {recipe.name!r}: "
            f"{dict(labels.ids)} against {recipe.organs}; make them equal, ids as well"
        )
