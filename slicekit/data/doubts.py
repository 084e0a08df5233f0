"""What is doubtful about the scans of a run, told before it starts: leaks, doubles, gaps."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence

from slicekit.data.slices import CachedScan
from slicekit.errors import DatasetError, DataWarning
from slicekit.labels import LabelSet


def expect_no_leak(held_out: Sequence[CachedScan], *taught: Sequence[CachedScan]) -> None:
    """Refuse a run that learns from a scan that it is scored on, whatever the file is called.

    Scans are compared by their slices, so a copy, a link and another compression are the same
    scan. Another scan of the same patient is not.

    Args:
        held_out: Scans that are only scored on.
        taught: Groups of scans that are learned from, with their labels or without.

    Raises:
        DatasetError: Some are the same; the message lists all pairs.
    """
    apart = {scan.digest: scan.name for scan in held_out if scan.digest}
    leaks = [
        f"{scan.name} is {apart[scan.digest]}"
        for group in taught
        for scan in group
        if scan.digest in apart
    ]
    if leaks:
        raise DatasetError(
            f"held out and trained on at once: {', '.join(leaks)}, voxel by voxel; take one of "
            "each out of the dataset, or put both into one group of splits.json"
        )


def tell_doubles(*groups: Sequence[CachedScan]) -> None:
    """Warn where one group holds a scan under several names.

    Warns:
        DataWarning: It does; one warning a scan.
    """
    for group in groups:
        counts = Counter(scan.digest for scan in group if scan.digest)
        for digest in (digest for digest, count in counts.items() if count > 1):
            names = [scan.name for scan in group if scan.digest == digest]
            _warn(
                f"{' and '.join(names)} are one scan, voxel by voxel, so it counts {len(names)} "
                "times; keep one"
            )


def tell_gaps(labelled: Sequence[CachedScan], organs: LabelSet) -> None:
    """Warn about organs that the labels of a run cannot teach, and of labels of one scan only.

    Args:
        labelled: Scans with labels, phantoms among them.
        organs: What the model is to tell apart.

    Warns:
        DataWarning: Nobody annotated an organ, or no scan holds it, or there is one scan.
    """
    if len(labelled) == 1:
        _warn(
            f"only one labelled scan, {labelled[0].name}, to learn from; a model learns that "
            "patient rather than the organs - label another one, or draw a few slices of several"
        )
    ids = set(organs.ids.values())
    sought = set().union(*(ids if s.known_ids is None else s.known_ids for s in labelled))
    held = set().union(*(scan.slices_of for scan in labelled))
    unsought = [name for name, number in organs.ids.items() if number not in sought]
    absent = [name for name, n in organs.ids.items() if n in sought and n not in held]
    count = len(labelled)
    if unsought:
        _warn(
            f"nobody annotated {', '.join(unsought)} on any of {count} labelled scans, so the "
            "model cannot learn to find it; add labels, or take it out of the recipe's organs"
        )
    if absent:
        _warn(
            f"none of {count} labelled scans holds {', '.join(absent)}, so the model learns that "
            "there is none; if nobody looked for it, leave it out of labels_present in "
            "annotations.json"
        )


def _warn(message: str) -> None:
    warnings.warn(message, DataWarning, stacklevel=3)
