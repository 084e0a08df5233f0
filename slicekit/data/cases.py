"""A dataset on disk: an nnU-Net raw folder, some of whose cases may have no labels.

The folder holds ``dataset.json``, ``imagesTr`` and ``labelsTr``; a scan is a file, or a folder of
slices with a folder of masks (which nnU-Net itself does not read). An optional ``splits.json``
names groups of cases, an optional ``annotations.json`` says which organs and slices of a case were
annotated. A case without a file in ``labelsTr`` is an unlabelled one.
"""

from __future__ import annotations

import logging
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from slicekit.checks import suggest
from slicekit.data.annotations import FILE_NAME, Annotation, parse_annotations
from slicekit.data.json_file import read_json
from slicekit.errors import DatasetError
from slicekit.io.pictures import SUFFIXES
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
    organs: LabelSet | None = field(default=None, repr=False, hash=False)
    """What the ids of the labels mean, as dataset.json says."""
    labels_present: frozenset[str] | None = None
    """Organs that somebody annotated, ``None`` for all; where another one lies the label is 0."""
    annotated_slices: tuple[int, ...] | None = None
    """Slices that somebody annotated, counted as the image's file does, ``None`` for all."""

    @property
    def is_partial(self) -> bool:
        """Whether there are labels, but not of everything."""
        some = self.labels_present is not None or self.annotated_slices is not None
        return self.labels is not None and some


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
        path = self.folder / "splits.json"
        if not self.splits:
            raise DatasetError(
                f"there is no {path}, or it is empty, and so no group {group!r}; write one as "
                f'{{"{group}": ["CASE", ...]}}, or name no group'
            )
        if group not in self.splits:
            raise DatasetError(f"{path} has no group {group!r}; {suggest(group, self.splits)}")
        wanted = set(self.splits[group])
        return tuple(case for case in self.cases if case.name in wanted)

    def __str__(self) -> str:
        labelled = sum(case.labels is not None for case in self.cases)
        partial = sum(case.is_partial for case in self.cases)
        groups = ", ".join(f"{name} {len(cases)}" for name, cases in self.splits.items())
        return (
            f"{self.folder}: {len(self.cases)} scans ({labelled} labelled"
            + (f", {partial} of them in part" if partial else "")
            + f", {len(self.cases) - labelled} unlabelled), {len(self.labels)} organs"
            + (f", groups: {groups}" if groups else "")
        )


def find_cases(folder: str | Path) -> Dataset:
    """List what an nnU-Net raw folder holds and pair images with labels.

    Args:
        folder: Holds dataset.json and imagesTr; labelsTr, splits.json and annotations.json are
            optional. Image names may end in ``_0000`` or not.

    Raises:
        DatasetError: Something is missing or cannot be paired; the message lists what was
            found, what was paired and the first mismatches, or all faults of annotations.json.
        LabelError: The ``labels`` of dataset.json cannot be meant.
        ReadError: A JSON file is damaged.
    """
    root = Path(folder)
    if not root.is_dir():
        what = "is no folder" if root.exists() else "does not exist"
        raise DatasetError(f"{root} {what}; name a dataset folder, which holds a dataset.json")
    description = read_json(root / "dataset.json", what="a dataset folder needs a dataset.json")
    if not isinstance(description.get("labels"), Mapping):
        raise DatasetError(f"{root / 'dataset.json'} has no 'labels': a table of organ name to id")
    labels = _by_name(_scans(root / "labelsTr"))
    images = _by_case(_scans(root / "imagesTr"), labels)
    if not images:
        raise DatasetError(
            f"{root / 'imagesTr'} holds no .nii or .nii.gz file and no folder of slices; put the "
            "scans there, one file each, named CASE_0000.nii.gz or CASE.nii.gz"
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
    drawn = _read_annotations(root, images, labels, organs)
    cases = []
    for name in sorted(images):
        said = drawn.get(name, Annotation())
        file = None if said.is_empty else labels.get(name)
        known = (said.labels_present, said.annotated_slices)
        cases.append(Case(name, images[name], file, ignore, organs, *known))
    dataset = Dataset(root, organs, tuple(cases), _read_splits(root, images))
    log.info("%s", dataset)
    return dataset


class Groups(NamedTuple):
    """The cases of a dataset, by what they are for."""

    labelled: tuple[Case, ...]
    free: tuple[Case, ...]
    """Without labels, or with labels that are not to be looked at."""
    held_out: tuple[Case, ...]


def split_cases(
    dataset: Dataset, *, labelled: str | None, unlabelled: str | None, held_out: str | None
) -> Groups:
    """Tell labelled, unlabelled and held-out cases apart.

    Args:
        dataset: The dataset.
        labelled: Group whose labels are true; every labelled case outside of the other two for
            ``None``.
        unlabelled: Group whose labels are not looked at; the cases without labels for ``None``.
        held_out: Group that nothing is learnt from; no case for ``None``.

    Raises:
        DatasetError: There is no such group, or a case is in two of them.
    """
    apart = dataset.select(held_out) if held_out is not None else ()
    names = {case.name for case in apart}
    free = (
        tuple(c for c in dataset.cases if c.labels is None and c.name not in names)
        if unlabelled is None
        else dataset.select(unlabelled)
    )
    taken = names | {case.name for case in free}
    teach = tuple(
        case
        for case in dataset.select(labelled)
        if case.labels is not None and (labelled is not None or case.name not in taken)
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
            f"their labels must not have them in its labelled group - name other groups"
        )
    return Groups(teach, free, apart)


def training_split(
    dataset: Dataset, *, labelled: str | None, unlabelled: str | None, held_out: str | None
) -> Groups:
    """Choose the cases of a training run, as ``split_cases`` does.

    Raises:
        DatasetError: No labelled case is left, or what ``split_cases`` refuses.
    """
    groups = split_cases(dataset, labelled=labelled, unlabelled=unlabelled, held_out=held_out)
    if not groups.labelled:
        names = sorted(case.name for case in groups.held_out)
        raise DatasetError(
            f"no labelled case to learn from in {dataset}"
            + (f" (held out: {', '.join(names[:5])})" if names else "")
            + f"; put label maps, named as their cases, into {dataset.folder / 'labelsTr'}"
            + (f", or choose another group than {labelled!r}" if labelled is not None else "")
        )
    return groups


def _scans(folder: Path) -> list[tuple[str, Path]]:
    """List names without their endings, and files."""
    found = []
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        ending = next((end for end in _ENDINGS if path.name.endswith(end)), None)
        if ending is None and _holds_slices(path):
            ending = ""  # a scan as a folder of slices, its masks as a folder too
        if ending is not None and not path.name.startswith("."):
            # an umlaut may be one character or two, depending on the system that wrote it
            name = unicodedata.normalize("NFC", path.name.removesuffix(ending))
            found.append((name, path))
    return found


def _holds_slices(path: Path) -> bool:
    return path.is_dir() and any(file.name.lower().endswith(SUFFIXES) for file in path.iterdir())


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


def _read_annotations(
    root: Path, images: Mapping[str, Path], labels: Mapping[str, Path], organs: LabelSet
) -> dict[str, Annotation]:
    path = root / FILE_NAME
    if not path.exists():
        return {}
    content = read_json(path, what="")
    return parse_annotations(content, source=path, cases=images, labelled=labels, organs=organs)


def _read_splits(root: Path, images: Mapping[str, Path]) -> dict[str, tuple[str, ...]]:
    path = root / "splits.json"
    if not path.exists():
        return {}
    splits: dict[str, tuple[str, ...]] = {}
    for group, names in read_json(path, what="").items():
        if not isinstance(names, Sequence) or isinstance(names, str):
            raise DatasetError(f"{path}: {group!r} must be a list of case names")
        members = [unicodedata.normalize("NFC", str(name)) for name in names]
        strange = [not isinstance(name, str) for name in names]
        unknown = [m for m, odd in zip(members, strange, strict=True) if odd or m not in images]
        if unknown:
            raise DatasetError(
                f"{path}: {group!r} names cases that have no image: {', '.join(unknown[:5])}"
            )
        twice = [name for name, count in Counter(members).items() if count > 1]
        if twice:
            raise DatasetError(f"{path}: {group!r} names {', '.join(twice[:5])} twice; keep one")
        splits[group] = tuple(members)
    return splits
