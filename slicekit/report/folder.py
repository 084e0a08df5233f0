"""A folder of scans to a folder of labels, in one call of a script."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from slicekit.errors import ReadError
from slicekit.inference.model import Model
from slicekit.inference.pipeline import expect_known
from slicekit.inference.segmentation import Progress
from slicekit.report.batch import plan_outputs
from slicekit.report.batch_run import Batch, Outcome
from slicekit.report.case import CaseFiles, SegmentOptions
from slicekit.report.segment_job import SegmentJob


def segment_folder(
    scans: str | Path,
    out: str | Path,
    model: Model,
    *,
    options: SegmentOptions = SegmentOptions(),
    progress: Progress | None = None,
    told: Callable[[Outcome[CaseFiles]], object] = lambda outcome: None,
) -> tuple[Outcome[CaseFiles], ...]:
    """Segment every scan of a folder; what is done already is skipped, one fault stops nothing.

    Every scan gets labels, statistics and a sidecar, whole or not at all, and a line in
    ``out/run.jsonl``. One scan lies in memory at a time.

    Args:
        scans: A folder of scans.
        out: Folder that takes the labels, under the scans' names.
        model: From ``load_model``.
        options: Organs, pictures and how scans are to be read.
        progress: Told about every slice: the stage, slices done, and slices in all.
        told: Told what became of every scan, as soon as it is known.

    Returns:
        What became of every scan; ``status`` is ``done``, ``skipped``, ``failed`` or
        ``refused``, and ``fault`` tells why.

    Raises:
        LabelError: The model knows no such organ.
        ReadError: There is no such folder, or it is one scan.
        RecipeError: The model cannot do what the options ask for.
        WriteError: The folder cannot be written, two scans have one name, another process works
            on it, or the journal could not be written; labels that were made stay.
    """
    folder = Path(scans)
    alone = folder.is_file()
    pairs = [] if alone else plan_outputs(folder, Path(out), series=options.series)
    if alone or pairs[0][0] == folder:
        raise ReadError(
            folder, "is one scan, no folder of scans; name the folder, or use slicekit.segment"
        )
    expect_known(
        model, organs=options.organs, selector=options.selector, uncertainty=options.uncertainty
    )
    batch = Batch(pairs, SegmentJob(model, options, load=lambda: model))
    outcomes = []
    for outcome in batch.run(progress=progress):
        told(outcome)
        outcomes.append(outcome)
    if batch.journal_fault is not None:
        raise batch.journal_fault
    return tuple(outcomes)
