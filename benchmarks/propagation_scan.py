"""Seconds of a whole real scan, organs followed only where they are, against the textbook's loop.

Every n-th slice is a guide that tells all organs of the scan. The textbook carries every organ over
every slice, both ways; ours carries an organ through the gaps at whose ends it is. Both run the
same network (``paper`` preset, random weights). The textbook's seconds a slice are measured on a
few slices and multiplied, as all its slices cost the same.

    python benchmarks/propagation_scan.py --data DIR
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from propagation_loop import discs, textbook
from results_io import RESULTS, write_result
from torch import Tensor

from slicekit.data.cases import find_cases
from slicekit.inference.cache import Cache
from slicekit.inference.guides import Guide
from slicekit.inference.openvino_networks import Compiler, OpenVinoSTCN
from slicekit.inference.propagate import propagate
from slicekit.inference.settings import PropagateSettings
from slicekit.inference.sight import FrameSource, Propagator
from slicekit.inference.walk import gaps
from slicekit.io import read_labels, read_volume
from slicekit.networks import build
from slicekit.networks.stcn import STCN
from slicekit.runtime import Runtime, openvino_is_installed, pick_runtime
from slicekit.windows import Window, three_channels

WINDOWS = [Window.from_range(*ends) for ends in ((-125.0, 275.0), (0.0, 160.0), (90.0, 260.0))]
WARM_AND_MEASURED = 4
SIZE = 512


def resized(planes: NDArray[np.generic], *, like_labels: bool) -> Tensor:
    """Return ``(n, 512, 512)`` float32 of slices of any size."""
    values = torch.from_numpy(planes.astype(np.float32))[:, None]
    if like_labels:
        return torch.nn.functional.interpolate(values, (SIZE, SIZE), mode="nearest")[:, 0]
    return torch.nn.functional.interpolate(values, (SIZE, SIZE), mode="bilinear")[:, 0]


def engines() -> dict[str, Runtime]:
    """Return the runtimes that can be had here, by name."""
    found = {"torch": pick_runtime("cpu", backend="torch")}
    if openvino_is_installed():
        found["openvino"] = pick_runtime("cpu", backend="openvino")
    return found


def textbook_s(network: STCN, frame: FrameSource, objects: int) -> float:
    """Return the textbook's seconds a slice and way."""
    frames = torch.stack([frame(z) for z in range(WARM_AND_MEASURED + 1)])
    step = textbook(network, frames, discs(objects, SIZE), every=False)
    taken = []
    for z in range(1, WARM_AND_MEASURED + 1):
        started = time.perf_counter()
        step(z)
        taken.append(time.perf_counter() - started)
    return median(taken[1:])


def ours_s(
    network: Propagator, frame: FrameSource, guides: list[Guide], slice_mm: float,
    *, runtime: Runtime, memory_every_mm: float,
) -> float:  # fmt: skip
    """Return our seconds a scan; its first gap is walked before, to warm up."""
    settings = replace(PropagateSettings(), memory_every_mm=memory_every_mm)
    for chosen in (guides[:2], guides):
        started = time.perf_counter()
        for _ in propagate(
            frame, chosen, network, length=chosen[-1].z + 1, slice_mm=slice_mm, runtime=runtime,
            settings=settings,
        ):  # fmt: skip
            pass
    return time.perf_counter() - started


def ours(
    plain: STCN, frame: FrameSource, guides: list[Guide], *, slice_mm: float, book_s: float
) -> dict[str, float]:
    """Return the seconds a scan of every backend and stride, and how many times faster that is."""
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as cache:
        for name, runtime in engines().items():
            network: Propagator
            if name == "openvino":
                network = OpenVinoSTCN(plain, Compiler(runtime, Cache(Path(cache)), "paper"))
            else:
                network = runtime.place(build("stcn", "paper")).eval()
                network.load_state_dict(plain.state_dict())
            for memory, every_mm in (("every slice", 0.0), ("every 15 mm", 15.0)):
                taken = ours_s(
                    network, frame, guides, slice_mm, runtime=runtime,
                    memory_every_mm=every_mm,
                )  # fmt: skip
                told = f"{name} {runtime.precision}, {memory} memorised"
                figures[f"{told}: seconds a scan"] = taken
                figures[f"{told}: times faster"] = book_s / taken
    return figures


@torch.inference_mode()
def main() -> None:
    """Measure one scan; keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="nnU-Net folder with labels")
    parser.add_argument("--every", type=int, default=10, help="slices from guide to guide")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    dataset = find_cases(args.data)
    case = dataset.select("val")[0]
    image = read_volume(case.image)
    planes = resized(image.array, like_labels=False).numpy()
    known = read_labels(case.labels or case.image, like=image).array
    labels = resized(known, like_labels=True).numpy().astype(np.uint8)
    ids = frozenset(dataset.labels.ids.values())
    zs = sorted({*range(0, len(labels), args.every), len(labels) - 1})
    guides = [Guide(z, labels[z], ids) for z in zs]

    def frame(z: int) -> Tensor:
        return torch.from_numpy(three_channels(planes[z, None], WINDOWS))[0]

    torch.manual_seed(0)
    plain = build("stcn", "paper").eval()
    slice_s = textbook_s(plain, frame, len(ids))
    book_s = slice_s * 2 * sum(len(gap.slices) for gap in gaps(len(labels), zs))
    figures = {
        "slices": float(len(labels)),
        "guides": float(len(zs)),
        "organs on a slice": float(np.mean([len(np.unique(plane)) - 1 for plane in labels])),
        "textbook: seconds a scan": book_s,
    }
    figures |= ours(plain, frame, guides, slice_mm=image.spacing_mm[0], book_s=book_s)
    for key, value in figures.items():
        print(f"{key:60s} {value:.2f}")
    write_result(
        "propagation_scan",
        title="Propagation of a real scan against the textbook's loop",
        figures=figures,
        notes=[
            f"{case.name} at 512 x 512, {len(ids)} organs, a guide on every {args.every}th slice.",
            "STCN, preset paper, random weights, both ways between the guides.",
            f"The textbook: {slice_s:.1f} s a slice and way, all organs, the last slice memorised.",
            "Ours: an organ costs something only between guides of which one shows it.",
        ],
        command=f"python benchmarks/propagation_scan.py --data DIR --every {args.every}",
        folder=args.results,
    )


if __name__ == "__main__":
    main()
