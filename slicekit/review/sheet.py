"""What is known of one case while it is reviewed: drawings, labels, and where each comes from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slicekit.checks import expect_shape
from slicekit.errors import LabelError, ShapeError
from slicekit.labels import LabelSet

Drawn = dict[int, dict[int, NDArray[np.bool_]]]
"""Organ's id to slice to mask ``(y, x)``; an empty mask says that the organ is not there."""


class Origin(IntEnum):
    """Where the mask of an organ in a slice comes from; as ``Provenance``, and one more."""

    UNSEEN = 0
    """Nothing of the organ is there, or nobody looked."""
    DRAWN = 1
    """A person drew it, or said that it is right."""
    PROPAGATED = 2
    """A network carried it here."""
    INTERPOLATED = 3
    """The shapes of drawn slices were interpolated."""
    GIVEN = 4
    """It was there when the case was opened."""


class Answer(NamedTuple):
    """What came of carrying the drawings."""

    labels: NDArray[Any]
    """``(z, y, x)`` ids of the organs that were carried."""
    origin: Mapping[int, NDArray[np.uint8]]
    """Organ's id to ``(z,)`` numbers of ``Origin``."""
    doubt: Mapping[int, NDArray[np.float32]]
    """Organ's id to ``(z,)`` doubt, 0 to 1."""


class Piece(NamedTuple):
    """One organ in one slice, as soon as it was carried there."""

    number: int
    """The organ's id."""
    z: int
    mask: NDArray[np.bool_]  # (y, x)
    origin: int
    doubt: float


class Sheet:
    """Labels of a scan, slice by slice, and what a person drew of them.

    Not for several threads at once; whoever holds one locks it.

    Args:
        shape: ``(z, y, x)`` of the scan.
        names: Organs and their ids.
        given: Labels that are there already, ``(z, y, x)`` ids; ``None`` for none.
        revision: Where to count changes from; larger than any told of this case before.

    Raises:
        ShapeError: The labels have another shape.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        names: LabelSet,
        given: NDArray[Any] | None = None,
        *,
        revision: int = 1,
    ) -> None:
        self.names = names
        kind = np.uint16 if max(names.ids.values(), default=0) > 255 else np.uint8
        self.given: NDArray[Any] | None = None
        if given is not None:
            expect_shape("labels", given, " ".join(map(str, shape)))
            self.given = given.astype(kind, copy=False)
        self.labels: NDArray[Any] = (
            np.zeros(shape, kind) if self.given is None else self.given.copy()
        )
        self.drawn: Drawn = {}
        self.origin: dict[int, NDArray[np.uint8]] = {}
        """Of organs that were carried."""
        self.doubt: dict[int, NDArray[np.float32]] = {}
        self.given_doubt: Mapping[int, NDArray[np.float32]] = {}
        """Of given labels, where somebody knows."""
        self.revision = revision
        """Grows with every change."""
        self._changed = np.full(shape[0], revision, np.int64)
        self._put = np.zeros(shape[0], np.int64)
        self._counts = np.zeros((shape[0], 256), np.int64)
        for z in range(shape[0]):
            self._count(z)
        self._given_counts = self._counts.copy()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along ``(z, y, x)``."""
        z, y, x = self.labels.shape
        return z, y, x

    @property
    def voxels(self) -> dict[int, int]:
        """Organ's id to the voxels it has now."""
        total = self._counts.sum(axis=0)
        return {n: int(total[n]) if n < len(total) else 0 for n in self.names.ids.values()}

    @property
    def area(self) -> dict[int, NDArray[np.int64]]:
        """Organ's id to its voxels in every slice, ``(z,)``."""
        return {n: self._column(self._counts, n).copy() for n in self.names.ids.values()}

    def put(self, z: int, plane: NDArray[Any], drawn: Collection[int]) -> None:
        """Take a slice as a person left it.

        Args:
            z: The slice.
            plane: ``(y, x)`` ids.
            drawn: Ids of the organs that count as drawn on this slice from now on; one of them
                that is not in the plane is said not to be there.

        Raises:
            ShapeError: There is no such slice, or the plane has another size.
            LabelError: An id belongs to no organ.
        """
        depth, rows, columns = self.shape
        if not 0 <= z < depth:
            raise ShapeError(f"there is no slice {z}; they go from 0 to {depth - 1}")
        expect_shape("the slice", plane, f"{rows} {columns}")
        there = set(np.flatnonzero(np.bincount(plane.ravel())).tolist())
        strange = (there | set(drawn)) - {0, *self.names.ids.values()}
        if strange or 0 in drawn:
            raise LabelError(
                f"no organ has the id {min(strange, default=0)}; add the organ first, there are: "
                f"{dict(self.names.ids)}"
            )
        for number in self.names.ids.values():
            if number in drawn:
                self.drawn.setdefault(number, {})[z] = plane == number
            elif number in self.drawn:
                self.drawn[number].pop(z, None)
        self.drawn = {number: masks for number, masks in self.drawn.items() if masks}
        self._replace(z, plane.astype(self.labels.dtype))
        self._put[z] = self.revision

    def forget_puts(self) -> None:
        """Regard every slice as one that nobody has changed yet."""
        self._put[:] = 0

    def put_at(self, z: int) -> int:
        """Return the revision at which a person last changed a slice; 0 for never."""
        return int(self._put[z])

    def drawn_on(self, z: int) -> tuple[int, ...]:
        """Return the ids of the organs that are drawn on a slice."""
        return tuple(sorted(number for number, masks in self.drawn.items() if z in masks))

    def show(self, piece: Piece) -> None:
        """Show what was carried of one organ until ``take`` decides; others keep their voxels."""
        number, z = piece.number, piece.z
        self.origin.setdefault(number, self.origin_of(number))[z] = piece.origin
        self.doubt.setdefault(number, self.doubt_of(number))[z] = piece.doubt
        had = self._column(self._counts, number)[z]
        if z in self.drawn.get(number, ()) or not (had or piece.mask.any()):
            return
        plane = self.labels[z].copy()
        plane[plane == number] = 0
        plane[piece.mask & (plane == 0)] = number
        if not np.array_equal(plane, self.labels[z]):
            self._replace(z, plane)

    def take(self, answer: Answer, slices: Iterable[int] | None = None) -> list[int]:
        """Show what was carried; what is drawn by now stands, and so does what else was given.

        Args:
            answer: What came of it.
            slices: Show these only, so that somebody may draw in between; all for ``None``.

        Returns:
            The slices that look other than before.
        """
        self.origin = {n: values.copy() for n, values in answer.origin.items()}
        self.doubt = {n: values.copy() for n, values in answer.doubt.items()}
        kept = np.arange(int(np.iinfo(self.labels.dtype).max) + 1).astype(self.labels.dtype)
        kept[list(answer.origin)] = 0  # of what was given
        changed = []
        for z in range(len(self.labels)) if slices is None else slices:
            if self.is_empty(z) and not self._given_counts[z].any() and not answer.labels[z].any():
                continue
            plane = self._compose(z, answer.labels[z], kept)
            if not np.array_equal(plane, self.labels[z]):
                self._replace(z, plane)
                changed.append(z)
        return changed

    def _compose(self, z: int, carried: NDArray[Any], kept: NDArray[Any]) -> NDArray[Any]:
        """Put a slice together: what was given, around it what was carried, above what is drawn."""
        plane = np.zeros_like(self.labels[z]) if self.given is None else kept[self.given[z]]
        plane = np.where(plane == 0, carried, plane).astype(plane.dtype, copy=False)
        drawn = self.drawn_on(z)
        for number in drawn:
            plane[plane == number] = 0
        for number in drawn:
            plane[self.drawn[number][z]] = number
        return plane

    def rename(self, names: LabelSet) -> None:
        """Take more organs.

        Raises:
            LabelError: An organ that was known has another id or none.
        """
        lost = set(self.names.ids.items()) - set(names.ids.items())
        if lost:
            raise LabelError(f"organs must keep their ids, these would not: {sorted(lost)}")
        self.names = names
        if max(names.ids.values(), default=0) > 255 and self.labels.dtype == np.uint8:
            self.labels = self.labels.astype(np.uint16)
            self.given = None if self.given is None else self.given.astype(np.uint16)

    def put_back(self, labels: NDArray[Any], drawn: Drawn) -> None:
        """Go on from what was saved.

        Raises:
            ShapeError: The labels have another shape.
        """
        expect_shape("saved labels", labels, " ".join(map(str, self.shape)))
        before = {z for masks in self.drawn.values() for z in masks}
        self.drawn = {number: dict(masks) for number, masks in drawn.items() if masks}
        self.origin, self.doubt = {}, {}
        for z, plane in enumerate(labels):
            if not np.array_equal(plane, self.labels[z]):
                self._replace(z, plane.astype(self.labels.dtype))
                before.add(z)
        self.revision += 1
        self._put[sorted(before | {z for masks in drawn.values() for z in masks})] = self.revision

    def changed_since(self, revision: int) -> list[int]:
        """Return the slices that have changed after a revision."""
        return [int(z) for z in np.flatnonzero(self._changed > revision)]

    def take_as_given(self, given: NDArray[Any]) -> None:
        """Regard labels that are shown as given; those that show nothing change nothing."""
        if given.any():
            self.given = given
            most = self._counts.shape[1]
            self._given_counts = np.stack([np.bincount(p.ravel(), minlength=most) for p in given])
            self._given_counts[:, 0] = 0

    def is_empty(self, z: int) -> bool:
        """Tell whether no organ is on a slice."""
        return not self._counts[z].any()

    def origin_of(self, number: int) -> NDArray[np.uint8]:
        """Return where an organ's masks come from, ``(z,)`` numbers of ``Origin``."""
        found = self.origin.get(number)
        if found is None:
            found = np.where(self._column(self._given_counts, number) > 0, Origin.GIVEN, 0)
        else:
            found = found.copy()
            found[found == Origin.DRAWN] = Origin.UNSEEN  # its drawing may have been taken back
        found[list(self.drawn.get(number, ()))] = Origin.DRAWN
        return found.astype(np.uint8)

    def doubt_of(self, number: int) -> NDArray[np.float32]:
        """Return how doubtful an organ is, ``(z,)``, 0 to 1; 0 where it is drawn."""
        found = self.doubt.get(number, np.zeros(len(self.labels), np.float32)).copy()
        if number in self.given_doubt:
            given = self.origin_of(number) == Origin.GIVEN
            found[given] = self.given_doubt[number][given]
        found[list(self.drawn.get(number, ()))] = 0
        return found

    def _replace(self, z: int, plane: NDArray[Any]) -> None:
        self.labels[z] = plane
        self.revision += 1
        self._changed[z] = self.revision
        self._count(z)

    def _count(self, z: int) -> None:
        """Count the voxels of every id of a slice, without background."""
        found = np.bincount(self.labels[z].ravel())
        found[0] = 0
        missing = len(found) - self._counts.shape[1]
        if missing > 0:
            self._counts = np.pad(self._counts, ((0, 0), (0, missing)))
        self._counts[z] = 0
        self._counts[z, : len(found)] = found

    @staticmethod
    def _column(counts: NDArray[np.int64], number: int) -> NDArray[np.int64]:
        return counts[:, number] if number < counts.shape[1] else np.zeros(len(counts), np.int64)
