"""Names of the ids in a label map, by the files near it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from slicekit.errors import LabelError
from slicekit.labels import LabelSet
from slicekit.report.pairs import prediction_names, truth_names

NAMELESS = "label_"
"""In front of the id of an organ that nobody names."""
_MOST_NAMELESS = 32


def names_near(mask: Path) -> tuple[LabelSet | None, str]:
    """Read the names of ids: from the JSON of a label map's own name, else from a dataset.json.

    Returns:
        The names, ``None`` where there are none, and the name of the file that holds them.

    Raises:
        DatasetError: The names cannot be meant.
        ReadError: A JSON file is damaged.
    """
    names, source = prediction_names(mask)
    return truth_names(mask) if names is None else (names, source)


def name_all(mask: Path, ids: Sequence[int]) -> LabelSet:
    """Name all organs of a label map, those that it could hold as well; ``label_ID`` for others.

    Raises:
        DatasetError: The names cannot be meant.
        ReadError: A JSON file is damaged.
    """
    names, _ = names_near(mask)
    known = {} if names is None else dict(names.ids)
    strange = set(ids) - set(known.values())
    return LabelSet(known | {f"{NAMELESS}{number}": number for number in strange})


def name_drawn(guides: Path, ids: Sequence[int]) -> LabelSet:
    """Name the ids that were drawn, by a JSON or a dataset.json near the file.

    Raises:
        LabelError: A file names some of the ids, but not all, or there are too many without any.
    """
    names, source = names_near(guides)
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
            f"{dict(names.ids)}; name them in {guides.name.split('.')[0]}.json beside it, under "
            '"labels"'
        )
    return LabelSet({name: number for name, number in names.ids.items() if number in ids})
