"""What this machine is, asked of the system alone, so that it is told without importing torch."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

_CPUINFO = Path("/proc/cpuinfo")
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
_NVIDIA = Path("/proc/driver/nvidia")
_PATIENCE_S = 5.0


class Gpus(NamedTuple):
    """NVIDIA devices, as their driver tells."""

    names: tuple[str, ...]
    """One a device; empty where there is none."""
    source: str
    """Who said so, or where it was looked for in vain."""


def cpu_says(key: str) -> str:
    """Return what Linux says of the first core under a key; nothing on other systems.

    Args:
        key: Such as ``"flags"`` or ``"vendor_id"``.
    """
    try:
        with _CPUINFO.open(encoding="utf-8", errors="replace") as lines:
            found = next((line for line in lines if line.startswith(key)), "")
    except OSError:
        return ""
    return found.partition(":")[2].strip()


def cpu_name() -> str:
    """Return the processor's name as the system tells it."""
    return cpu_says("model name") or platform.processor() or platform.machine()


def cpu_is_intel() -> bool:
    """Tell whether this CPU is one that OpenVINO was made and measured on."""
    return "GenuineIntel" in (cpu_says("vendor_id") or platform.processor())


def cpu_bf16_units() -> tuple[str, ...]:
    """Return which units multiply bfloat16: ``amx_bf16``, ``avx512_bf16``, both or none."""
    flags = cpu_says("flags").split()
    return tuple(unit for unit in ("amx_bf16", "avx512_bf16") if unit in flags)


def usable_cores() -> int:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usual_threads() -> int:
    """Take OMP_NUM_THREADS where it is one number, else the cores this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return usable_cores()


def openvino_is_installed() -> bool:
    """Tell whether the extra ``cpu`` is there; nothing is imported."""
    return all(find_spec(name) is not None for name in ("openvino", "onnx"))


def find_gpus() -> Gpus:
    """Look for NVIDIA devices: in ``/proc/driver/nvidia``, else by ``nvidia-smi``."""
    folder = _NVIDIA / "gpus"
    try:
        files = [entry / "information" for entry in sorted(folder.iterdir())]
        told = [file.read_text(encoding="utf-8", errors="replace") for file in files]
    except OSError:
        told = []
    if told:
        models = [
            line.partition(":")[2].strip()
            for text in told
            for line in text.splitlines()
            if line.startswith("Model:")
        ]
        return Gpus(tuple(models), str(folder))
    program = shutil.which("nvidia-smi")
    if program is None:
        return Gpus((), f"there is neither {folder} nor nvidia-smi")
    words = [program, "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except (OSError, subprocess.SubprocessError) as fault:
        return Gpus((), f"{program} does not answer ({fault})")
    if done.returncode:
        return Gpus((), f"{program} finds none")
    return Gpus(tuple(line.strip() for line in done.stdout.splitlines() if line.strip()), program)


def total_bytes() -> int | None:
    """Return the memory this machine has, ``None`` where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # no such question on this system
        return None


def available_bytes() -> int:
    """Return the memory this process could still take: the machine's, or its container's."""
    found = [_machine_bytes(), _container_bytes()]
    return min(size for size in found if size is not None)


def user_cache() -> Path:
    """Return where this system keeps what may be lost: ``~/.cache/slicekit`` on Linux."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(base)) / "slicekit"  # noqa: PTH111 - raises where no home is


def _machine_bytes() -> int:
    """Return what the machine has left, or half of all it has where that is not told."""
    try:
        for line in _MEMINFO.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    total = total_bytes()
    return 8 * 2**30 if total is None else total // 2


def _container_bytes() -> int | None:
    """Return what the limit of this container leaves, ``None`` where there is none."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            most = (_CGROUP / limit).read_text(encoding="ascii").strip()
            if most != "max":
                taken = int((_CGROUP / used).read_text(encoding="ascii"))
                return max(int(most) - taken, 0)
        except (OSError, ValueError):
            continue
    return None
