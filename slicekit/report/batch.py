"""Which scans a path means, and where their labels go."""

from __future__ import annotations

from pathlib import Path

from slicekit.errors import ReadError

_ENDINGS = (".nii.gz", ".nii")


def plan_outputs(scan: Path, out: Path | None) -> list[tuple[Path, Path]]:
    """Pair every scan that a path means with the name of its labels.

    Args:
        scan: A file, a slice folder, or a folder that holds NIfTI files.
        out: The labels of one scan, or the folder for those of several; beside the current
            folder's files, as ``NAME_labels.nii.gz``, when ``None``.

    Raises:
        ReadError: The path does not exist.
    """
    if not scan.exists():
        raise ReadError(
            scan, "does not exist; name a NIfTI file, a slice folder or a folder of scans"
        )
    inside = sorted(path for path in scan.iterdir() if _ending(path)) if scan.is_dir() else []
    if not inside:
        return [(scan, out or Path(f"{_stem(scan)}_labels.nii.gz"))]
    folder = out or Path(f"{_stem(scan)}_labels")
    return [(path, folder / f"{_stem(path)}{_ending(path)}") for path in inside]


def _ending(path: Path) -> str:
    return next((end for end in _ENDINGS if path.name.endswith(end)), "")


def _stem(path: Path) -> str:
    return path.resolve().name.removesuffix(_ending(path))
