"""Which slices of a scan a few-shot network is sure enough of to become guides.

A few-shot network finds something on every slice. A slice is trusted for what is large, sure and
told apart from the background on it, where the slices beside it show the same thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


@dataclass(frozen=True)
class GuideSettings:
    """How guides are chosen."""

    guides: int = 2
    """Guides of one organ at most. A worse guide spoils more than a gap between good ones."""
    apart_mm: float = 16.0
    """Distance between them at least."""
    least_share: float = 0.4
    """A guide's score is so much of the best one's at least."""
    least_dice: float = 0.2
    """Overlap of one organ on two neighbouring slices, at least, for them to be linked."""
    drift: float = 0.3
    """Standard deviation of the organ's place along the scan, as a share of its length: two scans
    do not show the same part of the body."""

    def __post_init__(self) -> None:
        if self.guides < 1 or not self.apart_mm >= 0 or not self.drift > 0:
            raise ValueError(f"guides and drift must be above 0, apart_mm not below, got {self}")


class Evidence(NamedTuple):
    """What speaks for one organ on one slice."""

    z: int
    area_mm2: float
    """Of its largest piece."""
    confidence: float
    """Mean probability there."""
    margin: float
    """Mean cosine to the organ less that to the background there."""
    score: float
    linked: bool
    """Whether it overlaps with that of the slice before."""

    @property
    def reason(self) -> str:
        """Why, for people."""
        return (
            f"{self.area_mm2 / 100:.1f} cm2, probability {self.confidence:.2f}, "
            f"cosine margin {self.margin:.2f}"
        )


def largest_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest connected piece of a mask ``(y, x)``, holes filled."""
    pieces, count = ndimage.label(mask)
    if not count:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray(ndimage.binary_fill_holes(pieces == sizes.argmax()))


def weigh(
    z: int,
    probability: NDArray[np.float32],  # (y, x)
    margin: NDArray[np.float32],  # (y, x) cosine to the organ less that to the background
    before: NDArray[np.bool_] | None,  # (y, x) the largest piece on the slice before
    *,
    pixel_mm: float,
    expected: float,
    settings: GuideSettings,
) -> tuple[Evidence, NDArray[np.bool_]]:
    """Judge one slice.

    Args:
        z: The slice.
        probability: Of the organ.
        margin: See ``Evidence``.
        before: For the link; ``None`` where there is none.
        pixel_mm: Side of a pixel.
        expected: How far the slice lies from where the organ is expected along the scan, as a
            share of its length.
        settings: How guides are chosen.

    Returns:
        The judgement, and the largest piece ``(y, x)``.
    """
    piece = largest_piece(probability > 0.5)
    pixels = int(piece.sum())
    if not pixels:
        return Evidence(z, 0.0, 0.0, 0.0, 0.0, False), piece
    area, sure = pixels * pixel_mm**2, float(probability[piece].mean())
    apart = float(margin[piece].mean())
    likely = float(np.exp(-0.5 * (expected / settings.drift) ** 2))
    linked = False
    if before is not None and before.any():
        dice = 2 * int((piece & before).sum()) / (pixels + int(before.sum()))
        linked = dice >= settings.least_dice
    return Evidence(z, area, sure, apart, area * sure * max(apart, 0.0) * likely, linked), piece


def best_run(found: Sequence[Evidence]) -> list[Evidence]:
    """Return the linked slices that together have the highest score; none where all have 0.

    Args:
        found: Of neighbouring slices, in rising order.

    Example:
        >>> a, b, c = (Evidence(z, 1.0, 0.9, 0.1, s, k) for z, s, k in
        ...            ((3, 2.0, False), (4, 2.0, True), (5, 3.0, False)))
        >>> [one.z for one in best_run([a, b, c])]
        [3, 4]
    """
    runs: list[list[Evidence]] = []
    for one in found:
        if one.score <= 0:
            continue
        if runs and one.linked and runs[-1][-1].z == one.z - 1:
            runs[-1].append(one)
        else:
            runs.append([one])
    return max(runs, key=lambda run: sum(one.score for one in run), default=[])


def choose_guides(
    run: Sequence[Evidence], *, slice_mm: float, settings: GuideSettings
) -> list[Evidence]:
    """Choose the slices of a run that become guides, in rising order.

    The best comes first, then the best of those that keep a distance to all chosen ones.
    """
    chosen: list[Evidence] = []
    for one in sorted(run, key=lambda one: (-one.score, one.z)):
        near = any(abs(one.z - other.z) * slice_mm < settings.apart_mm for other in chosen)
        if chosen and (near or one.score < settings.least_share * chosen[0].score):
            continue
        chosen.append(one)
        if len(chosen) == settings.guides:
            break
    return sorted(chosen)
