"""What lies in a folder: its slices, or what it is instead."""

from __future__ import annotations

from pathlib import Path

from slicekit.errors import ReadError
from slicekit.io.pictures import SUFFIXES
from slicekit.io.values import warn_about_data

_LISTED = 5


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
    if file.suffix.lower() in (".dcm", ".dicom", ".ima") or file.name.upper() == "DICOMDIR":
        return True
    try:
        with file.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _is_slice(entry: Path) -> bool:
    """Tell a slice by its ending; hidden files are none."""
    hidden = entry.name.startswith(".")
    return entry.suffix.lower() in SUFFIXES and not hidden and not entry.is_dir()


def _instead(entries: list[Path]) -> str:
    """Say what a folder without slices holds."""
    wanted = f"expected slices ({', '.join(SUFFIXES)})"
    if not entries:
        return f"is an empty folder, {wanted}"
    if any(entry.name.lower().endswith((".nii", ".nii.gz")) for entry in entries):
        return (
            "is a folder of NIfTI files, not one volume; give one of the files, or run infer.py "
            "on the folder"
        )
    if any(is_dicom(entry) for entry in entries):
        return (
            "is a folder of DICOM files; convert the series to NIfTI first, for example with "
            "dcm2niix"
        )
    for entry in entries:
        if entry.is_dir() and any(_is_slice(inner) for inner in entry.glob("*")):
            return f"holds folders, {wanted}; did you mean {entry}?"
    return f"holds {', '.join(entry.name for entry in entries[:_LISTED])}, {wanted}"
