"""What a batch of scans to be segmented does with each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from slicekit.inference.model import Model
from slicekit.inference.outline import Outlined
from slicekit.report.batch_run import Progress
from slicekit.report.case import CaseFiles, SegmentOptions, segment_file, wanted_of
from slicekit.report.made import Found, find_labels


class SegmentJob:
    """Segment scans with one model, which is loaded when the first scan needs it.

    Args:
        model: What is known of it, from ``outline_model`` or ``load_model``.
        options: What the user said.
        load: Loads it; called once, or never where all scans are done already.
        command: The command line, for the sidecars.
    """

    def __init__(
        self,
        model: Outlined,
        options: SegmentOptions,
        *,
        load: Callable[[], Model],
        command: Sequence[str] = (),
    ) -> None:
        self._load = cache(load)
        self._options = options
        self._command = command
        self._wanted = wanted_of(model, options)

    @property
    def overwrite(self) -> bool:
        """Whether labels that were made otherwise are made anew."""
        return self._options.overwrite

    def find(self, scan: Path, target: Path) -> Found:
        """Look at what lies where the labels of a scan go."""
        return find_labels(target, scan, self._wanted)

    def prepare(self) -> None:
        """Load the model.

        Raises:
            SlicekitError: It cannot be loaded.
        """
        self._load()

    def make(
        self, scan: Path, target: Path, *, overwrite: bool, progress: Progress | None
    ) -> CaseFiles:
        """Segment one scan; see ``segment_file``."""
        return segment_file(
            scan, target, self._load(), options=replace(self._options, overwrite=overwrite),
            command=self._command, progress=progress,
        )  # fmt: skip
