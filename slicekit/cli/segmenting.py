"""What ``segment`` does once the command line is understood: one scan, or a batch of them."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from slicekit.errors import SlicekitError, lacks_memory
from slicekit.terminal import bar, batch_bar, errors, is_verbose, notes, tell

if TYPE_CHECKING:
    from slicekit.inference.model import Model
    from slicekit.report.batch_run import Batch, Outcome
    from slicekit.report.case import CaseFiles, SegmentOptions


def expect_part(parts: int | None, part: int | None) -> tuple[int, int] | None:
    """Return which part of how many is wanted; ``None`` for all.

    Raises:
        typer.BadParameter: One of the two was left out, or there is no such part.
    """
    if parts is None and part is None:
        return None
    if parts is None or part is None:
        raise typer.BadParameter("--parts N and --part K belong together; say both or neither")
    if part > parts:
        raise typer.BadParameter(f"--part goes from 1 to --parts, so to {parts}, got {part}")
    return part, parts


def segment_one(
    scan: Path, labels: Path, model: Model, options: SegmentOptions, *, as_json: bool
) -> None:
    """Segment one scan and say what was written."""
    from slicekit.report.case import segment_file

    with bar() as told:
        files = segment_file(scan, labels, model, options=options, command=sys.argv, progress=told)
    if as_json:
        _say(json.dumps(files.to_json(), indent=2))
    else:
        summarise(files)


def segment_batch(batch: Batch, scans: int, *, as_json: bool) -> None:
    """Segment the scans of a batch, say what became of each, and fail if any did.

    Raises:
        typer.Exit: With code 2, where a scan failed or the journal could not be written.
    """
    outcomes: list[Outcome] = []
    try:
        with batch_bar(scans) as shown:
            for outcome in batch.run(progress=shown.stage, next_scan=shown.next_scan):
                outcomes.append(outcome)
                if outcome.status == "skipped":
                    shown.skip()
                    continue
                shown.step()
                _tell_outcome(outcome, as_json=as_json)
    except (KeyboardInterrupt, SystemExit):
        done = sum(not one.is_fault for one in outcomes)
        errors.print(
            f"stopped: {done} of {scans} scans are done; the same command goes on from there"
        )
        raise
    failed = [one for one in outcomes if one.is_fault]
    skipped = sum(one.status == "skipped" for one in outcomes)
    if as_json:
        lines = [one.to_json() for one in outcomes]
        _say(json.dumps({"scans": scans, "failed": len(failed), "cases": lines}, indent=2))
    if skipped:
        notes.print(f"{skipped} of {scans} scans were done already")
    if batch.journal_fault is not None:
        tell(batch.journal_fault)
    if failed:
        names = ", ".join(str(one.scan) for one in failed)
        errors.print(f"{len(failed)} of {scans} scans failed: {names}")
    if failed or batch.journal_fault is not None:
        raise typer.Exit(2)


def _tell_outcome(outcome: Outcome, *, as_json: bool) -> None:
    fault = outcome.fault
    if fault is None:
        if outcome.files is not None and not as_json:
            summarise(outcome.files)
        return
    if not (isinstance(fault, SlicekitError) or lacks_memory(fault) or is_verbose()):
        logging.error("a fault of slicekit itself", exc_info=fault)
    tell(fault, about=outcome.scan if outcome.status == "failed" else None)


def _say(text: str) -> None:
    """Print a result; when whoever reads them has gone, the work goes on all the same."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def summarise(files: CaseFiles) -> None:
    """Say what was written for one scan."""
    stages = ", ".join(f"{stage} {value:.1f}" for stage, value in files.seconds.items())
    found = [f"{organ} {float(f'{ml:.3g}'):g}" for organ, ml in files.volumes_ml.items() if ml > 0]
    beside = (files.sidecar, files.statistics, files.preview, files.uncertainty)
    _say(
        f"{files.labels}\n"
        f"  seconds: {stages} (total {sum(files.seconds.values()):.1f})\n"
        f"  ml: {', '.join(found) or 'no organ was found'}\n"
        f"  beside it: {', '.join(path.name for path in beside if path is not None)}"
    )
