"""Work beside the page: one propagation at a time, with its progress, and a way to stop it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from slicekit.errors import SlicekitError
from slicekit.review.faults import described

log = logging.getLogger(__name__)

Told = Callable[[int, int], None]


class StoppedError(SlicekitError):
    """Somebody stopped the work."""


class BusyError(SlicekitError):
    """The work is under way already."""


class StaleError(SlicekitError):
    """What somebody changes was changed by somebody else meanwhile."""


@dataclass(frozen=True)
class Progress:
    """How far it is."""

    running: bool = False
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    outcome: str = ""
    """``done``, ``stopped`` or ``failed``; empty before the first run and while one goes on."""
    fault: dict[str, Any] | None = None


class Job:
    """Runs one piece of work at a time in a thread of its own."""

    def __init__(self) -> None:
        self.progress = Progress()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def start(self, work: Callable[[Told], None]) -> None:
        """Start a piece of work.

        Args:
            work: Gets a function to be told slices done and in all; once somebody has asked to
                stop, that raises ``StoppedError``.

        Raises:
            BusyError: Another one is running.
        """
        with self._lock:
            if self.progress.running:
                raise BusyError(
                    "a propagation is running already; wait until it is done, or stop it first"
                )
            self._stop.clear()
            self.progress = Progress(running=True)
            self._thread = threading.Thread(
                target=self._run, args=(work,), daemon=True, name="propagation"
            )
            self._thread.start()

    def stop(self) -> None:
        """Ask the work to stop at its next slice."""
        self._stop.set()

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until nothing runs."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)

    def _run(self, work: Callable[[Told], None]) -> None:
        began = time.perf_counter()
        outcome, fault = "done", None

        def told(done: int, total: int) -> None:
            if self._stop.is_set():
                raise StoppedError("it was stopped; start it again to go on")
            seconds = time.perf_counter() - began
            self.progress = Progress(True, done, total, round(seconds, 2))

        try:
            work(told)
        except StoppedError:
            outcome = "stopped"
        except Exception as found:  # told on the page; the server goes on
            outcome, fault = "failed", described(found)
        seconds = round(time.perf_counter() - began, 2)
        last = self.progress
        self.progress = replace(
            last,
            running=False,
            done=last.total if outcome == "done" else last.done,
            seconds=seconds,
            outcome=outcome,
            fault=fault,
        )
        log.info("propagation %s after %.1f s", outcome, seconds)
