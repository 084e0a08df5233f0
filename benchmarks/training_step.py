"""Slices a second in training: our step of cross pseudo supervision and the plain loop beside it.

Ours is the one loop of the library, which makes the next batch while a step is taken. The peer is
what a user of torch, segmentation-models-pytorch and albumentations would write: the same two
networks with equal weights in plain memory order and float32, their losses, AdamW, clipping, an
average of the weights, and every batch made before its step. Both take turns in blocks of steps.

    python benchmarks/training_step.py --data ../shared/data/abdomen_ct
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from plain_training import Block, PlainBatches, peer_block, plain_batch
from results_io import RESULTS, write_result
from torch import Tensor

from slicekit.data.slices import CachedScan
from slicekit.errors import DataWarning
from slicekit.inference.model import build_network, bundled
from slicekit.networks import Committee
from slicekit.recipes import Recipe, read_recipe
from slicekit.runtime import Runtime, pick_runtime
from slicekit.training.cps import cps_step
from slicekit.training.loop import Batches, fit
from slicekit.training.material import gather
from slicekit.training.two_stream import TwoStreamBatches

SETTINGS = (
    "training.method=cps",
    "training.batch=4",
    "training.batch_unlabelled=4",
    "training.phantoms=0",
    "training.held_out_group=",
    "training.checkpoint_every=1000000",
    "training.evaluate_every=1000000",
)
MODEL = bundled("models") / "ct_abdomen_reference.toml"
PEER = "peer"
GIVEN = ", batches given"


class Enough(Exception):
    """All steps of a block are taken."""


def fresh(recipe: Recipe, weights: dict[str, Tensor]) -> Committee:
    """Build the networks in plain memory order, with the weights that all begin with."""
    network = build_network(recipe)
    network.load_state_dict(weights)
    if not isinstance(network, Committee):
        raise SystemExit("cross pseudo supervision is of a reference of two networks")
    return network


def our_block(
    network: Committee, batches: Batches, block: Block, *, recipe: Recipe, runtime: Runtime
) -> float:
    """Take a block of steps by the library's loop; return seconds a step."""
    times: list[float] = []

    def told(_done: int, _steps: int) -> None:
        times.append(time.perf_counter())
        if len(times) == block.steps:
            raise Enough  # before the state is written

    method = partial(cps_step, training=recipe.training)
    with tempfile.TemporaryDirectory() as name, suppress(Enough):
        fit(
            network,
            method,
            batches,
            recipe=recipe,
            out=Path(name),
            runtime=runtime,
            progress=told,
        )
    return (times[-1] - times[block.warm - 1]) / block.measured


def ways_of(
    recipe: Recipe,
    labelled: Sequence[CachedScan],
    free: Sequence[CachedScan],
    runtimes: Sequence[Runtime],
    block: Block,
) -> dict[str, Callable[[], float]]:
    """Return every way to take a block of steps; each gives seconds a step."""
    training = recipe.training.model_copy(update={"steps": 100 * block.steps})
    recipe = recipe.model_copy(update={"training": training})
    torch.manual_seed(0)
    weights = build_network(recipe).state_dict()
    batches = TwoStreamBatches(labelled, phantoms=(), unlabelled=free, recipe=recipe)
    given = [batches(step) for step in range(block.steps + 1)]
    same = [plain_batch(batch) for batch in given]

    def ours(batches: Batches, runtime: Runtime) -> float:
        return our_block(fresh(recipe, weights), batches, block, recipe=recipe, runtime=runtime)

    def peer(make: Callable[[int], Any]) -> float:
        network = fresh(recipe, weights)
        return peer_block(network, make, block, recipe=recipe, device=runtimes[0].device)

    ways: dict[str, Callable[[], float]] = {}
    for runtime in runtimes:
        name = f"ours {runtime.precision}"
        ways[name] = partial(ours, batches, runtime)
        ways[name + GIVEN] = partial(ours, given.__getitem__, runtime)
    ways[PEER] = lambda: peer(PlainBatches(labelled, free, recipe))
    ways[PEER + GIVEN] = lambda: peer(same.__getitem__)
    return ways


def measure(ways: dict[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Take turns; return seconds a step of every block."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats):
        for name, way in ways.items():
            seconds[name].append(way())
            print(f"turn {turn + 1}, {name}: {seconds[name][-1]:.3f} s a step", flush=True)
    return seconds


def rows_of(seconds: dict[str, list[float]], slices: int) -> list[dict[str, Any]]:
    """Return a row a way: medians, slices a second, and how many times faster than its peer."""
    rows = []
    for name, taken in seconds.items():
        peer = seconds[PEER + GIVEN if name.endswith(GIVEN) else PEER]
        rows.append(
            {
                "way": name,
                "seconds_a_step": median(taken),
                "slowest_s": max(taken),
                "slices_a_second": slices / median(taken),
                "times_faster": median(peer) / median(taken),
            }
        )
    return rows


def runtimes_of(device: str, threads: int | None) -> list[Runtime]:
    """Return bf16, where the device multiplies it in hardware, and float32."""
    able = pick_runtime(device, threads=threads, backend="torch")
    return [*([able] if able.bf16 else []), replace(able, bf16=False)]


def notes_of(recipe: Recipe, runtime: Runtime, block: Block, repeats: int) -> list[str]:
    """Say what was measured, and against what."""
    training = recipe.training
    networks = " and ".join(f"{entry.kind} ({entry.preset})" for entry in recipe.networks)
    given = GIVEN.removeprefix(", ")
    return [
        (
            f"{networks}; {training.batch} labelled and {training.batch_unlabelled} unlabelled "
            f"slices of {training.crop[0]} x {training.crop[1]} a step; {runtime.device}, "
            f"{runtime.threads} thread(s) in an operation."
        ),
        (
            f"Medians of {repeats} blocks of {block.measured} steps, all ways in turn; "
            f"{block.warm} steps before each block do not count."
        ),
        (
            "Ours: the library's loop in the precision that is named, channels last; a second "
            "thread makes the next batch meanwhile."
        ),
        (
            "The peer: the same networks and weights in float32 and plain memory order, losses of "
            "segmentation-models-pytorch and torch, albumentations, AdamW, clipping, an average of "
            "the weights tensor by tensor, batches made before each step."
        ),
        f"'{given}': the same tensors for both, made beforehand, so compute alone.",
    ]


def main() -> None:
    """Measure every way, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="nnU-Net raw folder")
    parser.add_argument("--labelled", default="few_labelled", help="group of splits.json")
    parser.add_argument("--unlabelled", default="unlabelled", help="group of splits.json")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--repeats", type=int, default=5, help="blocks of every way")
    parser.add_argument("--steps", type=int, default=6, help="measured steps of a block")
    parser.add_argument("--warm-up", type=int, default=2, help="steps before them")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--set", dest="changes", nargs="*", default=[], help="KEY=VALUE")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    groups = [f"training.{key}_group={getattr(args, key)}" for key in ("labelled", "unlabelled")]
    recipe = read_recipe(args.model, changes=[*SETTINGS, *groups, *args.changes])
    runtimes = runtimes_of(args.device, args.threads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # nothing is scored here
        material = gather(recipe, [args.data], ())
    block = Block(args.warm_up, args.steps)
    seconds = measure(
        ways_of(recipe, material.labelled, material.free, runtimes, block), args.repeats
    )
    training = recipe.training
    rows = rows_of(seconds, training.batch + training.batch_unlabelled)
    figures = {f"{row['way']}: slices a second": row["slices_a_second"] for row in rows}
    figures |= {
        f"{row['way']}: times faster than the peer": row["times_faster"]
        for row in rows
        if not row["way"].startswith(PEER)
    }
    for key, value in figures.items():
        print(f"{key:60s} {value:.2f}")
    write_result(
        "training_step",
        title="Training: slices a second against the plain loop",
        figures=figures,
        rows=rows,
        notes=notes_of(recipe, runtimes[0], block, args.repeats),
        command="python benchmarks/training_step.py --data DIR"
        + (f" --threads {args.threads}" if args.threads else ""),
        folder=args.results,
    )


if __name__ == "__main__":
    main()
