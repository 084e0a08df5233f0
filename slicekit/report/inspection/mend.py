"""A copy of a dataset in which what can safely be mended is; the dataset itself stays as it is."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from slicekit.errors import DataWarning, FileError, WriteError
from slicekit.io import read_labels, read_volume, write_labels
from slicekit.io.atomic import why_not_written, write_text
from slicekit.report.inspection.inspect import Inspection

_OURS = ".slicekit-"


class Change(NamedTuple):
    """What was done to one file."""

    file: str
    """Inside of the dataset, as it is called now."""
    what: str


@dataclass(frozen=True)
class Mended:
    """A mended copy."""

    folder: Path
    changes: tuple[Change, ...]
    left_out: tuple[str, ...]
    """Files that could not be copied, such as links that lead nowhere."""


def described(mended: Mended) -> dict[str, Any]:
    """Return what was done, ready for JSON."""
    return {
        "folder": str(mended.folder),
        "changes": [one._asdict() for one in mended.changes],
        "left_out": list(mended.left_out),
    }


def mend_dataset(
    found: Inspection,
    out: Path,
    *,
    progress: Callable[[str, int, int], None] | None = None,
) -> Mended:
    """Copy a dataset and mend in the copy what cannot be meant otherwise.

    That is: ids that are stored as real or scaled numbers become integers, a label map whose
    affine differs from its image's within 0.1 mm gets the image's, an image without ``_0000``
    gets it, and ``numTraining`` is set. Everything else is copied byte for byte, what is damaged
    too.

    Args:
        found: From ``inspect_dataset``.
        out: A new folder. It appears when all is copied, or not at all.
        progress: Told ``("files", done, total)``.

    Raises:
        ReadError: A file has changed or gone since it was looked at.
        WriteError: ``out`` exists, lies inside of the dataset, or cannot be written.
    """
    source = found.layout.folder
    expect_new(out, source)
    temporary = out.with_name(f"{_OURS}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        mended = _fill(found, source, temporary, progress or (lambda *_: None))
        temporary.rename(out)
    except FileError:
        raise
    except OSError as fault:
        raise WriteError(out, why_not_written(fault, out.absolute())) from fault
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Mended(out, *mended)


def expect_new(out: Path, source: Path) -> None:
    """Refuse a folder for the copy that is there already, or that is a part of the dataset.

    Raises:
        WriteError: It is one.
    """
    if os.path.lexists(out):
        raise WriteError(out, "exists already; name a new folder for the mended copy")
    if out.absolute().resolve().is_relative_to(source.resolve()):
        raise WriteError(out, f"lies inside of {source}, which stays as it is; name another folder")


def _fill(
    found: Inspection, source: Path, target: Path, told: Callable[[str, int, int], None]
) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Copy and mend file by file."""
    wanted = _mends(found)
    files = sorted(_files(source))
    _expect_room(target, files)
    changes: list[Change] = []
    lost: list[str] = []
    for done, file in enumerate(files, start=1):
        inside = file.relative_to(source)
        change, write = wanted.get(inside, (Change(str(inside), ""), _copy))
        place = target / change.file
        place.parent.mkdir(parents=True, exist_ok=True)
        if file.is_file():
            write(file, place)
            changes += [change] if change.what else []
        else:
            lost.append(str(inside))
        told("files", done, len(files))
    return tuple(changes), tuple(lost)


def _mends(found: Inspection) -> dict[Path, tuple[Change, Callable[[Path, Path], None]]]:
    """Return what is to be done to which file."""
    kinds: dict[str, set[str]] = {}
    for one in found.findings:
        kinds.setdefault(one.where, set()).add(one.kind)
    wanted: dict[Path, tuple[Change, Callable[[Path, Path], None]]] = {}
    folder = found.layout.folder
    for case in found.cases:
        said = kinds.get(case.name, set())
        plain = case.image.name
        ending = ".nii.gz" if plain.endswith(".nii.gz") else ".nii"
        whole = f"{plain.removesuffix(ending)}_0000{ending}"
        if "suffix" in said and not os.path.lexists(case.image.with_name(whole)):
            inside = case.image.relative_to(folder)
            change = Change(str(inside.with_name(whole)), f"was {plain}")
            wanted[inside] = (change, _copy)
        if case.labels is not None and said & {"float-ids", "nearly-grid"}:
            inside = case.labels.relative_to(folder)
            moved = "nearly-grid" in said
            words = ["ids stored as integers"] if "float-ids" in said else []
            words += ["lies on its image's grid"] if moved else []
            image = case.image if moved else None
            wanted[inside] = (Change(str(inside), ", ".join(words)), _Relabelled(image))
    if any(one.kind == "training-count" for one in found.findings):
        count = len(found.layout.entries)
        content = {**found.layout.description, "numTraining": count}
        change = Change("dataset.json", f"numTraining is {count}")
        wanted[Path("dataset.json")] = (change, lambda _, place: _write_json(place, content))
    return wanted


@dataclass(frozen=True)
class _Relabelled:
    """Writes a label map anew: as integers, on the grid of an image where there is one."""

    image: Path | None

    def __call__(self, file: Path, place: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # told when it was looked at
            if self.image is None:
                labels = read_labels(file)
                write_labels(place, labels, like=labels)
                return
            image = read_volume(self.image)
            grid = image.with_array(np.broadcast_to(np.uint8(0), image.shape))
            del image
            write_labels(place, read_labels(file, like=grid).array, like=grid)


def _copy(file: Path, place: Path) -> None:
    shutil.copy2(file, place)


def _write_json(place: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    # half a character, which JSON can say and UTF-8 cannot, stays escaped
    write_text(place, text.encode("utf-8", "backslashreplace").decode("utf-8"))


def _files(folder: Path) -> Iterator[Path]:
    """List all files, through links too, but no folder twice."""
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(place) / name for name in files if not name.startswith(_OURS))


def _expect_room(target: Path, files: list[Path]) -> None:
    """Refuse to begin a copy that the disk cannot hold."""
    needed = sum(file.stat().st_size for file in files if file.is_file())
    target.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise WriteError(
            target.parent,
            f"has {free:,} bytes free, the copy needs about {needed:,}; name another disk",
        )
