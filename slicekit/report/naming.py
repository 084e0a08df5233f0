"""Names of the ids in a label map, by the files near it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from slicekit.errors import DatasetError, LabelError, ReadError
from slicekit.io.dicom.container import means_dicom
from slicekit.io.dicom.label_files import dicom_label_names
from slicekit.labels import LabelSet
from slicekit.report.batch import outputs_beside

NAMELESS = "label_"
"""In front of the id of an organ that nobody names."""
_MOST_NAMELESS = 32


def names_of(labels: Path) -> tuple[LabelSet | None, str]:
    """Read what the ids of labels mean.

    DICOM tells it itself; of others, and of DICOM without names, the JSON of the labels' own name
    beside them, else a dataset.json in their folder or the one above (key ``labels``).

    Returns:
        The names, ``None`` where there are none, and the name of the file that holds them.

    Raises:
        DatasetError: The names cannot be meant.
        LabelError: Two segments of a DICOM file share a name or an id.
        ReadError: A file is damaged.
    """
    inside = dicom_label_names(labels) if means_dicom(labels) else None
    if inside is not None:
        return inside, labels.name
    for file in name_files(labels):
        names = _names_in(file)
        if names is not None:
            return names, file.name
    return None, ""


def name_files(labels: Path) -> tuple[Path, Path, Path]:
    """Return the files that may name the ids of labels, whether they are there or not."""
    folder = labels.absolute().parent
    sidecar = outputs_beside(labels).sidecar
    return sidecar, folder / "dataset.json", folder.parent / "dataset.json"


def name_all(mask: Path, ids: Sequence[int]) -> LabelSet:
    """Name all organs of a label map, those that it could hold as well; ``label_ID`` for others.

    Raises:
        DatasetError: The names cannot be meant.
        ReadError: A JSON file is damaged.
    """
    names, _ = names_of(mask)
    known = {} if names is None else dict(names.ids)
    strange = set(ids) - set(known.values())
    return LabelSet(known | {f"{NAMELESS}{number}": number for number in strange})


def name_drawn(guides: Path, ids: Sequence[int]) -> LabelSet:
    """Name the ids that were drawn, by a JSON or a dataset.json near the file.

    Raises:
        LabelError: A file names some of the ids, but not all, or there are too many without any.
    """
    names, source = names_of(guides)
    if names is None and len(ids) > _MOST_NAMELESS:
        raise LabelError(
            f"{guides} holds {len(ids)} different ids, which nobody names; masks with soft edges "
            "look so - save them without smoothing, or name the ids in a JSON beside them"
        )
    if names is None:
        return LabelSet({f"{NAMELESS}{number}": number for number in ids})
    unnamed = sorted(set(ids) - set(names.ids.values()))
    if unnamed:
        raise LabelError(
            f"{guides} holds the ids {unnamed}, which the {source} near it does not name: "
            f"{dict(names.ids)}; name them in {outputs_beside(guides).sidecar.name} beside it, "
            'under "labels"'
        )
    return LabelSet({name: number for name, number in names.ids.items() if number in ids})


def _names_in(file: Path) -> LabelSet | None:
    """Read the key ``labels`` of a JSON file; nothing where there is no such file or key."""
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as fault:
        raise ReadError(file, f"is not readable JSON ({fault}); mend or remove it") from fault
    entries = content.get("labels") if isinstance(content, dict) else None
    if not isinstance(entries, dict):
        return None
    try:
        return LabelSet.from_dataset(entries)
    except LabelError as fault:
        raise DatasetError(f"{file}, key 'labels': {fault}") from fault
