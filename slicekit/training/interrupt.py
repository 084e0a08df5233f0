"""Stop a long run when the user or the system asks, after its state was saved."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from slicekit.errors import SlicekitError


class Interrupted(SlicekitError):
    """A signal ended the run early; its state was saved.

    Args:
        step: Steps done.
        steps: Steps in all.
        signal: The signal's number.
        out: Folder of the run.
    """

    def __init__(self, *, step: int, steps: int, signal: int, out: Path) -> None:
        self.signal = signal
        super().__init__(
            f"stopped at step {step} of {steps}; the state is saved in {out} - "
            "run the same command again to go on from there"
        )


class StopSignals:
    """Catch the first SIGINT or SIGTERM; a second one acts as if nobody had caught it.

    Used as a context; outside the main thread it catches nothing.
    """

    def __init__(self) -> None:
        self.caught: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._catch)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def _catch(self, number: int, _frame: FrameType | None) -> None:
        self.caught = number
        self._restore()

    def _restore(self) -> None:
        while self._before:
            number, before = self._before.popitem()
            signal.signal(number, before)
