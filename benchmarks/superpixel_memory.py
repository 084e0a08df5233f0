"""Superpixels in processes of their own: memory by the number of slices, and the first call.

Each figure is of a new process, so that nothing stands in memory from before. Peaks are of the
whole process, Python and compiled code with it, less the slices that go in and the labels that
come out.

    python benchmarks/superpixel_memory.py SLICES.npy --way whole --count 400
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FEW, MANY = 50, 400
"""Slices of which the memory is compared."""
WAYS = ("whole", "each", "first")
"""A stack of slices at once; slices one by one; the first call of a process, timed."""


def peak_mb(status: str) -> float:
    """Return the peak of a process in MB from its ``/proc/PID/status``.

    The peak of ``resource`` will not do: a process inherits it from its parent.
    """
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def repeated(slices: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return so many slices: the given ones again and again."""
    return slices[np.arange(count) % len(slices)]


def measure_peak(slices: NDArray[np.float32], way: str, count: int, segments: int) -> float:
    """Cut so many slices in this process; return its peak in MB beside slices and labels."""
    from slicekit.superpixels.iterative import slic, slic_each

    own = slices.nbytes
    if way == "whole":
        stack = repeated(slices, count)
        own += stack.nbytes + slic(stack, segments, threads=1).nbytes
    else:
        for _ in slic_each(islice(cycle(slices), count), segments, threads=1):
            pass
    return peak_mb(Path("/proc/self/status").read_text(encoding="ascii")) - own / 2**20


def measure_first(slices: NDArray[np.float32], segments: int) -> float:
    """Return the seconds of importing superpixels and cutting one slice in this process."""
    started = time.perf_counter()
    from slicekit.superpixels.iterative import slic

    slic(slices[:1], segments, threads=1)
    return time.perf_counter() - started


def in_new_process(
    slices: Path, way: str, *, count: int = 1, segments: int, compiled: Path
) -> float:
    """Measure one thing in a new process: MB, or seconds of the first call.

    Args:
        slices: File of ``(n, y, x)`` slices.
        way: One of ``WAYS``.
        count: Slices.
        segments: Superpixels of a slice.
        compiled: Folder in which compiled code is kept.
    """
    command = [sys.executable, str(Path(__file__).resolve()), str(slices), "--way", way]
    command += ["--count", str(count), "--segments", str(segments)]
    root = str(Path(__file__).resolve().parents[1])
    ours = {"NUMBA_CACHE_DIR": str(compiled), "PYTHONPATH": root}
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, **ours}
    )
    return float(json.loads(done.stdout))


def figures_of(slices: NDArray[np.float32], segments: int) -> dict[str, float]:
    """Return peaks of few and of many slices, and seconds of the first call, cold and warm."""
    with tempfile.TemporaryDirectory() as folder:
        file, compiled = Path(folder) / "slices.npy", Path(folder) / "compiled"
        np.save(file, slices)

        def measured(way: str, count: int = 1) -> float:
            return in_new_process(file, way, count=count, segments=segments, compiled=compiled)

        first = {"first_call_compiling_s": measured("first"), "first_call_s": measured("first")}
        peaks = {(way, count): measured(way, count) for way in WAYS[:2] for count in (FEW, MANY)}
    return first | told(peaks)


def told(peaks: Mapping[tuple[str, int], float]) -> dict[str, float]:
    """Return peaks by way and count as figures, and what the many take more than the few."""
    figures = {f"{way}_{count}_slices_mb": peak for (way, count), peak in peaks.items()}
    for way in dict.fromkeys(way for way, _ in peaks):
        more = peaks[way, MANY] - peaks[way, FEW]
        figures[f"{way}_mb_more_for_{MANY // FEW}_times_the_slices"] = more
    return figures


def main() -> None:
    """Measure one thing in this process and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slices", type=Path)
    parser.add_argument("--way", choices=WAYS, required=True)
    parser.add_argument("--count", type=int, default=FEW)
    parser.add_argument("--segments", type=int, default=400)
    args = parser.parse_args()
    slices = np.load(args.slices)
    if args.way == "first":
        print(json.dumps(measure_first(slices, args.segments)))
    else:
        print(json.dumps(measure_peak(slices, args.way, args.count, args.segments)))


if __name__ == "__main__":
    main()
