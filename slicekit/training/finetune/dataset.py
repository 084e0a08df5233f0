"""A dataset of the wanted organs alone, made from what was drawn.

It is an nnU-Net raw folder: scans are links, label maps are written anew with the ids 1, 2, ...;
what nobody looked at has nnU-Net's ignore label. ``dataset.json`` is written last.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicekit.data.annotations import FILE_NAME
from slicekit.data.cases import Case
from slicekit.data.drawn import Drawn, pictures
from slicekit.data.truth import read_truth
from slicekit.errors import DatasetError, DataWarning, WriteError
from slicekit.io import FolderSource, read_labels, read_masks, read_volume, write_labels
from slicekit.io.atomic import why_not_written, write_text
from slicekit.labels import IGNORE_ID, LabelSet
from slicekit.training.pseudo.folder import HELD_OUT, TRAIN, UNLABELLED, image_name, link
from slicekit.volume import Volume

MOST_GAPS = 0.5
"""Share of undrawn slices inside an organ's extent above which single slices were drawn."""
_SHOWN = 5


@dataclass(frozen=True)
class NewDataset:
    """What was made, and what lies in it."""

    folder: Path
    organs: LabelSet
    """Ids 1, 2, ..."""
    drawn: Mapping[str, Mapping[str, int]]
    """Case to learn from to organ to the number of slices on which it was drawn."""
    unlabelled: tuple[str, ...]
    held_out: tuple[str, ...]
    first_image: Path


def make_dataset(drawn: Drawn, out: Path, *, few_slices: bool | None = None) -> NewDataset:
    """Write the dataset of the wanted organs.

    A scan on which none of them is drawn is taken for one that nobody looked at, unless its
    ``labels_present`` or ``few_slices=False`` say otherwise.

    Args:
        drawn: From ``find_drawn``.
        out: Folder of the dataset; what lies there from before is replaced.
        few_slices: Whether only the slices that show an organ were looked at; the others are then
            unknown instead of background. Where ``None``, that is taken to be so of a scan in
            which one slice alone is drawn, or more than half of the slices between the first and
            the last drawn one are empty.

    Raises:
        DatasetError: Nothing is drawn, or the labels of a case cannot be meant.
        ReadError, GeometryError, LabelError: A file cannot be read or does not fit.
        WriteError: The folder cannot be written.

    Warns:
        DataWarning: Single slices of a scan are taken to be all that was looked at, or a scan
            with labels is taken for one that nobody looked at.
    """
    organs = LabelSet({name: n for n, name in enumerate(drawn.organs.names, start=1)})
    if len(organs) >= IGNORE_ID:
        raise DatasetError(f"{len(organs)} organs are too many; choose up to {IGNORE_ID - 1}")
    _begin(out)
    counts: dict[str, dict[str, int]] = {}
    free, held = [], []
    for case in drawn.cases:
        found = _take(case, drawn.organs, organs, out, few_slices)
        _link_image(case, out)
        if found is None:
            free.append(case)
        else:
            counts[case.name] = found
    for case in drawn.held_out:  # what cannot be scored is not learnt from either
        if _take(case, drawn.organs, organs, out, few_slices) is not None:
            _link_image(case, out)
            held.append(case)
    _expect_drawn(drawn, counts)
    _tell_passed_over(free, drawn.organs)
    splits = {TRAIN: [*counts], HELD_OUT: _names(held), UNLABELLED: _names(free)}
    taken = [case for case in (*drawn.cases, *held) if case.name in counts or case in held]
    _describe(taken, drawn.organs, organs, splits, out)
    first = next(case.image for case in drawn.cases if case.name in counts)
    return NewDataset(out, organs, counts, tuple(_names(free)), tuple(_names(held)), first)


def _take(
    case: Case, wanted: LabelSet, organs: LabelSet, out: Path, few_slices: bool | None
) -> dict[str, int] | None:
    """Write the labels of a case; return how many slices show an organ, or that none was drawn."""
    if case.labels is None or not _known(case, wanted):
        return None
    image = read_volume(case.image)
    labels = _renumbered(case, image, wanted, organs, few_slices)
    found = _count(labels, organs)
    looked = case.labels_present is not None or few_slices is False
    if not any(found.values()) and not (looked and (labels != IGNORE_ID).any()):
        return None
    labels[labels == IGNORE_ID] = len(organs) + 1
    write_labels(_labels_path(case, out), labels, like=image, overwrite=True)
    return found


def _describe(
    taken: Sequence[Case],
    wanted: LabelSet,
    organs: LabelSet,
    splits: Mapping[str, Sequence[str]],
    out: Path,
) -> None:
    """Write what says what the labels mean, dataset.json last."""
    partly = [case for case in taken if set(_known(case, wanted)) != set(organs.names)]
    entries = {case.name: {"labels_present": sorted(_known(case, wanted))} for case in partly}
    described = {
        "channel_names": {"0": "scan"},
        "labels": {"background": 0, **organs.ids, "ignore": len(organs) + 1},
        "numTraining": len(taken),
        "file_ending": ".nii.gz",
    }
    for name, content in (
        (FILE_NAME, entries), ("splits.json", splits), ("dataset.json", described)
    ):  # fmt: skip
        write_text(out / name, json.dumps(content, indent=2) + "\n")


def _names(cases: Sequence[Case]) -> list[str]:
    return [case.name for case in cases]


def _tell_passed_over(free: Sequence[Case], organs: LabelSet) -> None:
    """Warn of labels in which there is nothing that is wanted."""
    empty = [case.name for case in free if case.labels is not None and _known(case, organs)]
    if empty:
        rest = f" and {len(empty) - _SHOWN} more" if len(empty) > _SHOWN else ""
        warnings.warn(
            f"{', '.join(organs.names)}: not drawn on {', '.join(empty[:_SHOWN])}{rest}, which "
            "are taken for scans that nobody looked at; say --whole where it is really not there, "
            f"or name it in the labels_present of a dataset's {FILE_NAME}",
            DataWarning,
            stacklevel=3,
        )


def _begin(out: Path) -> None:
    try:
        (out / "dataset.json").unlink(missing_ok=True)
        for name in ("imagesTr", "labelsTr"):
            shutil.rmtree(out / name, ignore_errors=True)
            (out / name).mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise WriteError(out, why_not_written(fault, out)) from fault


def _link_image(case: Case, out: Path) -> None:
    target = out / "imagesTr" / image_name(case)
    try:
        link(case.image, target)
    except OSError as fault:
        raise WriteError(target, why_not_written(fault, out)) from fault


def _labels_path(case: Case, out: Path) -> Path:
    ending = "" if case.image.is_dir() else ".nii.gz"
    return out / "labelsTr" / f"{case.name}{ending}"


def _known(case: Case, wanted: LabelSet) -> list[str]:
    """Return which of the organs somebody looked for."""
    present = case.labels_present
    return [name for name in wanted.names if present is None or name in present]


def _renumbered(
    case: Case, image: Volume, wanted: LabelSet, organs: LabelSet, few_slices: bool | None
) -> NDArray[np.uint8]:
    """Read the labels of a case; ``IGNORE_ID`` where nobody looked."""
    ids, unknown = _read(case, image)
    labels = np.zeros(ids.shape, dtype=np.uint8)
    for name, number in wanted.ids.items():
        labels[ids == number] = organs.id_of(name)
    labels[unknown] = IGNORE_ID
    drawn = (labels > 0) & (labels != IGNORE_ID)
    shown: NDArray[np.bool_] = np.asarray(drawn.any(axis=(1, 2)))
    seen = ~unknown.all(axis=(1, 2))
    if few_slices is None and _has_gaps(shown[seen]):
        few_slices, count = True, int(shown.sum())
        warnings.warn(
            f"{case.labels}: {count} single slice{'s are' if count > 1 else ' is'} drawn, so the "
            "others are taken for slices that nobody looked at; say --whole where the organ is "
            "really not there",
            DataWarning,
            stacklevel=3,
        )
    if few_slices:
        labels[~shown] = IGNORE_ID
    return labels


def _read(case: Case, image: Volume) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return ids, and where nobody knows."""
    if case.labels is None:
        raise DatasetError(f"{case.name} has no labels")
    if case.organs is None:  # masks, of which every value may mean something
        return _read_masks(case.labels, image)
    ids = read_truth(case.labels, case, image=image, organs=case.organs).labels.array
    return ids, ids == IGNORE_ID


def _read_masks(folder: Path, image: Volume) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the values of masks; nobody looked at a slice that has none."""
    source = image.source
    unknown = np.zeros(image.shape, dtype=np.bool_)
    if not isinstance(source, FolderSource) or len(pictures(folder)) >= len(source.files):
        return read_labels(folder, like=image).array, unknown
    ids = np.zeros(image.shape, dtype=np.uint16)
    unknown[:] = True
    for z, mask in read_masks(folder, like=image).items():
        ids[z], unknown[z] = mask, False
    return ids, unknown


def _has_gaps(shown: NDArray[np.bool_]) -> bool:
    """Tell whether one slice alone is drawn, or most between the first and the last are empty."""
    where = np.flatnonzero(shown)
    if len(where) <= 1:
        return len(where) == 1 < len(shown)
    return len(where) < (1 - MOST_GAPS) * int(where[-1] - where[0] + 1)


def _count(labels: NDArray[np.uint8], organs: LabelSet) -> dict[str, int]:
    return {
        name: int((labels == number).any(axis=(1, 2)).sum()) for name, number in organs.ids.items()
    }


def _expect_drawn(drawn: Drawn, counts: Mapping[str, Mapping[str, int]]) -> None:
    """Refuse where there is nothing to learn from.

    Raises:
        DatasetError: An organ is drawn on no slice.
    """
    lacking = [
        name for name in drawn.organs.names if not any(found[name] for found in counts.values())
    ]
    if lacking:
        raise DatasetError(
            f"{', '.join(lacking)}: drawn on no slice of {len(drawn.cases)} scans to learn from; "
            "draw it on three slices of one scan or more, or leave it out" + _values_of(drawn)
        )


def _values_of(drawn: Drawn) -> str:
    """Say which values there are in masks, which may be others than was thought."""
    found: set[int] = set()
    for case in drawn.cases:
        if case.organs is None and case.labels is not None:
            found |= {*np.unique(_read_masks(case.labels, read_volume(case.image))[0]).tolist()}
    values = ", ".join(map(str, sorted(found - {0})))
    return f"; the masks hold the values {values}" if values else ""
