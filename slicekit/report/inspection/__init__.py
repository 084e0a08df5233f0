"""A look at a whole dataset: pairing, grids, ids, intensities, duplicates, what is annotated."""

from __future__ import annotations

from slicekit.report.inspection.findings import KINDS, Finding, Kind, Severity
from slicekit.report.inspection.inspect import Inspection, inspect_dataset
from slicekit.report.inspection.mend import Mended, described, expect_new, mend_dataset
from slicekit.report.inspection.page import files_in, write_inspection

__all__ = [
    "KINDS",
    "Finding",
    "Inspection",
    "Kind",
    "Mended",
    "Severity",
    "described",
    "expect_new",
    "files_in",
    "inspect_dataset",
    "mend_dataset",
    "write_inspection",
]
