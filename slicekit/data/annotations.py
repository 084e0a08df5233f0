"""Which organs and which slices of a case somebody annotated: ``annotations.json``.

The file lies beside dataset.json, and tools that do not know it pass over it::

    {"CASE": {"labels_present": ["liver"], "annotated_slices": [0, 10, 20]}}

A case that is not in it, and a key that is missing, mean all. Where an organ was not annotated,
the label 0 means "background, or that organ".
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from slicekit.checks import suggest
from slicekit.errors import DatasetError
from slicekit.labels import LabelSet

FILE_NAME = "annotations.json"
_PRESENT, _SLICES = "labels_present", "annotated_slices"


@dataclass(frozen=True)
class Annotation:
    """What somebody annotated in one case."""

    labels_present: frozenset[str] | None = None
    """Names of the organs that were annotated; ``None`` for all."""
    annotated_slices: tuple[int, ...] | None = None
    """Slices that were annotated, rising, counted as the file stores them; ``None`` for all."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing was annotated, so that the case is an unlabelled one."""
        return self.labels_present == frozenset() or self.annotated_slices == ()


def parse_annotations(
    content: Mapping[str, Any],
    *,
    source: Path,
    cases: Collection[str],
    labelled: Collection[str],
    organs: LabelSet,
) -> dict[str, Annotation]:
    """Check what an annotations.json holds.

    Args:
        content: The parsed file.
        source: The file; opens the error message.
        cases: Names of all cases of the dataset.
        labelled: Names of those that have a label file.
        organs: What the dataset annotates at all.

    Returns:
        Case name to its annotation.

    Raises:
        DatasetError: It names an unknown case, organ or key, a list is none or names something
            twice, a slice is no whole number from 0 on, or a case without labels has
            annotations. The message lists every fault.
    """
    found: dict[str, Annotation] = {}
    faults: list[str] = []
    for key, entry in content.items():
        name = unicodedata.normalize("NFC", key)  # as file names are compared
        if name not in cases:
            close = get_close_matches(name, cases, n=1)
            meant = f"; did you mean {close[0]!r}?" if close else ""
            faults.append(f"there is no case {key!r} in imagesTr{meant}")
        elif name in found:
            faults.append(f"the case {key!r} comes twice; keep one entry")
        else:
            wrong = list(_faults_of(entry, organs))
            found[name] = Annotation() if wrong else _annotation(entry)
            if not wrong and entry and name not in labelled and not found[name].is_empty:
                wrong = ["has no file in labelsTr; put its labels there, or take its entry out"]
            faults += [f"{name}: {fault}" for fault in wrong]
    if faults:
        raise DatasetError(
            f"{source}: {faults[0]}"
            if len(faults) == 1
            else f"{source} has {len(faults)} faults:\n" + "\n".join(f"- {one}" for one in faults)
        )
    return found


def _annotation(entry: Mapping[str, Any]) -> Annotation:
    """Make a value of an entry that has no fault."""
    return Annotation(
        frozenset(entry[_PRESENT]) if _PRESENT in entry else None,
        tuple(sorted(entry[_SLICES])) if _SLICES in entry else None,
    )


def _faults_of(entry: Any, organs: LabelSet) -> Iterator[str]:
    """Say everything that is wrong with one entry."""
    if not isinstance(entry, Mapping):
        yield f"must be an object with {_PRESENT} and {_SLICES}, got {entry!r:.60}"
        return
    for key in entry:
        if key not in (_PRESENT, _SLICES):
            yield f"unknown key {key!r}; {suggest(key, (_PRESENT, _SLICES))}"
    names, slices = entry.get(_PRESENT, []), entry.get(_SLICES, [])
    if not isinstance(names, list):
        yield f"{_PRESENT} must be a list of organ names, got {names!r:.60}"
    else:
        for name in names:
            if not isinstance(name, str) or name not in organs:
                hint = suggest(str(name), organs.ids)
                yield f"{_PRESENT} names an unknown organ {name!r}; {hint}"
        yield from _twice(_PRESENT, names)
    if not isinstance(slices, list):
        yield f"{_SLICES} must be a list of slice numbers, got {slices!r:.60}"
        return
    odd = [z for z in slices if type(z) is not int or z < 0]
    if odd:
        yield f"{_SLICES} must be whole numbers from 0 on, got {', '.join(map(repr, odd[:5]))}"
    yield from _twice(_SLICES, slices)


def _twice(key: str, values: Sequence[object]) -> Iterator[str]:
    more = [text for text, count in Counter(map(repr, values)).items() if count > 1]
    if more:
        yield f"{key} names {', '.join(more[:5])}{' ...' if more[5:] else ''} twice; keep one"
