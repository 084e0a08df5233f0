"""What lies in a folder: its slices, or what it is instead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from slicekit.errors import ReadError
from slicekit.io.pictures import SUFFIXES
from slicekit.io.values import warn_about_data

_LISTED = 5
_DICOM_ENDINGS = (".dcm", ".dicom", ".ima")
_INDEX = "DICOMDIR"
_NEVER_DICOM = (
    *SUFFIXES, ".nii", ".gz", ".zip", ".json", ".jsonl", ".txt", ".csv", ".xml", ".html", ".htm",
    ".pdf", ".md", ".log", ".bmp", ".gif", ".exe", ".inf", ".ini", ".db", ".py", ".toml",
)  # fmt: skip
_LOOKED_INTO = 16
"""Of the files whose names say nothing: how many are opened to tell what a folder holds."""


def list_slices(folder: Path) -> list[str]:
    """Return the file names of the slices in a folder.

    Raises:
        ReadError: It holds none; the message says what it holds instead, and what to do.

    Warns:
        DataWarning: Other things lie in it; they are named and passed over.
    """
    try:
        entries = sorted(folder.iterdir())
    except PermissionError as fault:
        raise ReadError(folder, "may not be read: permission denied; ask its owner") from fault
    except OSError as fault:
        raise ReadError(folder, f"cannot be listed: {fault.strerror or fault}") from fault
    slices = [entry.name for entry in entries if _is_slice(entry)]
    if not slices:
        raise ReadError(folder, _instead(entries))
    strays = [entry.name for entry in entries if not _is_slice(entry)]
    if strays:
        more = f" and {len(strays) - _LISTED} more" if len(strays) > _LISTED else ""
        warn_about_data(
            folder, f"passed over what is no slice: {', '.join(strays[:_LISTED])}{more}"
        )
    return slices


def is_dicom(file: Path) -> bool:
    """Tell a DICOM file by its name, or by its content where the name says nothing."""
    if is_dicom_name(file):
        return True
    try:
        with file.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def is_dicom_name(file: Path) -> bool:
    """Tell a DICOM file by its name."""
    return file.suffix.lower() in _DICOM_ENDINGS or is_index_name(file)


def is_index_name(file: Path) -> bool:
    """Tell the index of a DICOM medium, which is no part of a series, by its name."""
    return file.name.upper() == _INDEX


def may_be_dicom(file: Path) -> bool:
    """Tell files that may belong to a series by their names; nothing is opened."""
    return not is_index_name(file) and file.suffix.lower() not in _NEVER_DICOM


def holds_dicom(folder: Path) -> bool:
    """Tell whether a folder means DICOM series, its own or, where it holds no scan, of folders.

    A folder of slices with a DICOM file or two among them is still a folder of slices, and a
    series beside which labels were written still a series.
    """
    try:
        entries = visible(folder)
        own = holds_own_series(entries)
        if own is not None:
            return own
        return any(_is_series_file(entry) for entry in _below(folder))
    except OSError:
        return False  # whoever lists the folder says why


def holds_own_series(entries: list[Path]) -> bool | None:
    """Tell whether the files of a folder, not those below it, are mostly DICOM.

    Of files whose names say nothing a few are opened, spread over all of them.

    Args:
        entries: What lies in the folder.

    Returns:
        ``None`` where there are neither DICOM files nor scans of another kind.
    """
    others = sum(_is_slice(entry) or is_nifti(entry) for entry in entries)
    files = [entry for entry in entries if may_be_dicom(entry) and entry.is_file()]
    dicom = sum(map(is_dicom_name, files))
    unnamed = [entry for entry in files if not is_dicom_name(entry)]
    opened = unnamed[:: -(-len(unnamed) // _LOOKED_INTO) or 1]
    dicom += sum(map(is_dicom, opened)) * len(unnamed) // max(len(opened), 1)
    return dicom > others if dicom or others else None


def dicom_files(folder: Path) -> list[str]:
    """Return the files that may belong to a DICOM series, relative to the folder.

    Those of the folder itself where a DICOM file is among them, else those of all its folders.

    Raises:
        ReadError: It cannot be listed.
    """
    try:
        files = [entry for entry in visible(folder) if not entry.is_dir()]
        if not any(map(_is_series_file, files)):
            files = [entry for entry in _below(folder) if not entry.is_dir()]
    except OSError as fault:
        raise ReadError(folder, f"cannot be listed: {fault.strerror or fault}") from fault
    return [entry.relative_to(folder).as_posix() for entry in files]


def visible(folder: Path) -> list[Path]:
    """List what lies in a folder and is not hidden, in the order of names."""
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _below(folder: Path) -> Iterator[Path]:
    """Walk through a folder and all its folders, not through links to folders."""
    for entry in visible(folder):
        if entry.is_dir() and not entry.is_symlink():
            yield from _below(entry)
        else:
            yield entry


def is_nifti(entry: Path) -> bool:
    """Tell a NIfTI file by its name."""
    return entry.name.lower().endswith((".nii", ".nii.gz"))


def _is_series_file(entry: Path) -> bool:
    return may_be_dicom(entry) and entry.is_file() and is_dicom(entry)


def _is_slice(entry: Path) -> bool:
    """Tell a slice by its ending; hidden files are none."""
    hidden = entry.name.startswith(".")
    return entry.suffix.lower() in SUFFIXES and not hidden and not entry.is_dir()


def _instead(entries: list[Path]) -> str:
    """Say what a folder without slices holds."""
    wanted = f"expected slices ({', '.join(SUFFIXES)}, or DICOM)"
    if not entries:
        return f"is an empty folder, {wanted}"
    if any(map(is_nifti, entries)):
        return "is a folder of NIfTI files, not one volume; name one of the files"
    for entry in entries:
        if entry.is_dir() and any(_is_slice(inner) for inner in entry.glob("*")):
            return f"holds folders, {wanted}; did you mean {entry}?"
    return f"holds {', '.join(entry.name for entry in entries[:_LISTED])}, {wanted}"
