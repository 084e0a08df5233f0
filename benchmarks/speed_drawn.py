"""Seconds and peak memory of carrying three drawn slices of each of 13 organs through a CT.

A phantom of 512 x 512 x SLICES voxels and three slices of its truth an organ go through
``slicekit propagate`` in a process of its own. Memory is that process's peak, less the peak of one
that only loads torch and the library. The networks were converted for OpenVINO before.

    python benchmarks/speed_drawn.py --slices 100 500
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from few_slices import middles
from results_io import RESULTS, write_result
from speed_512 import peak_gib

from slicekit.data.phantom import make_phantom
from slicekit.io import read_volume, write_labels, write_volume

GUIDES = 3


def prepare(folder: Path, slices: int) -> tuple[Path, Path, float]:
    """Write a phantom and its drawn slices; return both and the GiB of the volume."""
    spacing_mm = (240.0 / slices, 0.75, 0.75)
    made = make_phantom(np.random.default_rng(5), shape=(slices, 512, 512), spacing_mm=spacing_mm)
    scan = write_volume(folder / "scan.nii.gz", made.image)
    drawn = np.zeros_like(made.labels.array)
    for number in np.unique(made.labels.array)[1:]:
        organ = made.labels.array == number
        for z in middles(organ, GUIDES):
            drawn[z][organ[z]] = number
    guides = write_labels(folder / "drawn.nii.gz", drawn, like=read_volume(scan))
    return scan, guides, made.image.array.nbytes / 2**30


def measure(folder: Path, scan: Path, guides: Path, *, backend: str) -> dict[str, float]:
    """Return seconds and memory of one run."""
    nothing = folder / "nothing.py"
    nothing.write_text(
        "import slicekit.report.carrying, slicekit.runtime\nslicekit.runtime.pick_runtime()\n",
        encoding="utf-8",
    )
    command = folder / "command.py"
    command.write_text("from slicekit.cli import main\nmain()\n", encoding="utf-8")
    base = peak_gib(str(nothing))
    out = folder / f"{backend}.nii.gz"
    words = [str(command), "propagate", str(scan), str(guides), "-o", str(out)]
    peak = peak_gib(*words, "--backend", backend)
    told = json.loads((folder / f"{backend}.json").read_text(encoding="utf-8"))
    seconds = told["seconds"]
    return {
        "propagate_s": seconds["propagate"],
        "total_s": sum(seconds.values()),
        "above_interpreter_gib": peak - base,
    }


def main() -> None:
    """Measure every size with every backend, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--backends", nargs="+", default=["openvino", "torch"])
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    figures: dict[str, float] = {}
    for slices in args.slices:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            scan, guides, volume_gib = prepare(folder, slices)
            figures[f"{slices} slices: volume_gib"] = volume_gib
            for backend in args.backends:
                for key, value in measure(folder, scan, guides, backend=backend).items():
                    figures[f"{slices} slices, {backend}: {key}"] = value
                    print(f"{slices} slices, {backend}: {key:24s} {value:.2f}", flush=True)
    write_result(
        "speed_drawn",
        title="Speed: three drawn slices of each of 13 organs, 512 x 512, from file to file",
        figures=figures,
        notes=["A phantom with all 13 organs over 240 mm, however many slices it is cut into."],
        folder=args.results,
    )


if __name__ == "__main__":
    main()
