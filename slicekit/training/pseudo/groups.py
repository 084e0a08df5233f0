"""Which cases of a dataset are true, which are to be labelled, and which are left alone."""

from __future__ import annotations

from typing import NamedTuple

from slicekit.data.cases import Case, Dataset
from slicekit.errors import DatasetError


class Groups(NamedTuple):
    """The cases of a dataset, by what they are for."""

    labelled: tuple[Case, ...]
    free: tuple[Case, ...]
    held_out: tuple[Case, ...]


def choose_groups(
    dataset: Dataset, *, labelled: str | None, unlabelled: str | None, held_out: str | None
) -> Groups:
    """Choose which cases are true, which are to be labelled, and which are left alone.

    Args:
        dataset: The dataset.
        labelled: Group whose labels are true; every labelled case outside of the others for
            ``None``.
        unlabelled: Group to label; the cases without labels for ``None``.
        held_out: Group that nothing is learnt from; none for ``None``.

    Raises:
        DatasetError: There is no such group, a case is in two of them, or none is to be labelled.
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
    twice = sorted(
        name
        for name in (case.name for case in (*teach, *free))
        if name in names or (name in taken and any(c.name == name for c in teach))
    )
    if twice:
        raise DatasetError(
            f"in two groups at once: {', '.join(dict.fromkeys(twice))}; a scan is labelled, to be "
            "labelled or held out - name other groups, or mend splits.json"
        )
    if not free:
        raise DatasetError(
            f"no scan to label in {dataset}; put scans without labels into imagesTr, or name a "
            "group of splits.json whose labels are not to be looked at"
        )
    return Groups(teach, free, apart)
