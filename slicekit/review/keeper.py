"""What is written of an open case, by itself and when somebody asks; and earlier versions."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from slicekit.errors import LabelError, SlicekitError
from slicekit.labels import LabelSet
from slicekit.review.cases import ReviewCase
from slicekit.review.faults import described
from slicekit.review.job import BusyError
from slicekit.review.opening import verdict_of
from slicekit.review.sheet import Sheet
from slicekit.review.store import Snapshot, save_drawings, snapshot, take_origins, write_note
from slicekit.review.versions import keep_present, read_version, save_labels
from slicekit.volume import Volume

log = logging.getLogger(__name__)

_QUIET_S, _LONGEST_S, _AGAIN_S = 1.0, 6.0, 5.0


class Keeper:
    """Writes one case; any thread may call.

    Args:
        case: Which one.
        scan: Its scan.
        sheet: What is drawn and carried.
        guard: Held while the sheet is read or changed.
    """

    def __init__(
        self, case: ReviewCase, scan: Volume, sheet: Sheet, guard: threading.RLock
    ) -> None:
        self._case, self._scan, self._sheet, self._guard = case, scan, sheet, guard
        self._saving = threading.Lock()  # one writer at a time
        self._dirty_since = self._touched = self._failed = 0.0
        self._saved_revision = 0
        self._version = (0, 0)  # revision of the sheet, and the version that equals it
        self.fault: dict[str, Any] | None = None
        """Why nothing could be written by itself."""
        self.note = {"verdict": "open", "remark": "", **verdict_of(case)}
        """Verdict and remark."""
        if case.labels.exists() and case.read_sidecar().get("saved") is True:
            self._saved_revision = sheet.revision

    @property
    def saved(self) -> bool:
        """Whether the label map on disk is what is shown."""
        return self._saved_revision == self._sheet.revision

    @property
    def kept(self) -> bool:
        """Whether what was drawn is on disk."""
        return not self._dirty_since

    @property
    def version(self) -> int:
        """The version that was saved or restored last; 0 for none since the case was opened."""
        return self._version[1]

    @property
    def shown_version(self) -> int:
        """The version that is shown as it was saved; 0 where something has changed since."""
        revision, number = self._version
        return number if revision == self._sheet.revision else 0

    def touch(self) -> None:
        """Note that something has changed; what was accepted was something else."""
        with self._guard:
            if self.note["verdict"] == "accepted":
                self.note = {**self.note, "verdict": "open"}
            self._touched = time.monotonic()
            self._dirty_since = self._dirty_since or self._touched

    def save(self) -> str:
        """Write the label map, and keep it among the last versions; returns the version's name.

        Raises:
            WriteError: It cannot be written whole; what stood there still stands.
        """
        with self._saving:
            held = self._snapshot()
            version = save_labels(self._case, self._scan, held)
            self._saved_revision = held.revision
            self._version = (held.revision, version.number)
        self.keep()
        return version.labels.name

    def restore(self, number: int) -> int:
        """Show a version again, with what was drawn in it.

        Returns:
            The version that keeps what was there before; restoring that one takes this back.

        Raises:
            UnknownCaseError: There is no such version any more.
            BusyError: Somebody draws.
            ReadError: The version is damaged.
            LabelError: It has other ids for the organs.
            WriteError: What is there now cannot be kept, and so nothing was restored.
        """
        with self._saving:
            held = self._snapshot()
            earlier = read_version(self._case, self._scan, number)
            names = _joined(held.names, earlier.names, number=number)
            revision, kept = self._version
            if revision != held.revision:
                kept = keep_present(self._case, self._scan, held, instead=number).number
                self._version = (held.revision, kept)
            with self._guard:
                if self._sheet.revision != held.revision:
                    raise BusyError("somebody drew meanwhile; restore the version again")
                self._sheet.rename(names)
                self._sheet.put_back(earlier.labels, earlier.drawn)
                take_origins(self._sheet, earlier.about)
                self._version = (self._sheet.revision, number)
                self.touch()
        return kept

    def keep(self) -> None:
        """Write drawings and verdict, so that a kill loses nothing.

        Raises:
            WriteError: It cannot be written whole.
        """
        with self._saving:
            with self._guard:
                held, touched = self._snapshot(), self._touched
                saved = self._saved_revision == held.revision
                note = {**self.note, "saved": saved, "volumes_ml": self.volumes()}
            save_drawings(self._case, self._scan, held)
            write_note(self._case, held, note)
            with self._guard:
                again = self._touched != touched  # somebody drew meanwhile
                self._dirty_since = self._touched if again else 0.0

    def keep_if_due(self) -> None:
        """Write by itself once the pen rests, or has not rested for long."""
        now = time.monotonic()
        with self._guard:
            waits = self._dirty_since and (
                now - self._touched > _QUIET_S or now - self._dirty_since > _LONGEST_S
            )
        if waits and not (self.fault and now - self._failed < _AGAIN_S):
            try:
                self.keep()
                self.fault = None
            except SlicekitError as fault:  # told on the page; it is tried again
                said = described(fault)
                if said != self.fault:
                    log.warning("autosave: %s", fault)
                self.fault, self._failed = said, time.monotonic()

    def volumes(self) -> dict[str, float]:
        """Return the volume of every organ in ml."""
        with self._guard:
            voxels, ids = self._sheet.voxels, self._sheet.names.ids
        return {name: round(voxels[n] * self._scan.voxel_ml, 3) for name, n in ids.items()}

    def _snapshot(self) -> Snapshot:
        with self._guard:
            return snapshot(self._sheet)


def _joined(known: LabelSet, earlier: LabelSet, *, number: int) -> LabelSet:
    """Return the organs of now and of a version.

    Raises:
        LabelError: One organ has two ids, or one id two organs.
    """
    try:
        joined = LabelSet({**known.ids, **earlier.ids})
    except LabelError:
        joined = earlier
    if set(known.ids.items()) - set(joined.ids.items()):
        raise LabelError(
            f"version {number} has other ids for the organs than there are now; open its labels "
            "in a review of their own (--labels, --out)"
        )
    return joined
