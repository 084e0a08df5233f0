"""How much memory a piece of work takes at its peak."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_MIB = 2**20


class Peak(NamedTuple):
    """The most memory that was in use at one time."""

    memory_mib: float | None
    """Of this process; ``None`` where the system does not tell."""
    gpu_memory_mib: float | None
    """Of torch's tensors on the GPU; ``None`` without one."""


def forget_peak() -> None:
    """Begin to measure anew, as far as the system can; else the peak is that of the process."""
    with suppress(OSError):
        _CLEAR.write_text("5", encoding="ascii")
    cuda = _cuda()
    if cuda is not None:
        cuda.reset_peak_memory_stats()


def peak() -> Peak:
    """Return the peak since ``forget_peak``."""
    cuda = _cuda()
    taken = None if cuda is None else round(cuda.max_memory_allocated() / _MIB, 1)
    return Peak(_process_mib(), taken)


def give_back() -> None:
    """Give what a failed piece of work held back to the system."""
    import gc

    gc.collect()
    cuda = _cuda()
    if cuda is not None:
        cuda.empty_cache()


def _cuda() -> Any:
    """Return torch's module for GPUs where this process uses one already."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def _process_mib() -> float | None:
    try:
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024, 1)
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # not on every system
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MIB, 1)
