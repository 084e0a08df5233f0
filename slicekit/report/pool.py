"""Which scans there are to choose from when something is to be annotated next."""

from __future__ import annotations

from pathlib import Path

from slicekit.data.cases import Case, find_cases
from slicekit.errors import DatasetError
from slicekit.report.batch import scans_in


def find_pool(data: Path, *, group: str | None, held_out: str | None) -> tuple[Case, ...]:
    """List the scans that may be proposed for annotation.

    Args:
        data: An nnU-Net raw folder, or a folder of NIfTI scans; of the latter all are listed.
        group: Group of splits.json, whatever labels its scans have. Without one, the scans that
            are not annotated, and those of which annotations.json names single slices.
        held_out: Group that is left out unless it is the ``group`` itself; its scans are what
            models are measured on. A dataset without such a group has nothing to leave out.

    Returns:
        Scans in the order of their names; ``annotated_slices`` of each are known already.

    Raises:
        DatasetError: No scan is left, there is no such group, or two files have one name.
        ReadError: The folder does not exist.
    """
    if not (data / "dataset.json").exists():
        return _of_folder(data, group=group)
    dataset = find_cases(data)
    apart = set() if group == held_out else set(dataset.splits.get(held_out or "", ()))
    pool = tuple(
        case
        for case in dataset.select(group)
        if case.name not in apart
        and (group is not None or case.labels is None or case.annotated_slices is not None)
    )
    if not pool:
        left = f" outside the held-out group {held_out!r}" if apart else ""
        raise DatasetError(
            f"{dataset} has no scan to propose{left}; put scans without labels into "
            f"{data / 'imagesTr'}, or name a group of splits.json with --group"
        )
    return pool


def _of_folder(data: Path, *, group: str | None) -> tuple[Case, ...]:
    """List the scans of a plain folder."""
    scans = scans_in(data)
    if not scans:
        raise DatasetError(
            f"{data} holds neither a dataset.json nor a .nii or .nii.gz file; name an nnU-Net raw "
            "folder or a folder of scans"
        )
    if group is not None:
        raise DatasetError(
            f"{data} has no dataset.json and so no group {group!r}; leave --group out, or name an "
            "nnU-Net raw folder"
        )
    pool: dict[str, Case] = {}
    for path in scans:
        name = path.name[: path.name.lower().rindex(".nii")]
        if name in pool:
            raise DatasetError(f"two files for the case {name!r}: {pool[name].image} and {path}")
        pool[name] = Case(name, path, None)
    return tuple(pool.values())
