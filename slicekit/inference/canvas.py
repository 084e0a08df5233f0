"""The label map that drawn and carried masks make together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

_FOR_SURE = 255
_MORE_LIKELY_THAN_NOT = 128


class Piece(Protocol):
    """What is said of one object in one slice."""

    @property
    def z(self) -> int:
        """The slice."""

    def paste(self, shape: tuple[int, int]) -> tuple[tuple[slice, slice], NDArray[np.uint8]]:
        """Return rows and columns, and the probability there; 255 is 1."""


class Canvas:
    """Labels of a scan, and how sure each is.

    Where two objects claim a voxel, the likelier one has it, the lower id of equals; what was
    drawn stands whatever is claimed. The order in which pieces come does not matter.

    Args:
        shape: ``(z, y, x)``. Two bytes a voxel are taken; three when an id exceeds 255.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._labels: NDArray[Any] = np.zeros(shape, np.uint8)
        self._sure = np.zeros(shape, np.uint8)
        self._lent = False

    @property
    def labels(self) -> NDArray[Any]:
        """``(z, y, x)`` ids as they are now, read-only; what is painted later is not in them."""
        self._lent = True  # copied when it is painted on, which a single run never does
        view = self._labels.view()
        view.flags.writeable = False
        return view

    def shows(self, z: int, number: int) -> NDArray[np.bool_]:
        """Return where an object is in a slice now, ``(y, x)``; the labels are not lent for it."""
        return np.asarray(self._labels[z] == number)

    def put_back(self, labels: NDArray[Any]) -> None:
        """Start from labels ``(z, y, x)`` that were kept."""
        self._labels, self._lent = labels, True

    def clear(self, zs: Iterable[int]) -> None:
        """Make slices empty."""
        self._take()
        for z in zs:
            self._labels[z] = 0
            self._sure[z] = 0

    def draw(self, z: int, number: int, mask: NDArray[np.bool_]) -> None:
        """Put a drawn mask into a cleared slice, for good."""
        self._take(number)
        self._labels[z][mask] = number
        self._sure[z][mask] = _FOR_SURE

    def paint(self, number: int, piece: Piece) -> int:
        """Put a carried mask into its slice; returns its pixels, hidden ones included."""
        self._take(number)
        y, x = self._labels.shape[1:]
        where, likely = piece.paste((y, x))
        likely = np.minimum(likely, _FOR_SURE - 1)
        labels, sure = self._labels[piece.z][where], self._sure[piece.z][where]
        inside = likely >= _MORE_LIKELY_THAN_NOT
        wins = inside & ((likely > sure) | ((likely == sure) & (number < labels)))
        labels[wins] = number
        sure[wins] = likely[wins]
        return int(inside.sum())

    def _take(self, number: int = 0) -> None:
        """Before anything is painted: copy labels that were handed out, widen them for an id."""
        if number > np.iinfo(self._labels.dtype).max:
            self._labels, self._lent = self._labels.astype(np.uint16), False
        if self._lent:
            self._labels, self._lent = self._labels.copy(), False
