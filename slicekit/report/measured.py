"""An image and a label map from files to figures: for programs, for tables, for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from slicekit.errors import ReadError
from slicekit.io import read_labels, read_volume
from slicekit.report.naming import name_all
from slicekit.report.statistics import statistics
from slicekit.report.text_table import csv_table, text_table

_AXES = ("x", "y", "z")
_INDICES = ("i", "j", "k")
NO_SPACING = "the spacing is not known and taken as 1 mm; say --spacing Z Y X"
"""What stands below figures that are no millimetres."""


class Described(TypedDict, total=False):
    """What may be said of an image and how it is measured; see ``measure_file``."""

    corners: bool
    volume_index: int | None
    spacing_mm: tuple[float, float, float] | None
    series: str | None
    allow_uneven: bool


@dataclass(frozen=True)
class Measured:
    """What the organs of one label map measure."""

    image: Path
    mask: Path
    spacing_mm: tuple[float, float, float]
    """Along ``(z, y, x)``."""
    spacing_known: bool
    """Whether volumes and millimetres mean anything; slice folders do not tell their spacing."""
    neighbours: int
    """Of a voxel, for the count of components: 26 or 6."""
    organs: Mapping[str, Mapping[str, Any]]
    """From ``statistics``; with its ``id``."""

    def to_json(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {
            "image": str(self.image),
            "mask": str(self.mask),
            "spacing_mm": list(self.spacing_mm),
            "spacing_known": self.spacing_known,
            "neighbours": self.neighbours,
            "organs": {name: dict(figures) for name, figures in self.organs.items()},
        }

    def to_csv(self) -> str:
        """Write one line an organ; places are cut up, as ``centroid_mm_x``."""
        rows = self.rows()
        return csv_table(list(rows[0]) if rows else ["organ"], rows)

    def rows(self) -> list[dict[str, Any]]:
        """Return the lines of the table."""
        return [{"organ": name, **dict(_flat(figures))} for name, figures in self.organs.items()]

    def to_text(self) -> str:
        """Write a table of what is there, for a person; what is absent is named below it."""
        present = {name: one for name, one in self.organs.items() if one["voxels"]}
        rows = [["organ", "ml", "mean", "deviation", "min", "max", "parts", "at border"]]
        rows += [
            [
                name, short(one["volume_ml"]),
                *(short(one[key]) for key in ("mean", "deviation", "minimum", "maximum")),
                str(one["components"]), "yes" if one["touches_border"] else "",
            ]
            for name, one in present.items()
        ]  # fmt: skip
        blocks = [text_table(rows) if present else f"{self.mask}: no organ is in it"]
        absent = [name for name in self.organs if name not in present]
        if absent:
            blocks.append(f"absent: {', '.join(absent)}")
        if not self.spacing_known:
            blocks.append(NO_SPACING)
        return "\n\n".join(blocks)


def measure_file(
    image: Path,
    mask: Path,
    *,
    corners: bool = True,
    volume_index: int | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
    series: str | None = None,
    allow_uneven: bool = False,
) -> Measured:
    """Measure every organ of a label map on its image.

    Args:
        image: What ``read_volume`` reads.
        mask: A label map on the image's grid. Ids are named as ``names_of`` tells; one that
            nobody names is called ``label_ID``.
        corners: Whether voxels that share a corner belong to one component.
        volume_index: Which volume of an image that holds several.
        spacing_mm: Spacing ``(z, y, x)`` of a slice folder, which cannot tell.
        series: Which of several DICOM series.
        allow_uneven: Whether uneven or tilted DICOM slices may be resampled.

    Raises:
        GeometryError: The mask lies on another grid.
        LabelError: The mask holds something else than ids.
        ReadError: A file cannot be read.
    """
    for path in (image, mask):
        if not path.exists():
            raise ReadError(path, "does not exist; check the name and the folder")
    volume = read_volume(
        image,
        volume_index=volume_index,
        spacing_mm=spacing_mm,
        series=series,
        allow_uneven=allow_uneven,
    )
    labels = read_labels(mask, like=volume)
    held = set[int]()
    for plane in labels.array:
        held.update(np.unique(plane).tolist())
    names = name_all(mask, sorted(held - {0}))
    figures = statistics(labels, names, image=volume, in_hu=False, corners=corners)
    return Measured(
        image,
        mask,
        volume.spacing_mm,
        getattr(volume.source, "spacing_known", True),
        26 if corners else 6,
        {name: {"id": names.ids[name], **figures[name]} for name in names.names},
    )


def _flat(figures: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Cut places up into one column an axis."""
    found: list[tuple[str, Any]] = []
    for key, value in figures.items():
        if key.startswith(("centroid", "box")):
            axes = _AXES if key == "centroid_mm" else _INDICES
            found += zip((f"{key}_{axis}" for axis in axes), value or ("",) * 3, strict=True)
        elif isinstance(value, bool):
            found.append((key, int(value)))
        else:
            found.append((key, "" if value is None else value))
    return found


def short(value: float | None) -> str:
    """Write a figure with four digits; a dash where there is none."""
    return "-" if value is None else f"{float(f'{value:.4g}'):g}"
