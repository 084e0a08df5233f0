"""Scans on which somebody drew an organ: in a dataset, or as folders of slices beside masks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slicekit.checks import suggest
from slicekit.data.cases import Case, find_cases
from slicekit.errors import DatasetError
from slicekit.io.pictures import SUFFIXES
from slicekit.labels import LabelSet

_IMAGES, _MASKS = "images", ("masks", "labels")
_HELD_OUT = "val"
_NO_ORGANS = ("background", "ignore")
"""Words of a dataset.json."""


@dataclass(frozen=True)
class Drawn:
    """Scans, and what the organs that are wanted are called in their labels."""

    organs: LabelSet
    """The organs that are wanted, with the ids of the labels."""
    cases: tuple[Case, ...]
    """To learn from; those without labels too."""
    held_out: tuple[Case, ...]
    """Labelled scans of the group ``val``: only to be scored on."""


def find_drawn(folder: str | Path, wanted: Sequence[str] = ()) -> Drawn:
    """Find the scans of a folder, and which of their labels are wanted.

    Args:
        folder: An nnU-Net raw folder; or a folder that holds ``images`` and ``masks``, each a
            folder of slices; or a folder of such folders, one a scan. There may be fewer masks
            than slices, each named as its slice.
        wanted: Organ names of a dataset, all of them where there are none. Masks have no names:
            ``NAME=VALUE`` says which gray value stands for what.

    Raises:
        DatasetError: There is nothing of the kind, an organ is unknown, or masks were given no
            names.
        LabelError: Names or values cannot be meant.
        ReadError: A file of the dataset is damaged.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DatasetError(f"{root} is no folder; name the one that holds what was drawn")
    if (root / "dataset.json").is_file():
        return _of_dataset(root, wanted)
    return _of_folders(root, wanted)


def _of_dataset(root: Path, wanted: Sequence[str]) -> Drawn:
    dataset = find_cases(root)
    if unknown := [name for name in wanted if name not in dataset.labels]:
        raise DatasetError(
            f"{root / 'dataset.json'} names no {', '.join(unknown)}; "
            f"{suggest(unknown[0], dataset.labels.names)}"
        )
    organs = dataset.labels.subset(wanted) if wanted else dataset.labels
    apart = dataset.splits.get(_HELD_OUT, ())
    held = tuple(case for case in dataset.cases if case.name in apart and case.labels is not None)
    return Drawn(organs, tuple(case for case in dataset.cases if case.name not in apart), held)


def _of_folders(root: Path, wanted: Sequence[str]) -> Drawn:
    scans = _slice_folders(root)
    if not scans:
        raise DatasetError(
            f"{root} is no dataset: it has neither a dataset.json (an nnU-Net raw folder) nor "
            f"the folders images and masks, nor folders that hold those"
        )
    organs = LabelSet(_values(wanted, root))
    cases = tuple(Case(name, images, masks) for name, (images, masks) in scans.items())
    return Drawn(organs, cases, ())


def _slice_folders(root: Path) -> dict[str, tuple[Path, Path | None]]:
    """Return name to the folders of slices and of masks."""
    inside = [entry for entry in sorted(root.iterdir()) if not entry.name.startswith(".")]
    found = {}
    for folder in (root, *(entry for entry in inside if entry.is_dir())):
        if (folder / _IMAGES).is_dir():
            masks = [folder / name for name in _MASKS if pictures(folder / name)]
            # the folder's own name, of "." too, but a link keeps its own
            name = os.path.basename(os.path.abspath(folder))  # noqa: PTH100, PTH119
            found[name] = (folder / _IMAGES, masks[0] if masks else None)
    return found


def pictures(folder: Path) -> list[Path]:
    """Return the pictures of a folder; none where there is no such folder."""
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    return [
        file for file in inside
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    ]  # fmt: skip


def _values(wanted: Sequence[str], root: Path) -> Mapping[str, int]:
    values: dict[str, int] = {}
    for text in wanted:
        name, equals, value = text.partition("=")
        if not (name and equals and value.isdecimal() and int(value) > 0):
            raise DatasetError(
                f"{root} holds masks, whose values have no names: wanted NAME=VALUE, such as "
                f"lesion=255, got {text!r}"
            )
        if name in values:
            raise DatasetError(f"{name} has two values, {values[name]} and {value}; give one")
        if name in _NO_ORGANS or name.isdecimal():
            raise DatasetError(f"an organ cannot be called {name!r}; give it another name")
        values[name] = int(value)
    if not values:
        raise DatasetError(
            f"{root} holds masks, whose values have no names; say which organ has which value, "
            "such as lesion=255"
        )
    return values
