"""Find the series in a folder of patients, without reading the slices of any.

A folder is a series when its own files are mostly DICOM; of each a header or two are read, to
pass over what is no scan and to see where one series was spread over several folders.
"""

from __future__ import annotations

import warnings
import zipfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from slicekit.io.dicom.container import FAULTS, is_zip_name
from slicekit.io.dicom.planes import NO_SCANS
from slicekit.io.listing import (
    holds_own_series,
    is_dicom,
    is_dicom_name,
    is_index_name,
    is_nifti,
    may_be_dicom,
    visible,
)
from slicekit.io.values import warn_about_data

_HEADERS = 3
"""Of one folder: how many are read to tell that it holds no scan."""
_MEMBERS = 16
"""Of an archive: how many files without a telling name are looked into."""


@dataclass
class Search:
    """What was found below a folder."""

    scans: list[Path] = field(default_factory=list)
    """Series folders and archives, in the order of their names."""
    strays: list[str] = field(default_factory=list)
    """What was passed over, in words, relative to the folder."""


@dataclass(frozen=True)
class _Folder:
    """A folder with a series of its own."""

    path: Path
    series_uid: str = ""
    instance_uid: str = ""


def find_series(root: Path, *, but: Path | None = None) -> Search:
    """Find the series folders and archives of series below a folder.

    Args:
        root: The folder. Links to series folders are followed, others are not.
        but: A folder below it that is not looked into, for results go there.

    Returns:
        ``root`` itself as the only scan where all folders in it are parts of one series. Its own
        NIfTI files are neither scans nor strays.

    Raises:
        OSError: The folder cannot be listed; folders below it that cannot are strays.

    Warns:
        DataWarning: Some folders, but not all that lie together, are parts of one series.
    """
    found = Search()
    found.scans = [one.path for one in _below(root, root, found.strays, but)]
    return found


def _below(folder: Path, root: Path, strays: list[str], but: Path | None) -> list[_Folder]:
    """Search a folder; what is no scan goes to ``strays``."""
    entries = visible(folder)
    files = [entry for entry in entries if not entry.is_dir()]
    own: list[_Folder] = []
    if folder != root and holds_own_series(files):
        own = _series(folder, files, root, strays)
    else:
        for file in files:
            if is_zip_name(file) and _holds_dicom(file):
                own.append(_Folder(file))
            elif not (is_index_name(file) or (folder == root and is_nifti(file))):
                strays.append(_named(file, root))
    inner: list[_Folder] = []
    for entry in entries:
        if entry.is_dir() and not (but is not None and but.exists() and entry.samefile(but)):
            inner += _one_below(entry, root, strays, but)
    return own + (inner if own else _joined(folder, inner))


def _one_below(folder: Path, root: Path, strays: list[str], but: Path | None) -> list[_Folder]:
    """Search a folder of a folder; one without a scan is passed over as a whole."""
    passed: list[str] = []
    try:
        if folder.is_symlink():
            files = [entry for entry in visible(folder) if not entry.is_dir()]
            found = _series(folder, files, root, passed) if holds_own_series(files) else []
        else:
            found = _below(folder, root, passed, but)
    except OSError as fault:
        strays.append(f"{_named(folder, root)} ({fault.strerror or fault})")
        return []
    if found or (len(passed) == 1 and passed[0].endswith(")")):
        strays += passed
    else:
        nifti = any(map(is_nifti, folder.glob("*")))
        why = "NIfTI files are taken from the folder that was named" if nifti else "no DICOM"
        strays.append(f"{_named(folder, root)} ({why})")
    return found


def _series(folder: Path, files: list[Path], root: Path, strays: list[str]) -> list[_Folder]:
    """Return the series of a folder, or nothing where the headers that are read are of no scan."""
    from pydicom import dcmread

    named = [file for file in files if may_be_dicom(file)]
    named = [file for file in named if is_dicom_name(file)] or list(filter(is_dicom, named))
    others: list[str] = []
    for file in named[:: -(-len(named) // _HEADERS) or 1]:
        with warnings.catch_warnings():  # of odd values
            warnings.simplefilter("ignore")
            try:
                header = dcmread(
                    file, stop_before_pixels=True,
                    specific_tags=["SeriesInstanceUID", "SOPInstanceUID", "Modality"],
                )  # fmt: skip
            except (
                Exception
            ):  # whatever pydicom raises: whoever reads the series says what is wrong
                return [_Folder(folder)]
        if header.get("Modality") not in NO_SCANS:
            uids = (str(header.get(f"{one}InstanceUID") or "") for one in ("Series", "SOP"))
            return [_Folder(folder, *uids)]
        others.append(str(header.Modality))
    strays.append(f"{_named(folder, root)} ({others[0]}, no scan)")
    return []


def _joined(folder: Path, inner: list[_Folder]) -> list[_Folder]:
    """Make one scan of folders that lie together and are parts of one series, not copies of it."""
    series: dict[str, list[_Folder]] = defaultdict(list)
    for one in inner:
        if one.series_uid and one.path.parent == folder:
            series[one.series_uid].append(one)
    parts = [
        some for some in series.values() if len({one.instance_uid for one in some}) == len(some) > 1
    ]
    if parts and len(parts[0]) == len(inner):
        return [_Folder(folder, inner[0].series_uid, inner[0].instance_uid)]
    for some in parts:
        names = ", ".join(one.path.name for one in some)
        warn_about_data(
            folder, f"{names} are parts of one series, but are taken as {len(some)} scans; put "
            "them into one folder of their own",
        )  # fmt: skip
    return inner


def _holds_dicom(file: Path) -> bool:
    """Tell an archive of DICOM; one that cannot be read is one too, so that its reader says why."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            files = [name for name in names if may_be_dicom(Path(name))]
            if any(is_dicom_name(Path(PurePosixPath(name).name)) for name in files):
                return True
            return any(
                archive.open(name).read(132)[128:] == b"DICM"
                for name in files[:: -(-len(files) // _MEMBERS) or 1]
            )
    except FAULTS:
        return True


def _named(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
