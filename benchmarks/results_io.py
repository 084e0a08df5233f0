"""Keep a benchmark's figures: ``results/NAME.json``, with the command and the machine in words."""

from __future__ import annotations

import json
import math
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from slicekit.io.atomic import write_atomically

RESULTS = Path(__file__).resolve().parent / "results"


def write_result(
    name: str,
    *,
    title: str,
    figures: Mapping[str, float],
    rows: Sequence[Mapping[str, Any]] = (),
    notes: Sequence[str] = (),
    command: str | None = None,
    folder: Path = RESULTS,
) -> Path:
    """Write one benchmark's result, whole or not at all.

    Args:
        name: File name without its ending; one name a benchmark, written over by its next run.
        title: What was measured, as a heading.
        figures: The headline numbers; a number that could not be had is NaN.
        rows: A table, one mapping a line, all with the same keys.
        notes: What a reader must know to believe the figures.
        command: How to run it again; the running command when ``None``.
        folder: Where results are kept.

    Returns:
        The path of the JSON file.

    Raises:
        WriteError: The file could not be written whole.
    """
    content = {
        "name": name,
        "title": title,
        "figures": {key: _number(value) for key, value in figures.items()},
        "rows": [{key: _number(value) for key, value in row.items()} for row in rows],
        "notes": list(notes),
        "command": command or this_command(),
        "machine": machine_in_words(),
        "date": date.today().isoformat(),
    }
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    return write_text(folder / f"{name}.json", text)


def write_text(path: Path, text: str) -> Path:
    """Write a text file whole or not at all.

    Raises:
        WriteError: The file could not be written whole.
    """

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    return write_atomically(path, write)


def this_command() -> str:
    """Return the running command as it would be typed in the checkout."""
    script = Path(sys.argv[0])
    checkout = RESULTS.parents[1]
    if script.resolve().is_relative_to(checkout):
        script = script.resolve().relative_to(checkout)
    return shlex.join(["python", script.as_posix(), *sys.argv[1:]])


def machine_in_words() -> str:
    """Describe processor, memory, accelerator and the versions that decide speed."""
    import torch

    words = [f"{len(os.sched_getaffinity(0))} cores of {_processor()}"]
    words.append(f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB")
    if torch.cuda.is_available():
        words.append(torch.cuda.get_device_name(0))
    words.append(f"Python {platform.python_version()}")
    words.append(f"torch {version('torch')} with {torch.get_num_threads()} threads")
    return ", ".join(words)


def _processor() -> str:
    """Return the processor's name as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    bf16 = ", with AMX" if "amx_bf16" in flags else ""
    return (names[0] if names else platform.machine()) + bf16


def _number(value: Any) -> Any:
    """Round a float to what can be meant; NaN becomes null."""
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value
