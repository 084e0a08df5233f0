"""A batch on the terminal: bars, what became of each scan, and the exit code."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import typer

from slicekit.errors import SlicekitError, lacks_memory
from slicekit.terminal import batch_bar, errors, is_verbose, notes, tell

if TYPE_CHECKING:
    from slicekit.report.batch_run import Batch, Made, Outcome

M = TypeVar("M", bound="Made")


def run_batch(
    batch: Batch[M], scans: int, *, summarise: Callable[[M], None], as_json: bool
) -> None:
    """Do the scans of a batch, say what became of each, and fail if any did.

    Args:
        batch: The batch.
        scans: How many it has.
        summarise: Says what was written for one scan.
        as_json: Whether to print one object of JSON in the end instead.

    Raises:
        typer.Exit: With code 2, where a scan failed or the journal could not be written.
    """
    outcomes: list[Outcome[M]] = []
    try:
        with batch_bar(scans) as shown:
            for outcome in batch.run(progress=shown.stage, next_scan=shown.next_scan):
                outcomes.append(outcome)
                if outcome.status == "skipped":
                    shown.skip()
                    continue
                shown.step()
                _tell_outcome(outcome, None if as_json else summarise)
    except (KeyboardInterrupt, SystemExit):
        done = sum(not one.is_fault for one in outcomes)
        errors.print(
            f"stopped: {done} of {scans} scans are done; the same command goes on from there"
        )
        raise
    failed = [one for one in outcomes if one.is_fault]
    skipped = [one for one in outcomes if one.status == "skipped"]
    if as_json:
        lines = [one.to_json() for one in outcomes]
        say(json.dumps({"scans": scans, "failed": len(failed), "cases": lines}, indent=2))
    if skipped:
        changed = sum(bool(one.note) for one in skipped)
        more = (
            f"; the labels of {changed} were changed since, as by hand, and kept" if changed else ""
        )
        notes.print(f"{len(skipped)} of {scans} scans were done already{more}")
    if batch.journal_fault is not None:
        tell(batch.journal_fault)
    if failed:
        names = ", ".join(str(one.scan) for one in failed)
        errors.print(f"{len(failed)} of {scans} scans failed: {names}")
    if failed or batch.journal_fault is not None:
        raise typer.Exit(2)


def _tell_outcome(outcome: Outcome[M], summarise: Callable[[M], None] | None) -> None:
    fault = outcome.fault
    if fault is None:
        if outcome.files is not None and summarise is not None:
            summarise(outcome.files)
        return
    if not (isinstance(fault, SlicekitError) or lacks_memory(fault) or is_verbose()):
        logging.error("a fault of slicekit itself", exc_info=fault)
    tell(fault, about=outcome.scan if outcome.status == "failed" else None)


def say(text: str) -> None:
    """Print a result; when whoever reads them has gone, the work goes on all the same."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
