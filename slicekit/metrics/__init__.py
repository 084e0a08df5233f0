"""How well two label maps agree: overlap, surfaces, distances.

Conventions, where a mask is empty:

========================  ====  ====  =======
truth and prediction      DSC   NSD   HD95
========================  ====  ====  =======
both empty                1     1     NaN
one of them empty         0     0     NaN
organ nobody annotated    NaN   NaN   NaN
========================  ====  ====  =======

Where there is no surface there is no distance, so HD95 is NaN, and means pass over it.

Surfaces are made of surface elements with an area (Nikolov et al. 2021, as in MONAI's
``use_subvoxels=True``), not of border voxels. Distances use the voxel spacing along each
axis; on a sheared grid the shear is left out.
"""

from __future__ import annotations

from slicekit.metrics.masks import dice, hausdorff95, surface_dice
from slicekit.metrics.organs import (
    DEFAULT_TOLERANCE_MM,
    FLARE22_TOLERANCES_MM,
    OrganMean,
    OrganScore,
    evaluate,
    mean_of,
    summarise,
    tolerance_of,
)

__all__ = [
    "DEFAULT_TOLERANCE_MM",
    "FLARE22_TOLERANCES_MM",
    "OrganMean",
    "OrganScore",
    "dice",
    "evaluate",
    "hausdorff95",
    "mean_of",
    "summarise",
    "surface_dice",
    "tolerance_of",
]
