"""The labels of one case: every fault told at once, and what nobody annotated marked as unknown."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from slicekit.data.annotations import FILE_NAME
from slicekit.data.cases import Case
from slicekit.errors import DatasetError, DataWarning, GeometryError, LabelError, SlicekitError
from slicekit.io import read_labels, read_volume, stored_slice
from slicekit.labels import IGNORE_ID, LabelSet
from slicekit.volume import Volume, expect_same_grid

_SHOWN = 10


class Truth(NamedTuple):
    """What somebody drew, and what nobody looked at."""

    labels: Volume
    """``(z, y, x)`` ids; ``IGNORE_ID`` where nobody knows, as on slices nobody annotated."""
    known_ids: frozenset[int] | None
    """Ids of the annotated organs, ``None`` for all; where another one lies the label is 0."""


def read_truth(path: Path, case: Case, *, image: Volume, organs: LabelSet | None) -> Truth:
    """Read the labels of a case and make sure that they can be meant.

    Args:
        path: The label file.
        case: Whose labels they are, and what of it was annotated.
        image: The case's image, as it was read.
        organs: The organs there may be; any ids for ``None``.

    Raises:
        ReadError: The file is damaged.
        GeometryError: The labels lie on another grid.
        LabelError: A label is no id at all.
        DatasetError: The labels hold an id that nobody knows, or an organ that is said not to
            be annotated, or an annotated slice is not there. Where there is more than one
            fault, of whatever kind, the message lists them all.

    Warns:
        DataWarning: There is no organ, or there are organs on slices that nobody annotated.
    """
    faults: list[SlicekitError] = []
    labels = _read(path, image, faults)
    if labels is not None and case.ignore_id is not None:
        ids = labels.array
        labels = labels.with_array(np.where(ids == case.ignore_id, IGNORE_ID, ids))
    held = [] if labels is None else np.unique(labels.array).tolist()
    said = [*_wrong_ids(held, path, case, organs), *_wrong_slices(case, image)]
    faults += [DatasetError(text) for text in said]
    if labels is None or faults:
        _refuse(faults, case, image=image, organs=organs)
    known = None if case.labels_present is None else _known_ids(case, organs)
    _tell_doubts(path, labels.array, case, image)
    return Truth(labels.with_array(_without_unseen(labels.array, case, image)), known)


def _read(path: Path, image: Volume, faults: list[SlicekitError]) -> Volume | None:
    """Read a label map; one that lies on another grid too, for its ids."""
    try:
        return read_labels(path, like=image)
    except (GeometryError, LabelError) as fault:
        faults.append(fault)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # said the first time
        try:
            if isinstance(faults[0], GeometryError):
                return read_labels(path)
            expect_same_grid(str(path), read_volume(path), image, like_name=_name_of(image))
        except GeometryError as fault:
            faults.append(fault)
        except SlicekitError:
            pass  # the first fault has been noted
    return None


def _wrong_ids(
    held: Sequence[int], path: Path, case: Case, organs: LabelSet | None
) -> Iterator[str]:
    """Say which ids must not be in a label map."""
    large = [number for number in held if number > IGNORE_ID]
    if large:
        yield f"{path} holds the ids {_listed(large)}; ids go up to {IGNORE_ID - 1}"
    small = set(held) - {0, IGNORE_ID, *large}
    unknown = sorted(small - set(organs.ids.values())) if organs else []
    if organs and unknown:
        yield (
            f"{path} holds the ids {_listed(unknown)}, but the recipe's organs are "
            f"{dict(organs.ids)}; add them to the recipe or take them out of the labels"
        )
    names = (organs or case.organs or LabelSet({})).names_by_id
    absent = small - _known_ids(case, organs) if case.labels_present is not None else set()
    strange = {number: names[number] for number in sorted(absent) if number in names}
    if case.labels_present is not None and strange:
        yield (
            f"{path} holds the ids {strange}, but the labels_present of {case.name} in {FILE_NAME} "
            f"are {', '.join(sorted(case.labels_present))}; name them there if they were "
            "annotated, or take them out of the labels"
        )


def _wrong_slices(case: Case, image: Volume) -> Iterator[str]:
    """Say which annotated slices the image has not."""
    count = len(image.array)
    outside = [z for z in case.annotated_slices or () if not 0 <= z < count]
    if outside:
        yield (
            f"{case.image}: its slices go from 0 to {count - 1}, but the annotated_slices of "
            f"{case.name} in {FILE_NAME} name {_listed(outside)}; count them as the file does"
        )


def _refuse(
    faults: Sequence[SlicekitError], case: Case, *, image: Volume, organs: LabelSet | None
) -> NoReturn:
    """Raise the only fault as it is, or all of them as one."""
    known = organs or case.organs
    swapped = known is not None and _looks_like_labels(image, known)
    if len(faults) == 1 and not swapped:
        raise faults[0]
    hint = [f"{case.image} holds nothing but ids: are image and labels swapped?"] if swapped else []
    lines = [*map(str, faults), *hint]
    raise DatasetError(f"{case.name}: " + "; ".join(lines)) from faults[0]


def _looks_like_labels(image: Volume, organs: LabelSet) -> bool:
    """Tell whether an image holds organ ids in place of intensities."""
    array = image.array
    if array.dtype.kind not in "iu":
        return False
    low, high = int(array.min()), int(array.max())
    return low >= 0 and high in organs.names_by_id


def _known_ids(case: Case, organs: LabelSet | None) -> frozenset[int]:
    """Return the ids of the organs that somebody annotated."""
    names = organs or case.organs
    if names is None:
        raise DatasetError(
            f"{case.name}: labels_present needs the ids of the organs; read it with labels"
        )
    return frozenset(names.id_of(name) for name in case.labels_present or ())


def _tell_doubts(path: Path, ids: NDArray[Any], case: Case, image: Volume) -> None:
    """Warn about labels that are probably not what was meant."""
    drawn = ((ids != 0) & (ids != IGNORE_ID)).any(axis=(1, 2))
    if not drawn.any() and case.labels_present is None:
        _warn(
            f"{path} holds no organ, so training learns that there is none; if nobody annotated "
            f'it, remove the file, or say "labels_present": [] in {FILE_NAME}'
        )
    unseen = np.flatnonzero(drawn & ~_seen(case, image)).tolist()
    stray = sorted(stored_slice(image, z) for z in unseen)
    if stray:
        _warn(
            f"{path} holds organs on slices that {FILE_NAME} does not call annotated, and which "
            f"are taken as unknown: {_listed(stray)}; slices are counted as {case.image.name} does"
        )


def _without_unseen(ids: NDArray[Any], case: Case, image: Volume) -> NDArray[Any]:
    """Mark the slices that nobody annotated as unknown."""
    seen = _seen(case, image)
    return ids if seen.all() else np.where(seen[:, None, None], ids, IGNORE_ID)


def _seen(case: Case, image: Volume) -> NDArray[np.bool_]:
    """Return ``(z,)``: which slices somebody annotated."""
    if case.annotated_slices is None:
        return np.ones(len(image.array), dtype=np.bool_)
    seen = np.zeros(len(image.array), dtype=np.bool_)
    seen[[stored_slice(image, z) for z in case.annotated_slices]] = True
    return seen


def _name_of(image: Volume) -> str:
    return str(getattr(image.source, "path", None) or "the image")


def _listed(numbers: Collection[int]) -> str:
    """Write numbers as a list, the first ones of many."""
    shown = ", ".join(map(str, list(numbers)[:_SHOWN]))
    return f"[{shown}, ...]" if len(numbers) > _SHOWN else f"[{shown}]"


def _warn(message: str) -> None:
    warnings.warn(message, DataWarning, stacklevel=3)
