"""A dataset folder to train on: true labels and accepted pseudo labels side by side.

It is an nnU-Net raw folder. Scans and true labels are links; ``annotations.json`` says which organs
of a case the labels speak of. ``dataset.json`` is written last, so a folder without it is not
finished and nobody takes it for a dataset.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slicekit.data.annotations import FILE_NAME
from slicekit.data.cases import Case, Dataset
from slicekit.errors import ReadError, WriteError
from slicekit.io.atomic import why_not_written, write_text

TRAIN, HELD_OUT, UNLABELLED, PSEUDO = "train", "val", "unlabelled", "pseudo"
"""Groups of the splits.json that is written."""


@dataclass(frozen=True)
class FolderPlan:
    """What goes into a folder."""

    source: Dataset
    labelled: Sequence[Case]
    """Their labels are taken as they are."""
    pseudo: Mapping[str, Sequence[str]]
    """Case to the organs that were accepted; none: the case stays unlabelled."""
    free: Sequence[Case]
    """The cases of ``pseudo``."""
    held_out: Sequence[Case]


def begin_folder(out: Path, plan: FolderPlan) -> None:
    """Make the folder, link scans and true labels, and take away what says that it is finished.

    Raises:
        WriteError: It cannot be written.
    """
    try:
        for name in ("imagesTr", "labelsTr"):
            (out / name).mkdir(parents=True, exist_ok=True)
        (out / "dataset.json").unlink(missing_ok=True)
        wanted = {image_name(case) for case in _cases(plan)}
        for stale in (out / "imagesTr").iterdir():
            if stale.name not in wanted:
                stale.unlink()
        kept = {_labels_name(case) for case in (*plan.labelled, *plan.held_out)}
        for stale in (out / "labelsTr").iterdir():
            if stale.name not in kept:
                stale.unlink()
        for case in _cases(plan):
            link(case.image, out / "imagesTr" / image_name(case))
        for case in (*plan.labelled, *plan.held_out):
            if case.labels is not None:
                link(case.labels, out / "labelsTr" / _labels_name(case))
    except OSError as fault:
        raise WriteError(out, why_not_written(fault, out)) from fault


def finish_folder(out: Path, plan: FolderPlan) -> None:
    """Write what says what the labels mean, dataset.json last.

    Raises:
        WriteError: It cannot be written.
        ReadError: The dataset.json of the source has gone since it was read.
    """
    annotations: dict[str, dict[str, Any]] = {}
    for case in (*plan.labelled, *plan.held_out):
        entry: dict[str, Any] = {}
        if case.labels_present is not None:
            entry["labels_present"] = sorted(case.labels_present)
        if case.annotated_slices is not None:
            entry["annotated_slices"] = list(case.annotated_slices)
        if entry:
            annotations[case.name] = entry
    for name, organs in plan.pseudo.items():
        annotations[name] = {"labels_present": list(organs)}
    taught = [name for name, organs in plan.pseudo.items() if organs]
    splits = {
        TRAIN: sorted([case.name for case in plan.labelled] + taught),
        HELD_OUT: sorted(case.name for case in plan.held_out),
        UNLABELLED: sorted(set(plan.pseudo) - set(taught)),
        PSEUDO: sorted(taught),
    }
    write_text(out / FILE_NAME, json.dumps(annotations, indent=2) + "\n")
    write_text(out / "splits.json", json.dumps(splits, indent=2) + "\n")
    source = plan.source.folder / "dataset.json"
    try:
        described = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise ReadError(source, f"cannot be read any more ({fault})") from fault
    described["numTraining"] = len(plan.labelled) + len(taught) + len(plan.held_out)
    write_text(out / "dataset.json", json.dumps(described, indent=2) + "\n")


def labels_path(out: Path, case: str) -> Path:
    """Return where the accepted labels of a case go."""
    return out / "labelsTr" / f"{case}.nii.gz"


def _cases(plan: FolderPlan) -> Iterable[Case]:
    return (*plan.labelled, *plan.free, *plan.held_out)


def image_name(case: Case) -> str:
    """Name a scan so that it is read as the same case, with a file in labelsTr or without."""
    if case.image.is_dir():  # of slices, and perhaps not called as the case
        return f"{case.name}_0000" if case.name.endswith("_0000") else case.name
    ending = ".nii.gz" if case.image.name.endswith(".nii.gz") else ".nii"
    stem = case.image.name.removesuffix(ending)
    # nnU-Net takes four digits for a channel, unless labels of that name say otherwise
    channel = "_0000" if case.name.endswith("_0000") and not stem.endswith("_0000_0000") else ""
    return f"{stem}{channel}{ending}"


def _labels_name(case: Case) -> str:
    return case.labels.name if case.labels is not None else f"{case.name}.nii.gz"


def link(source: Path, target: Path) -> None:
    """Link to a file or folder, or copy it where the file system knows no links."""
    real = source.resolve()
    if target.is_symlink() and target.resolve() == real:
        return
    target.unlink(missing_ok=True)
    try:
        target.symlink_to(real)
    except OSError:
        if real.is_dir():
            shutil.copytree(real, target)
        else:
            shutil.copyfile(real, target)
