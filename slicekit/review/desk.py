"""All cases of a review: which are open, and the thread that writes them by itself."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from slicekit.errors import SlicekitError
from slicekit.review.cases import ReviewCase
from slicekit.review.faults import UnknownCaseError, described
from slicekit.review.job import BusyError
from slicekit.review.work import Work
from slicekit.windows import Window

if TYPE_CHECKING:
    from slicekit.inference.model import Carrier

log = logging.getLogger(__name__)

_MOST_OPEN = 2
_LOOK_EVERY_S = 0.5
_SHOWN_AFTER_S = 3.0


class Desk:
    """The cases of a review; the last ones that were looked at are open.

    Args:
        cases: What is to be reviewed.
        model: Propagator by name, recipe or weights; ``None`` interpolates shapes.
        device: As for ``pick_runtime``.
        windows: Of the model, for looking.
    """

    def __init__(
        self,
        cases: Sequence[ReviewCase],
        *,
        model: str | None = None,
        device: str = "auto",
        windows: Sequence[Window] = (),
    ) -> None:
        self.cases = tuple(cases)
        self.carrier_fault: dict[str, Any] | None = None
        self.model = model
        self._device, self._windows = device, tuple(windows)
        self._carrier: Carrier | None = None
        self._loading = threading.Lock()
        self._faults: dict[int, dict[str, Any]] = {}  # of cases that could not be opened
        self._open: OrderedDict[int, Work] = OrderedDict()
        self._opening = threading.Lock()
        self._ended = threading.Event()
        self._writer = threading.Thread(target=self._keep_all, daemon=True, name="autosave")
        self._writer.start()

    def work(self, index: int) -> Work:
        """Return an open case; one that is not open is opened, the longest unused is closed.

        Raises:
            UnknownCaseError: There is none of this number.
            SlicekitError: It cannot be opened.
        """
        if not 0 <= index < len(self.cases):
            raise UnknownCaseError(
                f"there is no case {index}; the list at /api/cases has {len(self.cases)}"
            )
        with self._opening:
            if index not in self._open:
                try:
                    work = Work(self.cases[index], self.carrier, windows=self._windows)
                except SlicekitError as fault:
                    self._faults[index] = described(fault)
                    raise
                self._faults.pop(index, None)
                self._open[index] = work
            self._open.move_to_end(index)
            for other in list(self._open)[:-1]:
                if len(self._open) > _MOST_OPEN and not self._open[other].job.progress.running:
                    self._open.pop(other).close()
            return self._open[index]

    def watched(self, index: int) -> Work:
        """Return a case that is open; looking on opens none and closes none.

        Raises:
            BusyError: It is not open.
        """
        work = self._open.get(index)
        if work is None:
            raise BusyError("the case was closed, for others were opened; choose it again")
        return work

    def listed(self) -> list[dict[str, Any]]:
        """Return the list of cases, ready for JSON."""
        found = []
        for index, case in enumerate(self.cases):
            work = self._open.get(index)
            try:
                note = dict(case.read_sidecar()) if work is None else dict(work.note)
                fault = self._faults.get(index)
            except SlicekitError as error:
                note, fault = {}, described(error)
            found.append({
                "index": index, "name": case.name, "given": case.given is not None,
                "saved": case.labels.exists(), "verdict": note.get("verdict", "open"),
                "remark": note.get("remark", ""), "fault": fault,
            })  # fmt: skip
        return found

    def carrier(self) -> Carrier | None:
        """Return the propagator, loaded once; ``None`` where there is none, so shapes must do.

        What needs torch is imported here and nowhere else before: two threads that import modules
        in different orders find them half done.
        """
        with self._loading:
            import slicekit.review.carry  # noqa: F401

            if self.model is not None and self._carrier is None and self.carrier_fault is None:
                from slicekit.inference.model import load_propagator
                from slicekit.runtime import pick_runtime

                try:
                    self._carrier = load_propagator(self.model, pick_runtime(self._device))
                except SlicekitError as fault:
                    log.warning("shapes are interpolated, for %s", fault)
                    self.carrier_fault = described(fault)
            return self._carrier

    def prepare(self) -> None:
        """Open the first case and load the propagator, so that nobody waits for them."""
        threading.Thread(target=self._prepare, daemon=True, name="prepare").start()

    def close(self) -> None:
        """Write everything and close."""
        self._ended.set()
        self._writer.join(10)
        with self._opening:
            while self._open:
                _, work = self._open.popitem()
                try:
                    work.close()
                except SlicekitError as fault:
                    log.error("%s", fault)

    def _prepare(self) -> None:
        try:
            self.work(0)
        except SlicekitError as fault:
            log.info("%s", fault)  # the page asks again and is told
        if self._ended.wait(_SHOWN_AFTER_S):  # the page comes first
            return
        self.carrier()

    def _keep_all(self) -> None:
        while not self._ended.wait(_LOOK_EVERY_S):
            for work in list(self._open.values()):
                work.keeper.keep_if_due()
