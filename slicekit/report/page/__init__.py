"""A report as one page that needs no other file: of a case, of a batch, of an evaluation."""

from __future__ import annotations

from slicekit.report.page.write import write_report

__all__ = ["write_report"]
