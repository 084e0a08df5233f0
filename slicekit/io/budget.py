"""How much memory a volume may take, asked before any of it is taken."""

from __future__ import annotations

from pathlib import Path

from slicekit.errors import ReadError
from slicekit.machine import available_bytes as available_bytes


def expect_within_budget(path: Path, needed: int, budget: int | None) -> None:
    """Refuse a file whose declared content would not fit into memory.

    Args:
        path: The file, for the message.
        needed: Bytes that reading it takes at the most, computed from its header.
        budget: Bytes it may take; half of the available memory when ``None``.

    Raises:
        ReadError: It does not fit.
    """
    allowed = available_bytes() // 2 if budget is None else budget
    if needed > allowed:
        raise ReadError(
            path,
            f"needs {in_words(needed)} of memory by what its header declares, budget "
            f"{in_words(allowed)}; if the header is right, raise the budget or crop the file",
        )


def in_words(size: int) -> str:
    """Write a number of bytes as people do.

    Example:
        >>> in_words(5_500), in_words(144 * 2**40)
        ('5.37 KiB', '144 TiB')
    """
    number, unit = float(size), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB"):
        if number < 1024:
            break
        number, unit = number / 1024, larger
    return f"{number:.0f} {unit}" if number >= 100 or unit == "bytes" else f"{number:.3g} {unit}"
