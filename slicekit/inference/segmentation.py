"""What comes out of a pipeline: labels, and how they came about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from slicekit.inference.selection import GuideChoice
from slicekit.inference.uncertainty import OrganCertainty
from slicekit.labels import LabelSet
from slicekit.volume import Volume

Progress = Callable[[str, int, int], None]
"""Told the stage, the slices done and the slices in all; of a volumetric model the patches."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Labels, and how they came about."""

    labels: Volume
    """``(z, y, x)`` ids on the scan's own grid; uint8, uint16 above 255."""
    names: LabelSet
    """What the ids mean."""
    image: Volume
    """The scan as the model takes it: in its unit, its spacing guessed where nobody knows it."""
    guides: tuple[GuideChoice, ...]
    """Guide slices, what they carried and why; none without a propagator."""
    seconds: dict[str, float]
    """Time of each stage."""
    uncertainty: Volume | None = None
    """``(z, y, x)`` float16 in ``[0, 1]`` on the scan's own grid, where it was asked for; see
    ``inference.uncertainty``. ``io.write_map`` writes it."""
    certainty: Mapping[str, OrganCertainty] = field(default_factory=dict)
    """Organ to what its networks agree on; empty where it was not asked for."""


def teller(progress: Progress | None, stage: str, total: int) -> Callable[[int], None]:
    """Bind the stage and the number of slices to a progress callback."""
    return lambda done: None if progress is None else progress(stage, done, total)
