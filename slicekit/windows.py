"""Intensity windows: what the three channels of a slice are.

Reference: Pham et al. (FLARE22), three windows as three channels, each the union of the
named windows. Full precision is kept; nothing passes through 8 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicekit.errors import RecipeError, ShapeError


@dataclass(frozen=True)
class Window:
    """A range of intensities that is stretched over ``[0, 1]``.

    Example:
        >>> Window(level_hu=50, width_hu=400).range_hu
        (-150.0, 250.0)
    """

    level_hu: float
    """Intensity that maps to 0.5 (HU on CT)."""
    width_hu: float
    """Distance from the intensity that maps to 0 to the one that maps to 1."""

    def __post_init__(self) -> None:
        if not (np.isfinite(self.level_hu) and np.isfinite(self.width_hu) and self.width_hu > 0):
            raise RecipeError(
                f"a window needs a finite level and a width above 0, got level "
                f"{self.level_hu}, width {self.width_hu}"
            )

    @classmethod
    def from_range(cls, low_hu: float, high_hu: float) -> Window:
        """Make the window that maps ``low_hu`` to 0 and ``high_hu`` to 1."""
        return cls(level_hu=(low_hu + high_hu) / 2, width_hu=high_hu - low_hu)

    @property
    def range_hu(self) -> tuple[float, float]:
        """Intensities that map to 0 and to 1."""
        return self.level_hu - self.width_hu / 2, self.level_hu + self.width_hu / 2

    def apply(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """Map intensities of any shape to ``[0, 1]``, clipped, float32."""
        low, high = self.range_hu
        scaled = (np.asarray(array, dtype=np.float32) - np.float32(low)) / np.float32(high - low)
        return np.clip(scaled, 0.0, 1.0, out=scaled)


ABDOMEN = Window.from_range(-150, 250)
"""Union of soft tissue (W400 L50) and liver (W150 L30)."""
CHEST = Window.from_range(-1350, 225)
"""Union of lungs (W1500 L-600) and mediastinum (W350 L50)."""
BONE = Window.from_range(-500, 1300)
"""Bone (W1800 L400)."""
PRESETS: dict[str, tuple[Window, Window, Window]] = {"ct-body": (ABDOMEN, CHEST, BONE)}
"""Three windows by name; ``ct-body`` are those of Pham et al. (FLARE22)."""


def three_channels(slices: NDArray[Any], windows: Sequence[Window]) -> NDArray[np.float32]:
    """Show slices through three windows, one a channel.

    Args:
        slices: ``(..., y, x)`` intensities (HU on CT).
        windows: Three windows, in channel order.

    Returns:
        ``(..., 3, y, x)`` float32 in ``[0, 1]``.

    Raises:
        ShapeError: There are not three windows, or fewer than two axes.

    Example:
        >>> three_channels(np.full((1, 2, 2), 50.0), PRESETS["ct-body"])[0, :, 0, 0].round(3)
        array([0.5  , 0.889, 0.306], dtype=float32)
    """
    if len(windows) != 3:
        raise ShapeError(f"three windows make three channels, got {len(windows)}")
    if slices.ndim < 2:
        raise ShapeError(f"slices must be (..., y, x), got {slices.shape}")
    return np.stack([window.apply(slices) for window in windows], axis=-3)


def percentile_window(
    array: NDArray[Any], *, low_percent: float = 0.5, high_percent: float = 99.5
) -> Window:
    """Choose one window for a whole volume without units, such as MR.

    Args:
        array: Finite intensities of any shape.
        low_percent: Share of voxels that may map below 0.
        high_percent: Share of voxels that may map below 1.

    Returns:
        The window between the two percentiles; one unit wide for a constant image.
    """
    low, high = np.percentile(array, [low_percent, high_percent])
    return Window.from_range(float(low), float(high) if high > low else float(low) + 1.0)
