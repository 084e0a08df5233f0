"""A folder of images and one of their label maps become figures, organ by organ over the cases."""

from __future__ import annotations

import logging
import statistics as middle
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from slicekit.errors import DatasetError, DataWarning, SlicekitError, lacks_memory
from slicekit.report.batch import scans_by_name
from slicekit.report.batch_run import Progress, fault_text
from slicekit.report.measured import NO_SPACING, Described, Measured, measure_file, short
from slicekit.report.pairs import case_of, first_of, labels_in
from slicekit.report.text_table import csv_table, text_table

log = logging.getLogger(__name__)

_KEYS = ("volume_ml", "mean")
"""Figures of which the summary tells median, least and most."""


@dataclass(frozen=True)
class MeasuredFolder:
    """What the organs of many label maps measure."""

    cases: Mapping[str, Measured]
    failures: Mapping[str, str]
    """Cases that could not be measured, with the reason; a caller should report failure."""
    without_labels: tuple[str, ...]
    """Images without a label map."""

    @property
    def organs(self) -> list[str]:
        """Every organ that is named in any case."""
        return list(dict.fromkeys(name for one in self.cases.values() for name in one.organs))

    def to_json(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {
            "cases": [{"case": name, **one.to_json()} for name, one in self.cases.items()],
            "over_cases": {organ: self._over_cases(organ) for organ in self.organs},
            "failures": dict(self.failures),
            "without_labels": list(self.without_labels),
        }

    def to_csv(self) -> str:
        """Write one line a case and organ; places are cut up, as ``centroid_mm_x``."""
        rows = [{"case": name, **row} for name, one in self.cases.items() for row in one.rows()]
        return csv_table(list(rows[0]) if rows else ["case", "organ"], rows)

    def to_text(self) -> str:
        """Write a table of the organs over the cases that have them, and what went wrong."""
        rows = [["organ", "cases", "median ml", "least", "in", "most", "in", "median mean"]]
        for organ in self.organs:
            told = self._over_cases(organ)
            ml, mean = (told[key] or {} for key in _KEYS)
            rows.append(
                [
                    organ, f"{told['cases']} of {len(self.cases)}", short(ml.get("median")),
                    short(ml.get("least")), ml.get("least_in", ""),
                    short(ml.get("most")), ml.get("most_in", ""), short(mean.get("median")),
                ]
            )  # fmt: skip
        blocks = [text_table(rows, left=(0, 4, 6)) if self.organs else "no organ is in any case"]
        if self.failures:
            lines = [f"  {case}: {why}" for case, why in self.failures.items()]
            blocks.append("\n".join(["could not be measured:", *lines]))
        if self.without_labels:
            blocks.append(f"without labels: {first_of(self.without_labels)}")
        if not all(one.spacing_known for one in self.cases.values()):
            blocks.append(NO_SPACING)
        return "\n\n".join(blocks)

    def _over_cases(self, organ: str) -> dict[str, Any]:
        """Return median, least and most over the cases in which an organ is."""
        present = {
            name: one.organs[organ]
            for name, one in self.cases.items()
            if organ in one.organs and one.organs[organ]["voxels"]
        }
        return {"cases": len(present)} | {key: _spread(present, key) for key in _KEYS}


def pair_images(images: Path, masks: Path) -> tuple[dict[str, tuple[Path, Path]], tuple[str, ...]]:
    """Pair the scans of a folder with the label maps of another by name.

    Args:
        images: A folder of scans, as ``slicekit segment`` takes them.
        masks: A folder of label maps, named as ``slicekit segment`` or nnU-Net names them.

    Returns:
        Case to image and label map, in the order of their names, and the scans without labels.

    Raises:
        DatasetError: There are no label maps or no scans, a name occurs twice, or label maps have
            no scan.
        ReadError: The folder of the images does not exist, or may not be entered.
    """
    labels = labels_in(masks, "label")
    scans: dict[str, Path] = {}
    for name, scan in scans_by_name(images, masks).items():
        case = case_of(name)
        if case in scans:
            raise DatasetError(
                f"two scans for the case {case!r}: {scans[case]} and {scan}; keep one"
            )
        scans[case] = scan
    if not scans:
        raise DatasetError(
            f"{images} is one scan or none, but {masks} is a folder of label maps; name one of "
            "them, or a folder of scans"
        )
    alone = sorted(set(labels) - set(scans))
    if alone:
        raise DatasetError(
            f"{len(labels)} label maps in {masks}, {len(scans)} scans in {images}; no scan for: "
            f"{first_of(alone)}. The scans are: {first_of(sorted(scans))}. Names must be equal but "
            "for _0000 and the ending"
        )
    pairs = {case: (scans[case], labels[case]) for case in sorted(labels)}
    return pairs, tuple(sorted(set(scans) - set(labels)))


def measure_folder(
    images: Path,
    masks: Path,
    *,
    progress: Progress | None = None,
    **said: Unpack[Described],
) -> MeasuredFolder:
    """Measure every organ of every label map of a folder on its image.

    Args:
        images: The folder of the images; paired by name.
        masks: The folder of the label maps.
        progress: Told about every case.
        **said: As for ``measure_file``, of every case.

    Returns:
        The figures. A case whose files are at fault is listed under ``failures``.

    Raises:
        DatasetError: Images and label maps cannot be paired.
        ReadError: The folder of the images does not exist, or may not be entered.
        SlicekitError: Every case failed; the error of the first.

    Warns:
        DataWarning: Some images have no labels.
    """
    pairs, without = pair_images(images, masks)
    if without:
        warnings.warn(
            f"{len(without)} of {len(without) + len(pairs)} scans have no labels and are left "
            f"out: {first_of(without)}",
            DataWarning,
            stacklevel=2,
        )
    cases, faults = _each(pairs, partial(measure_file, **said), progress)
    if faults and not cases:
        raise next(iter(faults.values()))
    return MeasuredFolder(cases, {case: fault_text(one) for case, one in faults.items()}, without)


def _each(
    pairs: Mapping[str, tuple[Path, Path]],
    measure: Callable[[Path, Path], Measured],
    progress: Progress | None,
) -> tuple[dict[str, Measured], dict[str, Exception]]:
    """Measure case by case; what fails stops no other."""
    cases: dict[str, Measured] = {}
    faults: dict[str, Exception] = {}
    for done, (case, (image, mask)) in enumerate(pairs.items(), start=1):
        try:
            cases[case] = measure(image, mask)
        except Exception as fault:
            if not (isinstance(fault, SlicekitError) or lacks_memory(fault)):
                raise
            log.warning("could not measure %s: %s", case, fault_text(fault))
            faults[case] = fault.with_traceback(None)  # which keeps the arrays
        if progress is not None:
            progress("cases", done, len(pairs))
    return cases, faults


def _spread(present: Mapping[str, Mapping[str, Any]], key: str) -> dict[str, Any] | None:
    """Return median, least and most of a figure, and which cases have those."""
    found = {name: one[key] for name, one in present.items() if one[key] is not None}
    if not found:
        return None
    least, most = min(found, key=found.__getitem__), max(found, key=found.__getitem__)
    return {
        "median": middle.median(found.values()),
        "least": found[least],
        "least_in": least,
        "most": found[most],
        "most_in": most,
    }
