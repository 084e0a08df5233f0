"""Many scans, one after the other: what is done is skipped, one fault stops nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

from slicekit.errors import FileError, SlicekitError, WriteError, lacks_memory
from slicekit.report.batch import outputs_beside
from slicekit.report.claim import Claim
from slicekit.report.footprint import forget_peak, give_back, peak
from slicekit.report.journal import append_line, journal_path
from slicekit.report.made import Found

Progress = Callable[[str, int, int], None]
Status = Literal["done", "skipped", "failed", "refused", "stopped"]


class Made(Protocol):
    """What was written for one scan."""

    def for_journal(self) -> dict[str, Any]:
        """Return what the journal tells of it."""
        ...


M = TypeVar("M", bound=Made)
M_co = TypeVar("M_co", bound=Made, covariant=True)


class Job(Protocol[M_co]):
    """What a batch does with every scan."""

    @property
    def overwrite(self) -> bool:
        """Whether what was made otherwise is made anew; what is done already never is."""
        ...

    def find(self, scan: Path, target: Path) -> Found:
        """Look at what lies where the results of a scan go."""
        ...

    def make(self, scan: Path, target: Path, *, overwrite: bool, progress: Progress | None) -> M_co:
        """Make the results of one scan, whole or not at all; any exception is its fault alone."""
        ...


@dataclass(frozen=True, eq=False)
class Outcome(Generic[M]):
    """What became of one scan of a batch."""

    scan: Path
    labels: Path
    status: Status
    """``skipped``: it was done already. ``refused``: something else lies there. ``stopped``: the
    batch was, during this scan."""
    files: M | None = None
    """What was written; ``None`` for all but ``done``."""
    fault: Exception | None = None
    """Why it failed or was refused."""
    seconds: float = 0.0
    memory_mib: float | None = None
    gpu_memory_mib: float | None = None
    note: str = ""
    """Of what was skipped: that a person changed it since."""
    at: str = field(default_factory=lambda: datetime.now().astimezone().isoformat("T", "seconds"))

    @property
    def is_fault(self) -> bool:
        """Whether the batch is not complete because of this scan."""
        return self.status in ("failed", "refused")

    def to_json(self) -> dict[str, Any]:
        """Return the line of the journal."""
        line: dict[str, Any] = {
            "case": self.labels.name,
            "scan": str(self.scan),
            "labels": str(self.labels),
            "status": self.status,
            "at": self.at,
            "seconds": round(self.seconds, 3),
            "peak_memory_mib": self.memory_mib,
            "peak_gpu_memory_mib": self.gpu_memory_mib,
        }
        if self.files is not None:
            line |= self.files.for_journal()
        if self.note:
            line["note"] = self.note
        if self.fault is not None:
            line["error"] = fault_text(self.fault)
        return line


class Batch(Generic[M]):
    """Scans whose results go into one folder.

    Args:
        pairs: Scans and the names of their results, from ``plan_outputs``.
        job: What is done with each.
        part: Which part of how many these pairs are.
        prepare: Called before a scan is begun, never where none is; what it raises ends the batch.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[Path, Path]],
        job: Job[M],
        *,
        part: tuple[int, int] | None = None,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self._pairs = list(pairs)
        self._job = job
        self._part = part
        self._prepare = prepare
        self.journal_fault: WriteError | None = None
        """Why the journal lacks lines."""

    @property
    def journal(self) -> Path:
        """Where a line for every scan is appended."""
        return journal_path(self._folder, None if self._part is None else self._part[0])

    @property
    def _folder(self) -> Path:
        return self._pairs[0][1].parent

    def run(
        self, *, progress: Progress | None = None, next_scan: Callable[[Path], None] | None = None
    ) -> Iterator[Outcome[M]]:
        """Do scan after scan; what is done already comes first, what once was killed last.

        Args:
            progress: Told how far a scan is.
            next_scan: Told about every scan that is begun.

        Yields:
            What became of every scan. A signal ends the batch: the scan at hand leaves no file.

        Raises:
            WriteError: The folder cannot be written, or another process works on this batch.
        """
        if not self._pairs:
            return
        with Claim(self._folder, self._part) as claim:
            waiting = []
            for scan, labels in self._pairs:
                found = self._find(scan, labels, claim)
                if found.state == "done":
                    yield Outcome(scan, labels, "skipped", note=found.why)
                else:
                    waiting.append((scan, labels))
            waiting.sort(key=lambda pair: pair[1].name in claim.unfinished)  # they may kill again
            for scan, labels in waiting:
                if next_scan is not None:
                    next_scan(scan)
                yield self._one(scan, labels, claim, progress)

    def _find(self, scan: Path, labels: Path, claim: Claim) -> Found:
        """Look at what is there; what a killed batch left half done counts as nothing."""
        found = self._job.find(scan, labels)
        if found.state == "unfinished" and labels.name in claim.unfinished:
            return Found("absent")
        return found

    def _one(self, scan: Path, labels: Path, claim: Claim, progress: Progress | None) -> Outcome[M]:
        """Do one scan and write it into the journal."""
        found = self._find(scan, labels, claim)  # another batch may have been here meanwhile
        if found.state == "done":
            return Outcome(scan, labels, "skipped", note=found.why)
        if found.state != "absent" and not self._job.overwrite:
            cure = "say --overwrite to make it anew, or choose another folder"
            refused = WriteError(labels, f"{found.why}; {cure}")
            return self._told(Outcome(scan, labels, "refused", fault=refused))
        again = self._job.overwrite or _leftovers(labels)
        self._prepare()
        forget_peak()
        began = time.perf_counter()
        try:
            claim.begin(labels.name)
            files = self._job.make(scan, labels, overwrite=again, progress=progress)
            made = Outcome(scan, labels, "done", files)
        except Exception as fault:  # whatever it is, the other scans go on
            if lacks_memory(fault):  # else the fault itself keeps the memory
                fault.__traceback__ = fault.__cause__ = fault.__context__ = None
            made = Outcome(scan, labels, "failed", fault=fault)
        except BaseException:  # a signal
            claim.end(labels.name)
            self._told(_measured(Outcome(scan, labels, "stopped"), began))
            raise
        claim.end(labels.name)
        told = self._told(_measured(made, began))
        if made.fault is not None:
            give_back()
        return told

    def _told(self, outcome: Outcome[M]) -> Outcome[M]:
        """Append a line to the journal; the labels count, even where that cannot be done."""
        try:
            append_line(self.journal, outcome.to_json())
        except WriteError as fault:
            self.journal_fault = fault
        return outcome


def fault_text(fault: Exception) -> str:
    """Write a fault as one sentence."""
    if lacks_memory(fault):
        return "there is not enough memory; close other programs, or cut or resample the scan"
    if isinstance(fault, FileError | SlicekitError):
        return str(fault)
    return repr(fault)


def _leftovers(labels: Path) -> bool:
    """Tell whether a killed batch left files of these labels."""
    return any(path.exists() for path in (labels, *outputs_beside(labels)))


def _measured(outcome: Outcome[M], began: float) -> Outcome[M]:
    taken = peak()
    return replace(
        outcome,
        seconds=time.perf_counter() - began,
        memory_mib=taken.memory_mib,
        gpu_memory_mib=taken.gpu_memory_mib,
    )
