"""How a DICOM series stored a volume."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slicekit.io.nifti_affine import Axes
from slicekit.volume import Volume


@dataclass(frozen=True, eq=False)
class DicomSource:
    """How a DICOM series stored a volume; enough to write results beside it.

    Its slices are counted as viewers do, by instance numbers where these follow the positions,
    else along the normal of the planes.
    """

    path: Path
    """The folder, zip archive or file that was named."""
    files: tuple[str, ...]
    """For each stored slice the file that holds it, inside of ``path``."""
    frames: tuple[int, ...]
    """For each stored slice its frame in that file, from 0."""
    instance_uids: tuple[str, ...]
    """For each stored slice its SOP instance UID; empty where a file has none."""
    series_uid: str
    """Series instance UID; empty where the files have none."""
    modality: str
    """Such as CT or MR."""
    stored_shape: tuple[int, int, int]
    """Columns, rows and slices as they are stored."""
    axes: Axes
    """For each stored axis, the axis of (z, y, x) it became and its direction."""
    affine: NDArray[np.float64]
    """The affine of the volume as it was read, ``(z, y, x, 1)`` to RAS+ mm."""
    resampled: bool = False
    """Whether uneven or tilted slices were resampled, so that the grid is none of the files'."""

    def describes(self, volume: Volume) -> bool:
        """Tell whether a volume lies on the grid of the files themselves."""
        inside = tuple(size for _, size in sorted(zip(self.axes, self.stored_shape, strict=True)))
        same = inside == volume.shape and np.array_equal(self.affine, volume.affine)
        return same and not self.resampled

    def paths(self) -> tuple[Path, ...]:
        """Return the files on disk that were read, for outputs to keep away from."""
        if not self.path.is_dir():
            return (self.path,)
        return (self.path, *(self.path / name for name in dict.fromkeys(self.files)))
