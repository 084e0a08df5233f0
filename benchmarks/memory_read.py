"""The memory read of a 512 x 512 scan: the bank against the textbook's dense affinity.

Thirteen objects, twenty remembered slices, keys and values drawn at random. The two take turns in
one process, so that whatever else the machine does meets both; the medians are compared.

    python benchmarks/memory_read.py
"""

from __future__ import annotations

import argparse
import runpy
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from results_io import RESULTS, write_result
from torch import Tensor

from slicekit.inference.memory import MemoryBank

TEXTBOOK = runpy.run_path(str(RESULTS.parents[1] / "tests" / "textbook_stcn.py"))
KEY_DIM, VALUE_DIM, TOP_K = 64, 512, 20


def seconds(read: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Run a read once and return how long it took and what it gave."""
    started = time.perf_counter()
    result = read()
    return time.perf_counter() - started, result


@torch.inference_mode()
def measure(*, objects: int, slices: int, side: int, turns: int) -> dict[str, float]:
    """Read one slice of ``side x side`` places, both ways by turns.

    Args:
        objects: Objects that share the memory.
        slices: Remembered slices.
        side: Places along y and x; 1/16 of the pixels.
        turns: Reads of each kind that count; one more goes before and does not.

    Returns:
        Milliseconds of both, their ratio, and the largest absolute difference of their answers in
        millionths; values are drawn from a normal distribution of deviation 1.
    """
    random = torch.Generator().manual_seed(0)
    keys = torch.randn(slices, 1, KEY_DIM, side, side, generator=random)
    values = torch.randn(slices, 1, objects, VALUE_DIM, side, side, generator=random)
    query = torch.randn(1, KEY_DIM, side, side, generator=random)
    bank = MemoryBank.like(keys[0], values[0], slots=slices, top_k=TOP_K)
    for key, value in zip(keys, values, strict=True):
        bank.remember(key, value)
    dense_keys = keys[:, 0].movedim(0, 1).flatten(1)  # (ck, m)
    dense_values = values[:, 0].movedim(0, 2).flatten(2)  # (k, cv, m)
    ours_s, dense_s = [], []
    for turn in range(turns + 1):
        took, ours = seconds(lambda: bank.read(query))
        dense_took, dense = seconds(
            lambda: TEXTBOOK["read_memory"](
                dense_keys, dense_values, query[0].flatten(1), top_k=TOP_K
            )
        )
        if turn:
            ours_s.append(took)
            dense_s.append(dense_took)
    ours_ms, dense_ms = (1e3 * statistics.median(times) for times in (ours_s, dense_s))
    error = (ours[0].flatten(2) - dense).abs().max().item()
    return {
        "bank_ms": ours_ms,
        "textbook_ms": dense_ms,
        "times_faster": dense_ms / ours_ms,
        "largest_error_millionths": 1e6 * error,
    }


def main() -> None:
    """Measure, print, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    figures = measure(objects=13, slices=20, side=32, turns=args.turns)
    for key, value in figures.items():
        print(f"{key:30s} {value:.2f}")
    note = (
        "float32, best 20 of 20,480 places for each of 1,024, keys of 64 and values of 512 "
        f"channels, random numbers; median of {args.turns} reads by turns. The textbook makes the "
        "whole affinity once for all objects and multiplies it with the values of each."
    )
    write_result(
        "memory_read",
        title="Memory read: 13 objects, 20 slices of 512 x 512 remembered",
        figures=figures,
        notes=[note],
        folder=args.results,
    )


if __name__ == "__main__":
    main()
