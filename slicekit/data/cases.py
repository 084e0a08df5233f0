"""A dataset on disk: an nnU-Net raw folder, some of whose cases may have no labels.

The folder holds ``dataset.json``, ``imagesTr`` and ``labelsTr``; an optional ``splits.json``
names groups of cases. A case without a file in ``labelsTr`` is an unlabelled one.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slicekit.checks import suggest
from slicekit.errors import DatasetError, ReadError
from slicekit.labels import LabelSet, ignored_id

log = logging.getLogger(__name__)

_ENDINGS = (".nii.gz", ".nii")


@dataclass(frozen=True)
class Case:
    """One scan of a dataset."""

    name: str
    image: Path
    labels: Path | None
    """``None`` for an unlabelled scan."""
    ignore_id: int | None = None
    """Id of voxels that nobody could name, as dataset.json says under ``ignore``."""


@dataclass(frozen=True)
class Dataset:
    """What a dataset folder holds."""

    folder: Path
    labels: LabelSet
    cases: tuple[Case, ...]
    """All scans, in the order of their names."""
    splits: Mapping[str, tuple[str, ...]]
    """Group name to case names; empty where there is no splits.json."""

    def select(self, group: str | None) -> tuple[Case, ...]:
        """Return the cases of a group; all of them for ``None``.

        Raises:
            DatasetError: There is no such group.
        """
        if group is None:
            return self.cases
        if group not in self.splits:
            raise DatasetError(
                f"{self.folder / 'splits.json'} has no group {group!r}; "
                f"{suggest(group, self.splits)}"
            )
        wanted = set(self.splits[group])
        return tuple(case for case in self.cases if case.name in wanted)

    def __str__(self) -> str:
        labelled = sum(case.labels is not None for case in self.cases)
        groups = ", ".join(f"{name} {len(cases)}" for name, cases in self.splits.items())
        return (
            f"{self.folder}: {len(self.cases)} scans ({labelled} labelled, "
            f"{len(self.cases) - labelled} unlabelled), {len(self.labels)} organs"
            + (f", groups: {groups}" if groups else "")
        )


def find_cases(folder: str | Path) -> Dataset:
    """List what an nnU-Net raw folder holds and pair images with labels.

    Args:
        folder: Holds dataset.json and imagesTr; labelsTr and splits.json are optional.
            Image names may end in ``_0000`` or not.

    Raises:
        DatasetError: Something is missing or cannot be paired; the message lists what was
            found, what was paired and the first mismatches.
        LabelError: The ``labels`` of dataset.json cannot be meant.
        ReadError: A JSON file is damaged.
    """
    root = Path(folder)
    description = _read_json(root / "dataset.json", what="a dataset folder needs a dataset.json")
    if not isinstance(description.get("labels"), Mapping):
        raise DatasetError(f"{root / 'dataset.json'} has no 'labels': a table of organ name to id")
    labels = _by_name(_scans(root / "labelsTr"))
    images = _by_case(_scans(root / "imagesTr"), labels)
    if not images:
        raise DatasetError(
            f"{root / 'imagesTr'} holds no .nii or .nii.gz file; put the scans there, "
            "one file each, named CASE_0000.nii.gz or CASE.nii.gz"
        )
    stray = sorted(set(labels) - set(images))
    if stray:
        raise DatasetError(
            f"{root}: {len(images)} images, {len(labels)} label files, "
            f"{len(set(labels) & set(images))} pairs; these labels have no image: "
            f"{', '.join(stray[:5])}{' ...' if len(stray) > 5 else ''}; "
            f"the images are {', '.join(sorted(images)[:5])}{' ...' if len(images) > 5 else ''}"
        )
    organs = LabelSet.from_dataset(description["labels"])
    ignore = ignored_id(description["labels"])
    cases = tuple(Case(name, images[name], labels.get(name), ignore) for name in sorted(images))
    dataset = Dataset(root, organs, cases, _read_splits(root, images))
    log.info("%s", dataset)
    return dataset


def training_split(
    dataset: Dataset, *, labelled: str | None, unlabelled: str | None, held_out: str | None
) -> tuple[tuple[Case, ...], tuple[Case, ...], tuple[Case, ...]]:
    """Choose the labelled, unlabelled and held-out cases of a training run.

    Args:
        dataset: The dataset.
        labelled: Group to learn from; every labelled case outside ``held_out`` for ``None``.
        unlabelled: Group whose labels are not looked at; the cases without labels for ``None``.
        held_out: Group that is only evaluated on; no case for ``None``.

    Raises:
        DatasetError: No labelled case is left, or a case is both learned from and held out.
    """
    apart = dataset.select(held_out) if held_out is not None else ()
    names = {case.name for case in apart}
    teach = tuple(
        case
        for case in dataset.select(labelled)
        if case.labels is not None and (labelled is not None or case.name not in names)
    )
    free = (
        tuple(c for c in dataset.cases if c.labels is None and c.name not in names)
        if unlabelled is None
        else dataset.select(unlabelled)
    )
    both = sorted(names & {case.name for case in teach + free})
    if both:
        raise DatasetError(
            f"held out and trained on at once: {', '.join(both)}; mend {dataset.folder}/splits.json"
        )
    twice = sorted({case.name for case in teach} & {case.name for case in free})
    if twice:
        raise DatasetError(
            f"labelled and unlabelled at once: {', '.join(twice[:5])}; a run that is to do without "
            f"their labels must not have them in its labelled group - mend the recipe's groups"
        )
    if not teach:
        raise DatasetError(f"no labelled case to learn from in {dataset}")
    return teach, free, apart


def _read_json(path: Path, *, what: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as fault:
        raise DatasetError(f"{path} is missing; {what}") from fault
    except (OSError, ValueError, RecursionError) as fault:
        raise ReadError(path, f"is not readable JSON ({fault}); mend it") from fault
    if not isinstance(content, dict):
        raise DatasetError(f"{path} must hold a JSON object, got {type(content).__name__}")
    return content


def _scans(folder: Path) -> list[tuple[str, Path]]:
    """List names without their endings, and files."""
    found = []
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        ending = next((end for end in _ENDINGS if path.name.endswith(end)), None)
        if ending is not None and not path.name.startswith("."):
            found.append((path.name.removesuffix(ending), path))
    return found


def _by_name(scans: Sequence[tuple[str, Path]]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name, path in scans:
        if name in found:
            raise DatasetError(f"two files for the case {name!r}: {found[name]} and {path}")
        found[name] = path
    return found


def _by_case(scans: Sequence[tuple[str, Path]], labels: Mapping[str, Path]) -> dict[str, Path]:
    """Map case names to images: ``_0000`` is a channel, other digits may belong to the name."""
    names = {name for name, _ in scans}
    plain = []
    for name, path in scans:
        case, _, channel = name.rpartition("_")
        if case and len(channel) == 4 and channel.isdecimal() and name not in labels:
            if channel == "0000":
                name = case
            elif f"{case}_0000" in names and f"{case}_0000" not in labels:
                raise DatasetError(
                    f"{path} is a further channel of one case; slicekit reads one channel a "
                    "case - keep only the _0000 files in imagesTr"
                )
        plain.append((name, path))
    return _by_name(plain)


def _read_splits(root: Path, images: Mapping[str, Path]) -> dict[str, tuple[str, ...]]:
    path = root / "splits.json"
    if not path.exists():
        return {}
    splits: dict[str, tuple[str, ...]] = {}
    for group, names in _read_json(path, what="").items():
        if not isinstance(names, Sequence) or isinstance(names, str):
            raise DatasetError(f"{path}: {group!r} must be a list of case names")
        unknown = [str(name) for name in names if not isinstance(name, str) or name not in images]
        if unknown:
            raise DatasetError(
                f"{path}: {group!r} names cases that have no image: {', '.join(unknown[:5])}"
            )
        splits[group] = tuple(str(name) for name in names)
    return splits
