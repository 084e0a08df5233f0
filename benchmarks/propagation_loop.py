"""Seconds a slice of propagation: the textbook's float32 loop against ours, in turns.

All run the same network (``paper`` preset, random weights) over the same slices with every object
on every slice, and memorise each slice: for good, or only until the next one ("last"). Reading a
slice, choosing labels and writing are not counted.

    python benchmarks/propagation_loop.py --size 512 --objects 1 13 --slices 6
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import torch
from results_io import RESULTS, write_result
from textbook_loop import TOP_K, Textbook
from torch import Tensor

from slicekit.inference.cache import Cache
from slicekit.inference.memory import MemoryBank
from slicekit.inference.openvino_networks import Compiler, OpenVinoSTCN
from slicekit.inference.settings import PropagateSettings
from slicekit.inference.sight import Eyes, Propagator
from slicekit.networks import build
from slicekit.networks.stcn import STCN
from slicekit.runtime import Runtime, openvino_is_installed, pick_runtime

NOTES = (
    "STCN, preset {preset}, random weights, {slices} slices in turns, median without the first.",
    "Every object is on every slice, and every slice is memorised, for good or until the next.",
    "The textbook: float32, dense affinity, objects decoded alone with copies of what is shared.",
    "Agreement: share of pixels with the textbook's label, in the worst slice.",
    "Random weights are undecided and feed errors back: that both are one loop shows in float32.",
)
Step = Callable[[int], Tensor]
"""From a slice's number to ``(k + 1, y, x)`` probabilities; it memorises the slice."""


def ours(
    network: Propagator, runtime: Runtime, frames: Tensor, masks: Tensor, *, every: bool
) -> Step:
    """Return our engine's step behind a guide on slice 0."""
    at_once = PropagateSettings().objects_at_once
    eyes = Eyes(
        lambda z: frames[z], network, runtime, size=frames.shape[2:], objects_at_once=at_once
    )
    guide = eyes.look(0)
    key, value = guide.features.key, eyes.memorise(guide, masks)
    slots = len(frames) if every else 2
    bank = MemoryBank.like(key, value, slots=slots, top_k=TOP_K)
    bank.remember_guide(key, value)

    def step(z: int) -> Tensor:
        sight = eyes.look(z)
        chances = eyes.draw(sight, bank.read(sight.features.key))
        bank.remember(sight.features.key, eyes.memorise(sight, chances[1:]))
        return chances

    return step


def textbook(network: STCN, frames: Tensor, masks: Tensor, *, every: bool) -> Step:
    """Return the textbook's step behind a guide on slice 0."""
    loop = Textbook(network, frames[:1], masks[None])
    return lambda z: loop.step(frames[z, None], keep=every)[0]


def steps_of(
    frames: Tensor, masks: Tensor, *, every: bool, args: argparse.Namespace, cache: Path
) -> dict[str, Step]:
    """Return the step of every engine that can run here."""
    pick = partial(pick_runtime, "cpu", precision=args.precision, threads=args.threads)
    preset, runtime = args.preset, pick(backend="torch")
    torch.manual_seed(0)
    plain = build("stcn", preset).eval()
    state = plain.state_dict()
    fast = runtime.place(build("stcn", preset)).eval()
    fast.load_state_dict(state)
    steps = {
        "textbook": textbook(plain, frames, masks, every=every),
        f"torch {runtime.precision}": ours(fast, runtime, frames, masks, every=every),
    }
    if openvino_is_installed():
        compiler = Compiler(pick(backend="openvino"), Cache(cache), preset)
        compiled = OpenVinoSTCN(plain, compiler)
        steps[f"openvino {runtime.precision}"] = ours(
            compiled, compiler.runtime, frames, masks, every=every
        )
    return steps


def measure(steps: dict[str, Step], slices: int) -> tuple[dict[str, float], dict[str, float]]:
    """Run all engines slice by slice in turns; the first slice only warms up.

    Returns:
        Median seconds a slice, and the share of pixels labelled as the textbook labels them.
    """
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    agreed: dict[str, list[float]] = {name: [] for name in steps}
    for z in range(1, slices + 1):
        labels: dict[str, Tensor] = {}
        for name, step in steps.items():
            started = time.perf_counter()
            chances = step(z)
            seconds[name].append(time.perf_counter() - started)
            labels[name] = chances.argmax(dim=0)
        for name, chosen in labels.items():
            agreed[name].append(float((chosen == labels["textbook"]).float().mean()))
    return (
        {name: median(times[1:] or times) for name, times in seconds.items()},
        {name: min(shares) for name, shares in agreed.items()},
    )


def discs(objects: int, size: int) -> Tensor:
    """Return ``(objects, size, size)`` masks of discs side by side."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    side = int(objects**0.5 + 0.999)
    pitch = size / side
    planes = []
    for k in range(objects):
        y, x = ((k // side + 0.5) * pitch, (k % side + 0.5) * pitch)
        planes.append(((rows - y) ** 2 + (columns - x) ** 2) < (pitch / 3) ** 2)
    return torch.stack(planes).float()


@torch.inference_mode()
def main() -> None:
    """Measure every size, number of objects and way to memorise; keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--size", type=int, nargs="+", default=[512, 256])
    parser.add_argument("--objects", type=int, nargs="+", default=[13, 1])
    parser.add_argument("--slices", type=int, default=6)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--precision", default="auto", help="of ours: auto, float32 or bf16")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    figures: dict[str, float] = {}
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as cache:
        for size in args.size:
            frames = torch.rand(args.slices + 1, 3, size, size, generator=torch.manual_seed(1))
            for objects in args.objects:
                for memory in ("last", "every"):
                    steps = steps_of(
                        frames, discs(objects, size), every=memory == "every", args=args,
                        cache=Path(cache),
                    )  # fmt: skip
                    seconds, agreed = measure(steps, args.slices)
                    case = {"size": size, "objects": objects, "memorised": memory}
                    for name, taken in seconds.items():
                        faster = seconds["textbook"] / taken
                        rows.append(
                            case
                            | {"engine": name, "seconds_a_slice": taken, "times_faster": faster}
                            | {"least_agreement": agreed[name]}
                        )
                        print(rows[-1], flush=True)
                    best = min(list(seconds.values())[1:])
                    figures[
                        f"{objects} objects at {size}, {memory} slice memorised: times faster"
                    ] = seconds["textbook"] / best
    write_result(
        "propagation_loop",
        title="Propagation: seconds a slice against the textbook's loop",
        figures=figures,
        rows=rows,
        notes=[note.format(**vars(args)) for note in NOTES],
        folder=args.results,
    )


if __name__ == "__main__":
    main()
