"""How propagation walks: the settings of one run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PropagateSettings:
    """How propagation walks."""

    memory_every_mm: float = 15.0
    """Distance between propagated slices that are remembered besides the guides."""
    budget_bytes: int = 2 << 30
    """What memory bank, held probabilities and kept features of a gap may take together."""
    top_k: int = 20
    """Memory places that a query weighs."""
    objects_at_once: int = 16
    """Objects that the network encodes or decodes together."""
    least_px: int = 5
    """An object with fewer pixels on the network's grid is taken for vanished."""
    vanish_mm: float = 10.0
    """An object vanished for so long is followed no further, unless the far guide shows it."""

    def __post_init__(self) -> None:
        if min(self.memory_every_mm, self.vanish_mm, self.least_px) < 0 or self.top_k < 1:
            raise ValueError(f"distances, pixels and top_k must be positive, got {self}")
        if self.objects_at_once < 1:
            raise ValueError(f"objects_at_once must be at least 1, got {self.objects_at_once}")
