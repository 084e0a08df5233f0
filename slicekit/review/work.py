"""One case that is open: its scan, what is drawn, what runs, and what is written by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slicekit.errors import LabelError
from slicekit.io import read_volume
from slicekit.labels import LabelSet
from slicekit.review.anchors import guides_of
from slicekit.review.cases import ReviewCase
from slicekit.review.doubtful import NextSlice, most_doubtful
from slicekit.review.job import BusyError, Job, StaleError, Told
from slicekit.review.keeper import Keeper
from slicekit.review.lock import Lock
from slicekit.review.opening import VERDICTS, read_sheet
from slicekit.review.picture import Picture
from slicekit.review.sheet import Piece
from slicekit.windows import Window

if TYPE_CHECKING:
    from slicekit.inference.model import Carrier
    from slicekit.review.carry import Courier

_SUGGESTIONS = 3
_AT_ONCE = 16

GetCarrier = Callable[[], "Carrier | None"]
"""Returns the propagator, ``None`` where shapes are interpolated; may take seconds at first."""


class ChangedPlanes(NamedTuple):
    """Slices that have changed."""

    revision: int
    """At which this is so."""
    shown: list[int]
    empty: list[int]
    """Slices without any organ."""
    put_at: dict[int, int]
    """Slice to the revision at which a person last changed it; 0 for never."""
    planes: bytes
    """Those that are not empty, one after the other, little-endian."""


class Work:
    """A case somebody works on; any thread may call.

    Args:
        case: Which one.
        get_carrier: See ``GetCarrier``.
        windows: Of the model.

    Raises:
        TakenError: Another process works on it.
        ReadError: The scan or the labels cannot be read.
        GeometryError: The labels lie on another grid.
    """

    def __init__(
        self, case: ReviewCase, get_carrier: GetCarrier, *, windows: Sequence[Window] = ()
    ) -> None:
        self.case, self.job = case, Job()
        self._get_carrier = get_carrier
        self._courier: Courier | None = None
        self._next: tuple[NextSlice, ...] = ()
        self._guard = threading.RLock()  # of the sheet and of what follows
        self._closed = False
        self._lock = Lock(case.lock)
        try:
            self.scan = read_volume(
                case.scan, volume_index=case.volume_index, spacing_mm=case.spacing_mm
            )
            self.picture = Picture(self.scan, windows)
            self.sheet = read_sheet(case, self.scan)
        except BaseException:
            self._lock.release()
            raise
        self.keeper = Keeper(case, self.scan, self.sheet, self._guard)
        if not self.sheet.drawn:
            self._next = self._doubtful()

    def put(
        self, z: int, plane: NDArray[Any], drawn: Collection[int], *, seen: int | None = None
    ) -> int:
        """Take a drawn slice; see ``Sheet.put``. Returns the revision.

        Args:
            z: The slice.
            plane: ``(y, x)`` ids.
            drawn: Ids that count as drawn.
            seen: The revision that whoever draws has seen of this slice; ``None`` asks nothing.

        Raises:
            StaleError: Somebody else has drawn on it meanwhile.
        """
        with self._guard:
            self._expect_open()
            if seen is not None and self.sheet.put_at(z) > seen:
                raise StaleError(
                    f"slice {z} was changed in another window meanwhile; it is shown as it is "
                    "there - look at it, and draw again"
                )
            self.sheet.put(z, plane, drawn)
            self.keeper.touch()
            return self.sheet.revision

    def add_organ(self, name: str) -> int:
        """Add an organ and return its id.

        Raises:
            LabelError: The name is empty, too long or taken.
        """
        wanted = " ".join(name.split())
        if not 1 <= len(wanted) <= 80 or not wanted.isprintable():
            raise LabelError(f"an organ needs a name of 1 to 80 letters, got {name[:90]!r}")
        with self._guard:
            self._expect_open()
            if wanted in self.sheet.names or wanted in ("background", "ignore"):
                raise LabelError(f"there is {wanted!r} already; choose it in the list")
            number = max(self.sheet.names.ids.values(), default=0) + 1
            self.sheet.rename(LabelSet({**self.sheet.names.ids, wanted: number}))
            self.keeper.touch()
        return number

    def propagate(self) -> None:
        """Start to carry what is drawn.

        Raises:
            BusyError: It is running already.
            LabelError: Nothing is drawn.
        """
        with self._guard:
            shown = any(m.any() for masks in self.sheet.drawn.values() for m in masks.values())
            if not shown and not self.sheet.origin:
                raise LabelError(
                    "nothing is drawn yet, so there is nothing to carry; draw an organ on at "
                    "least one slice"
                )
        self.job.start(self._carry)

    def judge(self, verdict: str, remark: str) -> None:
        """Accept the labels, which saves them, or send them back with a remark.

        Raises:
            LabelError: There is no such verdict.
            WriteError: It cannot be written.
        """
        if verdict not in VERDICTS:
            raise LabelError(f"unknown verdict {verdict!r}; there are: {', '.join(VERDICTS)}")
        if verdict == "accepted":
            self.save()
        with self._guard:
            self.keeper.note = {"verdict": verdict, "remark": remark[:2000]}
        self.keeper.keep()

    def save(self) -> str:
        """Write the label map, and keep it as a version; see ``Keeper.save``."""
        return self.keeper.save()

    def restore(self, number: int) -> int:
        """Show a version again; see ``Keeper.restore``.

        Raises:
            BusyError: Something is carried.
        """
        self._expect_open()
        if self.job.progress.running:
            raise BusyError("a propagation is running; wait until it is done, or stop it first")
        kept = self.keeper.restore(number)
        with self._guard:
            self._next = () if self.sheet.drawn else self._doubtful()
        return kept

    def close(self) -> None:
        """Stop what runs, write what is not written, and let others work on the case."""
        with self._guard:
            self._closed = True
        self.job.stop()
        self.job.wait(30)
        try:
            if not self.keeper.kept:
                self.keeper.keep()
        finally:
            self._lock.release()

    def volumes(self) -> dict[str, float]:
        """Return the volume of every organ in ml."""
        return self.keeper.volumes()

    @property
    def note(self) -> dict[str, str]:
        """Verdict and remark."""
        return self.keeper.note

    def state(self) -> dict[str, Any]:
        """Return all that changes while somebody works, ready for JSON."""
        with self._guard:
            sheet, ids = self.sheet, self.sheet.names.ids
            return {
                "revision": sheet.revision,
                "origin": {n: sheet.origin_of(n).tolist() for n in ids.values()},
                "doubt": {
                    n: np.round(sheet.doubt_of(n), 3).tolist() for n in ids.values()
                    if n in sheet.doubt or n in sheet.given_doubt
                },
                "volumes_ml": {ids[name]: ml for name, ml in self.volumes().items()},
                "next": [
                    {"z": one.z, "organs": [ids[o] for o in one.organs], "reason": one.reason}
                    for one in self._next
                    if not all(one.z in sheet.drawn.get(ids[o], {}) for o in one.organs)
                ],
                "job": vars(self.job.progress),
                "saved": self.keeper.saved,
                "kept": self.keeper.kept,
                "carried": bool(sheet.origin),
                "begun": bool(sheet.drawn or sheet.origin or self.keeper.version),
                "autosave_fault": self.keeper.fault,
                "version": self.keeper.shown_version,
                **self.note,
            }  # fmt: skip

    def planes_since(self, revision: int) -> ChangedPlanes:
        """Return what has changed after a revision."""
        with self._guard:
            changed = self.sheet.changed_since(revision)
            empty = [z for z in changed if self.sheet.is_empty(z)]
            shown = sorted(set(changed) - set(empty))
            kind = self.sheet.labels.dtype.newbyteorder("<")
            planes = b"".join(self.sheet.labels[z].astype(kind).tobytes() for z in shown)
            put_at = {z: self.sheet.put_at(z) for z in changed}
            return ChangedPlanes(self.sheet.revision, shown, empty, put_at, planes)

    def _doubtful(self) -> tuple[NextSlice, ...]:
        """Return what to look at first of labels that were given."""
        sheet = self.sheet
        return most_doubtful(sheet.given_doubt, sheet.area, sheet.names, count=_SUGGESTIONS)

    def _expect_open(self) -> None:
        if self._closed:
            raise BusyError(
                f"{self.case.name} was closed, for other cases were opened; choose it again"
            )

    def _carry(self, told: Told) -> None:
        """Carry what is drawn now; what is drawn meanwhile stands."""
        told(0, 0)
        carrier = self._get_carrier()
        from slicekit.review.carry import Courier  # torch, which is there by now

        with self._guard:
            names = self.sheet.names
            guides = guides_of(self.sheet, slice_mm=self.scan.spacing_mm[0])
            drawn = {(names.names_by_id[n], z) for n, m in self.sheet.drawn.items() for z in m}
        courier = self._courier
        if courier is None or courier.names != names or courier.carrier is not carrier:
            courier = self._courier = Courier(self.scan, names, carrier)
        given = {(name, z) for name, masks in guides.items() for z in masks} - drawn
        answer = courier.carry(guides, given=given, told=told, shown=self._show)
        suggestions = courier.suggest(_SUGGESTIONS) if guides else self._doubtful()
        for first in range(0, self.scan.shape[0], _AT_ONCE):
            with self._guard:
                self.sheet.take(answer, range(first, min(first + _AT_ONCE, self.scan.shape[0])))
            time.sleep(0.001)  # whoever waits to draw comes first
        with self._guard:
            self._next = suggestions
            self.keeper.touch()

    def _show(self, piece: Piece) -> None:
        """Show a slice of a gap that is finished, while others are still carried."""
        with self._guard:
            self.sheet.show(piece)
            self.keeper.touch()
