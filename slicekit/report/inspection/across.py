"""What is seen only when the cases of a dataset are held beside one another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median

from slicekit.data.annotations import Annotation
from slicekit.report.inspection.case import CaseFacts
from slicekit.report.inspection.findings import Finding
from slicekit.report.inspection.layout import Layout

_FEWEST = 3
"""Cases from which on there is something usual."""
_SPACING_TIMES = 2.5
_RANGE_TIMES = 4.0
_HU_OF_AIR = -50.0
_USUAL_SHARE = 0.8


def compare(cases: Sequence[CaseFacts], layout: Layout) -> list[Finding]:
    """Say in what cases differ from the others, and which are the same."""
    return [
        *_same_voxels(cases, layout),
        *_odd_axes(cases),
        *_odd_spacing(cases),
        *_odd_intensities(cases),
        *_missing_organs(cases, layout),
    ]


def _same_voxels(cases: Sequence[CaseFacts], layout: Layout) -> Iterator[Finding]:
    """Find scans, and label maps of different scans, that hold the same."""
    for one, other in _alike(cases, "digest"):
        theirs = {group for group, names in layout.groups.items() if other.name in names}
        ours = {group for group, names in layout.groups.items() if one.name in names}
        both = f"has the voxels of {one.name}"
        if ours != theirs:
            groups = f"{one.name} in {_groups(ours)}, {other.name} in {_groups(theirs)}"
            yield Finding("leak", other.name, f"{both}: {groups}")
        else:
            yield Finding("duplicate", other.name, both)
    for one, other in _alike(cases, "labels_digest"):
        known = one.digest is not None and other.digest is not None
        if known and one.digest != other.digest:
            yield Finding("same-labels", other.name, f"has the labels of {one.name}")


def _alike(cases: Sequence[CaseFacts], key: str) -> Iterator[tuple[CaseFacts, CaseFacts]]:
    """Return each case that repeats another, with the first of its kind."""
    first: dict[str, CaseFacts] = {}
    for case in cases:
        digest = getattr(case, key)
        if digest is not None and first.setdefault(digest, case) is not case:
            yield first[digest], case


def _groups(names: set[str]) -> str:
    return " and ".join(sorted(names)) or "no group"


def _odd_axes(cases: Sequence[CaseFacts]) -> Iterator[Finding]:
    known = [case for case in cases if case.axes is not None]
    counts = Counter(case.axes for case in known)
    if len(counts) > 1:
        usual, times = counts.most_common(1)[0]
        for case in known:
            if case.axes != usual:
                what = f"runs to {case.axes}; {times} of {len(known)} to {usual}"
                yield Finding("orientation", case.name, what)


def _odd_spacing(cases: Sequence[CaseFacts]) -> Iterator[Finding]:
    known = [(case, case.spacing_mm) for case in cases if case.spacing_mm is not None]
    if len(known) < _FEWEST:
        return
    usual = [median(spacing[axis] for _, spacing in known) for axis in range(3)]
    for case, spacing in known:
        ratios = [a / b for a, b in zip(spacing, usual, strict=True)]
        if any(not 1 / _SPACING_TIMES < ratio < _SPACING_TIMES for ratio in ratios):
            ours, theirs = (" x ".join(f"{mm:.3g}" for mm in one) for one in (spacing, usual))
            yield Finding("spacing", case.name, f"{ours} mm (z, y, x), usual is {theirs} mm")


def _odd_intensities(cases: Sequence[CaseFacts]) -> Iterator[Finding]:
    known = [(case, case.low, case.high) for case in cases
             if case.low is not None and case.high is not None]  # fmt: skip
    if len(known) < _FEWEST:
        return
    low, high = median(one[1] for one in known), median(one[2] for one in known)
    usual = max(high - low, 1e-6)
    for case, least, most in known:
        wide = (most - least) / usual
        other_unit = (least < _HU_OF_AIR) != (low < _HU_OF_AIR)
        if other_unit or not 1 / _RANGE_TIMES < wide < _RANGE_TIMES:
            what = f"98 % of its voxels are from {least:.4g} to {most:.4g}, usual is {low:.4g}"
            yield Finding("intensities", case.name, f"{what} to {high:.4g}")


def _missing_organs(cases: Sequence[CaseFacts], layout: Layout) -> Iterator[Finding]:
    """Tell organs that are nowhere, and cases without an organ that nearly all others have."""
    for organ, number in layout.organs.ids.items() if layout.organs is not None else ():
        looked = [
            (case, number in case.voxels)
            for case in cases
            if case.voxels is not None and _was_annotated(organ, case.name, layout)
        ]
        without = [case.name for case, has in looked if not has]
        if looked and len(without) == len(looked):
            yield Finding("never", organ, f"is in none of {len(looked)} label maps")
        elif len(looked) >= _FEWEST and len(without) <= (1 - _USUAL_SHARE) * len(looked):
            others = len(looked) - len(without)
            for name in without:
                yield Finding("absent", name, f"has no {organ}; {others} of {len(looked)} have")


def _was_annotated(organ: str, case: str, layout: Layout) -> bool:
    said = layout.annotations.get(case, Annotation()).labels_present
    return said is None or organ in said
