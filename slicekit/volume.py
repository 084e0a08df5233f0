"""A scalar grid and where it lies in the patient."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from slicekit.checks import expect_shape
from slicekit.errors import GeometryError, ShapeError


@dataclass(frozen=True, eq=False)
class Volume:
    """A scalar grid and where it lies in the patient.

    ``array`` is ``(z, y, x)``, ``z`` being the axis most nearly head-foot. ``affine`` maps
    ``(z, y, x, 1)`` indices to millimetres in RAS+, so it speaks in the array's own index
    order and nobody has to flip it.

    Raises:
        ShapeError: ``array`` has not three axes, or one of them is empty.
        GeometryError: ``affine`` is not a finite, invertible 4 x 4 matrix.
    """

    array: NDArray[Any]
    """Intensities or labels, ``(z, y, x)``."""
    affine: NDArray[np.float64]
    """``(4, 4)``: ``(z, y, x, 1)`` index to RAS+ millimetres."""
    source: Any = field(default=None, repr=False)
    """How the file stored this grid; made by the reader, used by the writer, else ``None``."""

    def __post_init__(self) -> None:
        expect_shape("array", self.array, "z y x")
        if 0 in self.array.shape:
            raise ShapeError(f"a volume needs at least one voxel, got {self.array.shape}")
        affine = np.array(self.affine, dtype=np.float64)
        expect_shape("affine", affine, "4 4")
        if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
            raise GeometryError(f"the affine must be finite and invertible, got {affine.tolist()}")
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along ``(z, y, x)``."""
        z, y, x = self.array.shape
        return z, y, x

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxels along ``(z, y, x)``."""
        z, y, x = (float(step) for step in np.linalg.norm(self.affine[:3, :3], axis=0))
        return z, y, x

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres; right for sheared grids too."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    def with_array(self, array: NDArray[Any]) -> Volume:
        """Return the same place in the patient with other values of the same shape.

        Raises:
            ShapeError: ``array`` has another shape than this volume.
        """
        expect_shape("array", array, " ".join(map(str, self.array.shape)))
        return replace(self, array=array)

    def same_grid(self, other: Volume, *, tolerance_mm: float = 0.1) -> bool:
        """Tell whether both grids have one shape and corners within ``tolerance_mm``."""
        if self.shape != other.shape:
            return False
        corners = np.array(
            [
                [z * (self.shape[0] - 1), y * (self.shape[1] - 1), x * (self.shape[2] - 1), 1]
                for z in (0, 1)
                for y in (0, 1)
                for x in (0, 1)
            ],
            dtype=np.float64,
        ).T
        apart = ((self.affine - other.affine) @ corners)[:3]
        return bool(np.linalg.norm(apart, axis=0).max() <= tolerance_mm)


def along(volume: Volume, axis: Literal["z", "y", "x"]) -> Volume:
    """Return the same voxels with another axis in front, as a view.

    Args:
        volume: ``(z, y, x)``.
        axis: Whose slices are wanted: ``"z"`` axial, ``"y"`` coronal, ``"x"`` sagittal.

    Raises:
        ShapeError: There is no such axis.

    Example:
        >>> volume = Volume(np.zeros((2, 3, 4)), np.eye(4))
        >>> along(volume, "x").shape
        (4, 2, 3)
    """
    if axis not in ("z", "y", "x"):
        raise ShapeError(f"an axis is z, y or x, got {axis!r}")
    order = [number := "zyx".index(axis), *(n for n in range(3) if n != number)]
    return Volume(volume.array.transpose(order), volume.affine[:, [*order, 3]])


def expect_same_grid(name: str, volume: Volume, like: Volume, *, like_name: str) -> None:
    """Refuse a volume that does not lie on another's grid.

    Raises:
        GeometryError: Shape or place differ; the message says by how much.
    """
    if volume.shape != like.shape:
        raise GeometryError(
            f"{name} is {volume.shape} (z, y, x) but {like_name} is {like.shape}; "
            "both must lie on one grid - resample one onto the other first"
        )
    if not volume.same_grid(like):
        raise GeometryError(
            f"{name} has the shape of {like_name} but lies elsewhere: its affine is "
            f"{np.round(volume.affine, 3).tolist()}, expected {np.round(like.affine, 3).tolist()} "
            "(z, y, x to RAS+ mm) - resample it, or give the image it was drawn on"
        )
