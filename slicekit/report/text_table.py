"""Tables as text, for the terminal."""

from __future__ import annotations

from collections.abc import Sequence


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
