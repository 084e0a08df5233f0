"""Label maps of a folder, paired with the true ones and read on one grid."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from slicekit.errors import DatasetError
from slicekit.io import read_labels
from slicekit.io.dicom.container import means_dicom
from slicekit.io.dicom.label_files import label_kind
from slicekit.report.batch import labels_ending, outputs_beside
from slicekit.volume import Volume

_SHOWN = 5
_OFF_GRID = 0.1
"""Of a voxel, as a DICOM-SEG may lie off a grid."""


class Pair(NamedTuple):
    """One case's files."""

    case: str
    prediction: Path
    truth: Path


def pair_paths(pred: Path, truth: Path) -> tuple[list[Pair], tuple[str, ...]]:
    """Pair predicted with true label maps by name; two files need not share a name.

    Returns:
        The pairs in the order of their names, and the truths without a prediction.

    Raises:
        DatasetError: A path is missing or holds no label map, a name occurs twice, or a
            prediction has no truth; the message lists which.
    """
    guesses, truths = labels_in(pred, "prediction"), labels_in(truth, "truth")
    if pred.is_file() and truth.is_file():
        return [Pair(next(iter(guesses)), pred, truth)], ()
    alone = sorted(set(guesses) - set(truths))
    if alone:
        paired = len(guesses) - len(alone)
        raise DatasetError(
            f"{len(guesses)} predictions in {pred}, {len(truths)} truths in {truth}, {paired} "
            f"pairs; no truth for: {first_of(alone)}. The truths are: {first_of(sorted(truths))}. "
            "Names must be equal but for _0000 and the ending"
        )
    pairs = [Pair(case, guesses[case], truths[case]) for case in sorted(guesses)]
    missing = tuple(sorted(set(truths) - set(guesses))) if pred.is_dir() else ()
    return pairs, missing


def labels_in(path: Path, role: str) -> dict[str, Path]:
    """Map case names to the label maps of a folder, or to the one file.

    Raises:
        DatasetError: The path is missing or holds no label map, or a name occurs twice.
    """
    if not path.exists():
        raise DatasetError(f"the {role} {path} does not exist; give a label file or a folder")
    found: dict[str, Path] = {}
    for file in [path] if path.is_file() else label_files(path):
        case = case_of(file.name.removesuffix(labels_ending(file)))
        if case in found:
            raise DatasetError(
                f"two {role} files for the case {case!r}: {found[case].name} and {file.name}; "
                "keep one"
            )
        found[case] = file
    if not found:
        raise DatasetError(
            f"the {role} folder {path} holds no .nii or .nii.gz file, DICOM-SEG or RTSTRUCT"
        )
    return found


def label_files(folder: Path) -> list[Path]:
    """List the label maps of a folder; slices of a series and maps of uncertainty are none."""
    files = [
        file
        for file in sorted(folder.iterdir())
        if labels_ending(file) and not file.name.startswith(".") and not file.is_dir()
    ]
    doubts = {outputs_beside(file).uncertainty for file in files}
    return [
        file
        for file in files
        if file not in doubts and (file.suffix.lower() != ".dcm" or label_kind(file) is not None)
    ]


def case_of(stem: str) -> str:
    """Return the case's name: that of its file without the channel of nnU-Net.

    Example:
        >>> case_of("liver_01_0000")
        'liver_01'
    """
    return stem.removesuffix("_0000") or stem


def read_pair(pair: Pair) -> tuple[Volume, Volume]:
    """Read a predicted and a true label map, on one grid.

    DICOM may leave out slices without labels, and contours have no grid of their own: such labels
    take the grid of the other file, two DICOM-SEG one that holds both.

    Raises:
        GeometryError: They lie on different grids.
        ReadError: A file is damaged, is not a label map, or neither has a grid.
    """
    ours, theirs = _kind(pair.prediction), _kind(pair.truth)
    if theirs is not None and ours is None:
        pred = read_labels(pair.prediction)
        return pred, read_labels(pair.truth, like=pred)
    truth = read_labels(pair.truth)
    if ours == theirs == "seg":
        grid = _grid_of_both(truth, read_labels(pair.prediction))
        truth = read_labels(pair.truth, like=grid)
    return read_labels(pair.prediction, like=truth), truth


def first_of(names: Iterable[str]) -> str:
    """Write the first names of a list."""
    listed = list(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return f"{', '.join(listed[:_SHOWN])}{more}"


def _kind(path: Path) -> str | None:
    return label_kind(path) if means_dicom(path) else None


def _grid_of_both(one: Volume, other: Volume) -> Volume:
    """Return the least grid that holds both; that of one where they share none."""
    step = np.linalg.inv(one.affine) @ other.affine
    first = np.round(step[:3, 3]).astype(int)
    turned = np.abs(step[:3, :3] - np.eye(3)) * np.array(other.shape)
    if turned.max() > _OFF_GRID or np.abs(step[:3, 3] - first).max() > _OFF_GRID:
        return one
    low = np.minimum(first, 0)
    shape = np.maximum(one.shape, first + other.shape) - low
    affine = one.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ low
    return Volume(np.zeros(shape, dtype=np.uint8), affine)
