"""Which scans a path means, and where their labels and what belongs to them go."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from slicekit.errors import FileError, ReadError, WriteError
from slicekit.io.dicom.finding import find_series
from slicekit.io.dicom.headers import listed
from slicekit.io.dicom.referring import is_dicom_labels_name
from slicekit.io.listing import holds_dicom, holds_own_series, is_nifti, visible
from slicekit.io.pictures import SUFFIXES
from slicekit.io.values import warn_about_data

_ENDINGS = (".nii.gz", ".nii")
_LABEL_ENDINGS = (*_ENDINGS, ".rtstruct.dcm", ".dcm")


class Beside(NamedTuple):
    """Files that belong to a label file, whether they are there or not."""

    sidecar: Path
    statistics: Path
    preview: Path
    uncertainty: Path


def plan_outputs(
    scan: Path, out: Path | None, *, series: str | None = None
) -> list[tuple[Path, Path]]:
    """Pair every scan that a path means with the name of its labels.

    Args:
        scan: A file, a slice or DICOM folder, or a folder of scans: NIfTI files, zip archives of
            DICOM, folders of DICOM series at any depth.
        out: The labels of one scan, or the folder for those of several; in the current folder,
            as ``NAME_labels.nii.gz`` or the folder ``NAME_labels``, when ``None``. An existing
            folder takes the labels of one file as ``NAME_labels.nii.gz``.
        series: Which DICOM series the user asked for: with it and the name of one file, folders
            of series are one scan.

    Raises:
        ReadError: The path does not exist, may not be entered, or is a whole dataset.
        WriteError: Two scans would write one file, labels would lie among the scans, or ``out``
            names a file for several scans.

    Warns:
        DataWarning: Something in a folder of series is no scan and was passed over.
    """
    try:
        inside = _scans_of_folder(scan, out, series)
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
        usual = Path(f"{stem_of(scan)}_labels.nii.gz")
        if out is not None and not into_folder and is_nifti(scan):
            _expect_nifti_name(out)
        return [(scan, out / usual if out and into_folder else out or usual)]
    if out is not None and _is_file_name(out):
        raise WriteError(
            out, f"is the name of one file, but {scan} holds {len(inside)} scans; name a folder"
        )
    folder = _folder_of(scan, out)
    pairs = [(path, folder / _labels_name(path, scan)) for path in inside]
    if _is_same(folder, scan) and not all(map(is_nifti, inside)):
        raise WriteError(
            folder, "is the folder of the scans, where results would be taken for scans the next "
            "time; name another",
        )  # fmt: skip
    _expect_apart(pairs)
    return sorted(pairs, key=lambda pair: pair[1].name)


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
    stem = labels.name.removesuffix(labels_ending(labels))
    return Beside(
        labels.with_name(f"{stem}.json"),
        labels.with_name(f"{stem}_stats.json"),
        labels.with_name(f"{stem}_preview.png"),
        labels.with_name(f"{stem}_uncertainty.nii.gz"),
    )


def labels_ending(path: Path) -> str:
    """Return how a name of labels ends, as it writes it; nothing for names that cannot be labels.

    Example:
        >>> labels_ending(Path("liver.rtstruct.DCM"))
        '.rtstruct.DCM'
    """
    return _one_of(path, _LABEL_ENDINGS)


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


def _scans_of_folder(scan: Path, out: Path | None, series: str | None) -> list[Path]:
    """List the scans of a folder; none where the path is a scan itself."""
    inside = scans_in(scan)
    if not scan.is_dir() or holds_own_series(visible(scan)) or (not inside and _has_slices(scan)):
        return inside
    found = find_series(scan, but=_folder_of(scan, out))
    one_file = out is not None and _is_file_name(out)
    if not found.scans or found.scans == [scan]:
        return inside
    if not inside and all(path.is_dir() for path in found.scans):
        alone = len(found.scans) == 1
        if (one_file and (alone or series is not None)) or (alone and out is None):
            return []  # what lies below makes one scan
    if found.strays:
        warn_about_data(scan, f"passed over what is no scan: {listed(found.strays)}")
    return inside + found.scans


def scans_by_name(folder: Path, labels: Path) -> dict[str, Path]:
    """Map the names that the scans' labels would have in a folder, without ending, to the scans.

    Args:
        folder: A folder of scans, as for ``plan_outputs``.
        labels: The folder of the labels, which is not searched for scans.

    Returns:
        None where the folder is a scan itself.

    Raises:
        ReadError: The folder does not exist, or may not be entered.

    Warns:
        DataWarning: Something in a folder of series is no scan and was passed over.
    """
    try:
        found = _scans_of_folder(folder, labels, None)
    except (OSError, ValueError) as fault:
        if isinstance(fault, FileError):
            raise
        raise ReadError(folder, f"cannot be looked at ({fault}); check name and rights") from fault
    return {stem_of(Path(_labels_name(scan, folder))): scan for scan in found}


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
    return _one_of(path, _ENDINGS)


def _one_of(path: Path, endings: tuple[str, ...]) -> str:
    ending = next((end for end in endings if path.name.lower().endswith(end)), "")
    return path.name[len(path.name) - len(ending) :]


def _labels_name(path: Path, scan: Path) -> str:
    """Name the labels of a scan after its file, or after its folders below the one of all."""
    if _ending(path) and not path.is_dir():
        return f"{stem_of(path)}{_ending(path)}"
    parents = path.relative_to(scan).parts[:-1]
    return f"{'_'.join((*parents, stem_of(path)))}.nii.gz"


def _expect_nifti_name(out: Path) -> None:
    """Refuse a name that the labels of a NIfTI scan cannot have, before anything is loaded."""
    if not _is_file_name(out):
        raise WriteError(
            out, "is no name for labels; end it in .nii.gz, or name a folder that exists"
        )


def _has_slices(folder: Path) -> bool:
    return any(entry.suffix.lower() in SUFFIXES for entry in visible(folder))


def _folder_of(scan: Path, out: Path | None) -> Path:
    return out or Path(f"{stem_of(scan)}_labels")


def _is_same(one: Path, other: Path) -> bool:
    return one.exists() and one.samefile(other)


def _is_file_name(path: Path) -> bool:
    """Tell the name of one label file."""
    return bool(_ending(path)) or is_dicom_labels_name(path)


def stem_of(path: Path) -> str:
    """Return the name of a scan without its ending."""
    # of "." too, but a link keeps its own name: two may lead to files of one name
    name = os.path.basename(os.path.abspath(path))  # noqa: PTH100, PTH119
    return re.sub(r"\.(zip|dcm)$", "", name.removesuffix(_ending(Path(name))), flags=re.IGNORECASE)
