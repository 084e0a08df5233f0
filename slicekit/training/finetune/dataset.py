"""A dataset of the wanted organs alone, made from what was drawn.

It is an nnU-Net raw folder: scans are links, label maps are written anew with the ids 1, 2, ...;
what nobody looked at has nnU-Net's ignore label. ``dataset.json`` is written last.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicekit.data.annotations import FILE_NAME
from slicekit.data.cases import Case
from slicekit.data.drawn import Drawn
from slicekit.data.truth import read_truth
from slicekit.errors import DatasetError, DataWarning, WriteError
from slicekit.io import read_labels, read_volume, write_labels
from slicekit.io.atomic import why_not_written, write_text
from slicekit.labels import IGNORE_ID, LabelSet
from slicekit.training.pseudo.folder import HELD_OUT, TRAIN, UNLABELLED, image_name, link
from slicekit.volume import Volume

MOST_GAPS = 0.5
"""Share of undrawn slices inside an organ's extent above which single slices were drawn."""


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

    Args:
        drawn: From ``find_drawn``.
        out: Folder of the dataset; what lies there from before is replaced.
        few_slices: Whether only the slices that show an organ were looked at; the others are then
            unknown instead of background. Where ``None``, that is taken to be so of a scan in
            which more than half of the slices between the first and the last drawn one are empty.

    Raises:
        DatasetError: Nothing is drawn, or the labels of a case cannot be meant.
        ReadError, GeometryError, LabelError: A file cannot be read or does not fit.
        WriteError: The folder cannot be written.

    Warns:
        DataWarning: Single slices of a scan are taken to be all that was looked at.
    """
    organs = LabelSet({name: n for n, name in enumerate(drawn.organs.names, start=1)})
    _begin(out)
    counts: dict[str, dict[str, int]] = {}
    entries: dict[str, dict[str, Any]] = {}
    free, held = [], []
    for case in (*drawn.cases, *drawn.held_out):
        known = _known(case, drawn.organs)
        _link_image(case, out)
        if case.labels is None or not known:
            free.append(case.name)
            continue
        image = read_volume(case.image)
        labels = _renumbered(case, image, drawn.organs, organs, few_slices)
        found = _count(labels, organs)
        if case in drawn.held_out:
            held.append(case.name)
        elif not any(found.values()):
            free.append(case.name)
            continue
        else:
            counts[case.name] = found
        if set(known) != set(organs.names):
            entries[case.name] = {"labels_present": sorted(known)}
        labels[labels == IGNORE_ID] = len(organs) + 1
        write_labels(_labels_path(case, out), labels, like=image, overwrite=True)
    _expect_drawn(drawn, counts)
    splits = {TRAIN: [*counts], HELD_OUT: held, UNLABELLED: free}
    write_text(out / FILE_NAME, json.dumps(entries, indent=2) + "\n")
    write_text(out / "splits.json", json.dumps(splits, indent=2) + "\n")
    described = {
        "channel_names": {"0": "scan"},
        "labels": {"background": 0, **organs.ids, "ignore": len(organs) + 1},
        "numTraining": len(counts) + len(held),
        "file_ending": ".nii.gz",
    }
    write_text(out / "dataset.json", json.dumps(described, indent=2) + "\n")
    first = next(case.image for case in drawn.cases if case.name in counts)
    return NewDataset(out, organs, counts, tuple(free), tuple(held), first)


def _begin(out: Path) -> None:
    try:
        (out / "dataset.json").unlink(missing_ok=True)
        for name in ("imagesTr", "labelsTr"):
            shutil.rmtree(out / name, ignore_errors=True)
            (out / name).mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise WriteError(out, why_not_written(fault, out)) from fault


def _link_image(case: Case, out: Path) -> None:
    name = case.name if case.image.is_dir() else image_name(case)
    try:
        link(case.image, out / "imagesTr" / name)
    except OSError as fault:
        raise WriteError(out / "imagesTr" / name, why_not_written(fault, out)) from fault


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
    if few_slices is None and _has_gaps(shown):
        few_slices = True
        warnings.warn(
            f"{case.labels}: {int(shown.sum())} single slices are drawn, so the others are taken "
            "for slices that nobody looked at; say --whole where the organ is really not there",
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
        ids = read_labels(case.labels, like=image).array
        return ids, np.zeros(ids.shape, dtype=np.bool_)
    ids = read_truth(case.labels, case, image=image, organs=case.organs).labels.array
    return ids, ids == IGNORE_ID


def _has_gaps(shown: NDArray[np.bool_]) -> bool:
    """Tell whether most slices between the first and the last drawn one are empty."""
    where = np.flatnonzero(shown)
    return len(where) > 0 and len(where) < (1 - MOST_GAPS) * (where[-1] - where[0] + 1)


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
            "draw it on three slices of one scan or more, or leave it out"
        )
