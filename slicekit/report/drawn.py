"""What a person drew on a few slices of a scan, and said of it, as a session."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicekit.errors import DataWarning, LabelError, ShapeError
from slicekit.inference.model import Carrier
from slicekit.inference.session import Axis, Session
from slicekit.io import FolderSource, read_labels, read_masks, stored_slice
from slicekit.report.naming import NAMELESS as NAMELESS
from slicekit.report.naming import name_drawn as name_drawn
from slicekit.report.reading import ScanOptions
from slicekit.volume import Volume, along

_AXES = "zyx"


@dataclass(frozen=True, kw_only=True)
class CarryOptions(ScanOptions):
    """What a user may say about one propagation.

    Slices are counted as in the file, from 0; in a folder of slices by the numbers in their names.
    """

    axis: Axis = "z"
    """Masks were drawn on slices along this axis."""
    drawn_slices: tuple[int, ...] = ()
    """Slices that were looked at whole: an organ that is not on them ends before."""
    z_range: tuple[int, int] | None = None
    """First and last slice that may be answered."""
    suggestions: int = 3
    """Slices worth drawing next, at most so many."""
    preview: bool = False
    """Whether to draw a picture."""
    overwrite: bool = False
    """Whether results of an earlier run may be replaced."""


def open_session(
    volume: Volume, guides: Path, carrier: Carrier | None, options: CarryOptions
) -> Session:
    """Open a session on a scan and put in what was drawn.

    Args:
        volume: The scan.
        guides: A label map of which a few slices are drawn, or a folder of masks.
        carrier: From ``load_propagator``; shapes are interpolated where it is ``None``.
        options: What the user said.

    Raises:
        GeometryError: The guides lie on another grid.
        LabelError: Nothing is drawn, or an id has no name.
        ReadError: A file cannot be read.
        ShapeError: A slice that was named does not exist, or there is only one.
    """
    named = Numbering(volume, options.axis)
    view = along(volume, options.axis)
    whole = {named.inside(number) for number in options.drawn_slices}
    if guides.is_dir():
        if options.axis != "z":
            raise ShapeError(f"{guides}: masks in a folder are drawn along z, not {options.axis}")
        planes: Mapping[int, NDArray[Any]] = read_masks(guides, like=volume)
        whole |= {z for z, plane in planes.items() if not plane.any()}
    else:
        drawn = along(read_labels(guides, like=volume), options.axis).array
        planes = {z: plane for z, plane in enumerate(drawn) if plane.any()}
    ids = sorted({int(n) for plane in planes.values() for n in np.unique(plane)} - {0})
    if not ids:
        raise LabelError(f"{guides}: no slice is drawn; draw an organ on at least one slice")
    names = name_drawn(guides, ids)
    z_range = None
    if options.z_range is not None:
        ends = sorted(named.inside(number) for number in options.z_range)
        z_range = (ends[0], ends[1] + 1)
    session = Session(
        volume, carrier, axis=options.axis, z_range=z_range, names=names, memo_bytes=0
    )
    empty = np.zeros(view.shape[1:], bool)
    outside = [z for z in planes if z_range and not z_range[0] <= z < z_range[1]]
    if outside and len(outside) == len(planes):
        raise LabelError(
            f"{guides}: all drawn slices ({sorted(map(named.outside, outside))}) lie outside of "
            "the range; widen --z-range"
        )
    if outside:
        warnings.warn(
            f"{guides}: drawn slices outside of the range are left out: "
            f"{sorted(map(named.outside, outside))}", DataWarning, stacklevel=3,
        )  # fmt: skip
    for name, number in names.ids.items():
        for z in sorted((set(planes) | whole) - set(outside)):
            mask = planes[z] == number if z in planes else empty
            if mask.any() or z in whole:
                session.add_guide(z, mask, organ=name)
    return session


@dataclass(frozen=True)
class Numbering:
    """How a user counts slices: as the file does, or by the numbers in file names."""

    volume: Volume
    axis: Axis

    def outside(self, z: int) -> int:
        """Return the user's number of a slice."""
        source = self.volume.source
        if self.axis == "z" and isinstance(source, FolderSource) and source.numbers:
            return source.numbers[z]
        return stored_slice(self.volume, z, axis=_AXES.index(self.axis))

    def inside(self, number: int) -> int:
        """Return the slice of a user's number.

        Raises:
            ShapeError: There is none.
        """
        depth = self.volume.shape[_AXES.index(self.axis)]
        known = {self.outside(z): z for z in range(depth)}
        if number not in known:
            raise ShapeError(
                f"there is no slice {number} along {self.axis}; they go from {min(known)} to "
                f"{max(known)}"
            )
        return known[number]
