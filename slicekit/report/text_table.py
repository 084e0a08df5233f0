"""Tables as text, for the terminal and for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def text_table(
    rows: Sequence[Sequence[str]], *, left: Sequence[int] = (0,), ruled_last: bool = False
) -> str:
    """Lay out rows as text; columns are right aligned but for those in ``left``.

    Args:
        rows: The heading, then the rows, all of one length.
        left: Columns that are left aligned, from 0.
        ruled_last: Whether the last row is set apart, as a mean is.

    Example:
        >>> print(text_table([["organ", "ml"], ["liver", "1500"]]))
        organ    ml
        -----------
        liver  1500
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    lines.insert(1, rule)
    if ruled_last:
        lines.insert(-1, rule)
    return "\n".join(lines)


def csv_table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Write rows as CSV; what is no column is left out, ``None`` is an empty cell.

    Example:
        >>> print(csv_table(["organ", "ml"], [{"organ": "liver", "ml": 1500, "id": 1}]), end="")
        organ,ml
        liver,1500
    """
    text = io.StringIO()
    lines = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    lines.writeheader()
    lines.writerows(rows)
    return text.getvalue()
