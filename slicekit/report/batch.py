"""Which scans a path means, and where their labels and what belongs to them go."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from slicekit.errors import FileError, ReadError, WriteError
from slicekit.io.listing import holds_dicom

_ENDINGS = (".nii.gz", ".nii")


class Beside(NamedTuple):
    """Files that belong to a label file, whether they are there or not."""

    sidecar: Path
    statistics: Path
    preview: Path
    uncertainty: Path


def plan_outputs(scan: Path, out: Path | None) -> list[tuple[Path, Path]]:
    """Pair every scan that a path means with the name of its labels.

    Args:
        scan: A file, a slice or DICOM folder, or a folder that holds NIfTI files.
        out: The labels of one scan, or the folder for those of several; in the current folder,
            as ``NAME_labels.nii.gz`` or the folder ``NAME_labels``, when ``None``. An existing
            folder takes the labels of one file as ``NAME_labels.nii.gz``.

    Raises:
        ReadError: The path does not exist, may not be entered, or is a whole dataset.
        WriteError: Two scans would write one file, or ``out`` names a file for several scans.
    """
    try:
        inside = scans_in(scan)
        if not inside and (scan / "imagesTr").is_dir():
            raise ReadError(
                scan, f"is a dataset, not a scan; name its folder of scans: {scan / 'imagesTr'}"
            )
        into_folder = out is not None and out.is_dir() and not scan.is_dir()
    except FileError:
        raise
    except (OSError, ValueError) as fault:
        raise ReadError(scan, f"cannot be looked at ({fault}); check name and rights") from fault
    if not inside:
        usual = Path(f"{_stem(scan)}_labels.nii.gz")
        return [(scan, out / usual if out and into_folder else out or usual)]
    if out is not None and _ending(out):
        raise WriteError(
            out, f"is the name of one file, but {scan} holds {len(inside)} scans; name a folder"
        )
    folder = out or Path(f"{_stem(scan)}_labels")
    pairs = [(path, folder / f"{_stem(path)}{_ending(path)}") for path in inside]
    _expect_apart(pairs)
    return pairs


def take_part(
    pairs: list[tuple[Path, Path]], scan: Path, part: int, parts: int
) -> list[tuple[Path, Path]]:
    """Take one share of a batch; all are equally large, or one scan smaller.

    Args:
        pairs: All scans in the order of their names, whether they are done or not: so a share
            is the same ones every time, as long as the folder is the same.
        scan: The folder, for the message.
        part: Which share, from 1.
        parts: How many there are.

    Returns:
        Every so many-th pair; none where there are more parts than scans.

    Raises:
        ReadError: It is a single scan.

    Example:
        >>> scans = [(Path(f"in/{name}"), Path(name)) for name in "abcde"]
        >>> [labels.name for _, labels in take_part(scans, Path("in"), 1, 2)]
        ['a', 'c', 'e']
    """
    if pairs[0][0] == scan:
        raise ReadError(scan, "is one scan and no batch; leave --parts and --part out")
    return pairs[part - 1 :: parts]


def outputs_beside(labels: Path) -> Beside:
    """Return where the sidecar, statistics, preview and uncertainty map of a label file lie."""
    stem = labels.name.removesuffix(_ending(labels)).removesuffix(".dcm")
    return Beside(
        labels.with_name(f"{stem}.json"),
        labels.with_name(f"{stem}_stats.json"),
        labels.with_name(f"{stem}_preview.png"),
        labels.with_name(f"{stem}_uncertainty.nii.gz"),
    )


def truth_beside(scan: Path) -> Path:
    """Return where the true labels of a made-up scan lie: ``NAME_labels.nii.gz``.

    Raises:
        WriteError: The scan's name does not end in .nii.gz or .nii.
    """
    ending = _ending(scan)
    if not ending or scan.name == ending:
        raise WriteError(scan, "is no name for a scan; end it in .nii.gz or .nii")
    return scan.with_name(f"{scan.name.removesuffix(ending)}_labels{ending}")


def scans_in(scan: Path) -> list[Path]:
    """List the NIfTI files of a folder; none for a file, a slice folder or a DICOM series.

    Raises:
        ReadError: The path does not exist.
    """
    if not scan.exists():
        raise ReadError(
            scan, "does not exist; name a NIfTI file, a slice folder or a folder of scans"
        )
    if not scan.is_dir() or holds_dicom(scan):
        return []
    return sorted(
        path
        for path in scan.iterdir()
        if _ending(path) and not path.name.startswith(".") and not path.is_dir()
    )


def _expect_apart(pairs: list[tuple[Path, Path]]) -> None:
    """Refuse a batch in which one scan's output would replace another's."""
    taken: dict[Path, Path] = {}
    for source, target in pairs:
        for output in (target, *outputs_beside(target)):
            other = taken.setdefault(output, source)
            if other != source:
                raise WriteError(
                    output,
                    f"would be written for both {other.name} and {source.name}; rename or move "
                    "one of the two scans",
                )


def _ending(path: Path) -> str:
    """Return ``.nii.gz`` or ``.nii`` as the name writes it; nothing for other names."""
    ending = next((end for end in _ENDINGS if path.name.lower().endswith(end)), "")
    return path.name[len(path.name) - len(ending) :]


def _stem(path: Path) -> str:
    # of "." too, but a link keeps its own name: two may lead to files of one name
    name = os.path.basename(os.path.abspath(path))  # noqa: PTH100, PTH119
    return name.removesuffix(_ending(Path(name))).removesuffix(".zip").removesuffix(".dcm")
