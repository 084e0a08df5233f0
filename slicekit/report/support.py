"""A scan on which organs were drawn, from disk: what a few-shot model is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slicekit.errors import LabelError
from slicekit.inference.stopwatch import Stopwatch
from slicekit.io import read_labels, read_volume
from slicekit.labels import LabelSet
from slicekit.report.drawn import name_drawn
from slicekit.volume import Volume


@dataclass(frozen=True, eq=False)
class Support:
    """A scan on which organs were drawn."""

    scan_path: Path
    labels_path: Path
    scan: Volume
    drawn: Volume
    """Ids on the scan's grid."""
    names: LabelSet
    """The organs to look for."""
    seconds: float
    """That reading took."""


def read_support(
    scan_path: Path, labels_path: Path, *, organs: Sequence[str] | None = None
) -> Support:
    """Read what was drawn, its names among it, and keep the organs that are asked for.

    Args:
        scan_path: A NIfTI file, a DICOM series or a slice folder that tells all by itself.
        labels_path: A label map on its grid, whole or of a few slices. Its ids are named by a
            JSON beside it (key ``labels``) or by a dataset.json; without any they are called
            ``label_ID``.
        organs: Names to look for; all that the support shows for ``None``.

    Raises:
        GeometryError: What was drawn lies on another grid than the scan.
        LabelError: Nothing is drawn, or the support does not show an organ that was asked for.
        ReadError: A file cannot be read.
    """
    watch = Stopwatch()
    with watch("read"):
        scan = read_volume(scan_path)
        drawn = read_labels(labels_path, like=scan)
    ids = [int(number) for number in np.unique(drawn.array) if number]
    if not ids:
        raise LabelError(
            f"{labels_path}: the support is empty; draw an organ on at least one slice"
        )
    names = name_drawn(labels_path, ids)
    if organs is not None:
        lacking = [organ for organ in organs if organ not in names]
        if lacking:
            raise LabelError(
                f"{labels_path} does not show {', '.join(lacking)}; it shows "
                f"{', '.join(names.names)}"
            )
        names = names.subset(organs)
    return Support(scan_path, labels_path, scan, drawn, names, watch.seconds["read"])
