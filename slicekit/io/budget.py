"""How much memory a volume may take, asked before any of it is taken."""

from __future__ import annotations

import os
from pathlib import Path

from slicekit.errors import ReadError


def available_bytes() -> int:
    """Return the memory this process could still take: the machine's, or its container's."""
    found = [_machine_bytes(), _container_bytes()]
    return min(size for size in found if size is not None)


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


def _machine_bytes() -> int:
    """Return what the machine has left, or half of all it has where that is not told."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):  # no such question on this system
        return 8 * 2**30


def _container_bytes() -> int | None:
    """Return what the limit of this container leaves, ``None`` where there is none."""
    folder = Path("/sys/fs/cgroup")
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            most = (folder / limit).read_text(encoding="ascii").strip()
            if most != "max":
                taken = int((folder / used).read_text(encoding="ascii"))
                return max(int(most) - taken, 0)
        except (OSError, ValueError):
            continue
    return None
