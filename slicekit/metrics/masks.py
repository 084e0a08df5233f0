"""Agreement of two masks: overlap, surfaces, distances; conventions in ``slicekit.metrics``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from slicekit.checks import expect_shape

Mask = NDArray[np.bool_]

_ROUNDING_MM = 1e-4  # so that a distance of exactly the tolerance counts, as multiples of 0.7 do


def dice(truth: Mask, guess: Mask) -> float:
    """Measure how much two masks overlap.

    Args:
        truth: Bool, of any shape. The reference.
        guess: Bool, of the same shape.

    Returns:
        Twice the overlap over the sum of both; two empty masks agree perfectly (1.0).

    Raises:
        ShapeError: The masks differ in shape.

    Example:
        >>> dice(np.array([True, True, False]), np.array([True, False, False])).__round__(3)
        0.667
    """
    expect_shape("guess", guess, " ".join(map(str, truth.shape)))
    total = int(np.count_nonzero(truth)) + int(np.count_nonzero(guess))
    if total == 0:
        return 1.0
    return 2.0 * int(np.count_nonzero(truth & guess)) / total


def surface_dice(
    truth: Mask, guess: Mask, *, spacing_mm: Sequence[float], tolerance_mm: float
) -> float:
    """Measure how much of two surfaces lies within ``tolerance_mm`` of the other.

    Args:
        truth: ``(z, y, x)`` bool. The reference organ.
        guess: ``(z, y, x)`` bool, on the same grid. Masks may touch the border.
        spacing_mm: Voxel size along ``(z, y, x)``.
        tolerance_mm: Largest distance that still counts as agreement.

    Returns:
        A number in ``[0, 1]``. Two empty masks agree perfectly (1.0); one empty mask gives 0.0.

    Raises:
        ShapeError: The masks differ in shape or are not 3-D.

    Reference:
        Nikolov et al. 2021, "Clinically applicable segmentation of head and neck anatomy",
        surface Dice with surface elements. FLARE22 measures the aorta, the vena cava and the
        esophagus only on slices where the truth has them; here every slice counts.
    """
    _expect_masks(truth, guess)
    if not truth.any() or not guess.any():
        return float(truth.any() == guess.any())
    surfaces = Surfaces.measure(truth, guess, spacing_mm=spacing_mm)
    return surfaces.dice(tolerance_mm=tolerance_mm)


def hausdorff95(truth: Mask, guess: Mask, *, spacing_mm: Sequence[float]) -> float:
    """Measure the distance that 95 % of either surface keeps from the other.

    Args:
        truth: ``(z, y, x)`` bool. The reference organ.
        guess: ``(z, y, x)`` bool, on the same grid.
        spacing_mm: Voxel size along ``(z, y, x)``.

    Returns:
        Millimetres: the larger of the two directed 95th percentiles, each weighted by surface
        area. NaN where one or both masks are empty, since there is no surface to measure.

    Raises:
        ShapeError: The masks differ in shape or are not 3-D.
    """
    _expect_masks(truth, guess)
    if not truth.any() or not guess.any():
        return float("nan")
    return Surfaces.measure(truth, guess, spacing_mm=spacing_mm).hausdorff95()


@dataclass(frozen=True, eq=False)
class Surfaces:
    """Distances from each of two surfaces to the other, and the area each stands for."""

    from_truth_mm: NDArray[np.float64]
    truth_mm2: NDArray[np.float64]
    from_guess_mm: NDArray[np.float64]
    guess_mm2: NDArray[np.float64]

    @classmethod
    def measure(cls, truth: Mask, guess: Mask, *, spacing_mm: Sequence[float]) -> Surfaces:
        """Measure two ``(z, y, x)`` masks that both have voxels."""
        import torch  # late, with MONAI: together they take seconds to import
        from monai.metrics.utils import get_mask_edges, get_surface_distance

        (box,) = ndimage.find_objects((truth | guess).astype(np.uint8))
        # One voxel of nothing all around closes the surface of an organ at the border
        padded = [torch.from_numpy(np.pad(mask[box], 1)) for mask in (truth, guess)]
        spacing = [float(step) for step in spacing_mm]
        results = get_mask_edges(padded[0], padded[1], crop=False, spacing=spacing)
        edges, areas = [r.numpy() for r in results[:2]], [r.numpy() for r in results[2:]]
        there = np.asarray(get_surface_distance(edges[0], edges[1], spacing=spacing))
        back = np.asarray(get_surface_distance(edges[1], edges[0], spacing=spacing))
        return cls(
            from_truth_mm=there.astype(np.float64),
            truth_mm2=areas[0][edges[0]].astype(np.float64),
            from_guess_mm=back.astype(np.float64),
            guess_mm2=areas[1][edges[1]].astype(np.float64),
        )

    def dice(self, *, tolerance_mm: float) -> float:
        """Return the share of both surfaces within ``tolerance_mm`` of the other."""
        reach = tolerance_mm + _ROUNDING_MM
        close = self.truth_mm2[self.from_truth_mm <= reach].sum()
        close += self.guess_mm2[self.from_guess_mm <= reach].sum()
        return float(close / (self.truth_mm2.sum() + self.guess_mm2.sum()))

    def hausdorff95(self) -> float:
        """Return the larger of the two directed 95th percentiles in mm."""
        return max(
            _percentile95(self.from_truth_mm, self.truth_mm2),
            _percentile95(self.from_guess_mm, self.guess_mm2),
        )


def _percentile95(distances_mm: NDArray[np.float64], areas_mm2: NDArray[np.float64]) -> float:
    """Find the distance that 95 % of the area does not exceed."""
    order = np.argsort(distances_mm)
    share = np.cumsum(areas_mm2[order])
    where = int(np.searchsorted(share, 0.95 * share[-1]))
    return float(distances_mm[order][min(where, len(order) - 1)])


def _expect_masks(truth: Mask, guess: Mask) -> None:
    expect_shape("truth", truth, "z y x")
    expect_shape("guess", guess, " ".join(map(str, truth.shape)))
