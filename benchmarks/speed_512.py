"""Seconds a stage and peak memory of the command line on a 512 x 512 CT.

A phantom of 512 x 512 x SLICES voxels is segmented by ``infer.py`` in a process of its own;
memory is that process's peak, less the peak of one that only loads torch and the library.

    python benchmarks/speed_512.py --slices 100
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from results_io import RESULTS, write_result

from slicekit.data.phantom import make_phantom
from slicekit.io import write_volume

CHECKOUT = RESULTS.parents[1]
MEASURED = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as done:
    if done.code not in (0, None):
        raise
# Not getrusage: what it tells starts from the peak of the process that started this one.
with open("/proc/self/status") as status:
    peak = next(line.split()[1] for line in status if line.startswith("VmHWM"))
print("PEAK_KIB", peak)
"""


def peak_gib(*words: str) -> float:
    """Run a script in a process of its own and return its peak memory."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *words],
        capture_output=True, text=True, check=True, cwd=CHECKOUT,
    )  # fmt: skip
    return int(done.stdout.rsplit("PEAK_KIB", 1)[1]) / 2**20


def main() -> None:
    """Make the scan, segment it, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=100)
    parser.add_argument("--model", default="ct_abdomen_reference")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scan, out = Path(folder) / "scan.nii.gz", Path(folder) / "labels.nii.gz"
        spacing_mm = (240.0 / args.slices, 0.75, 0.75)
        made = make_phantom(
            np.random.default_rng(5), shape=(args.slices, 512, 512), spacing_mm=spacing_mm
        )
        write_volume(scan, made.image)
        nothing = Path(folder) / "nothing.py"
        nothing.write_text(
            "import slicekit.report.case, slicekit.runtime\nslicekit.runtime.pick_runtime()\n",
            encoding="utf-8",
        )
        base = peak_gib(str(nothing))
        peak = peak_gib("infer.py", str(scan), "-o", str(out), "--model", args.model)
        told = json.loads((Path(folder) / "labels.json").read_text(encoding="utf-8"))
    seconds = {f"{stage}_s": value for stage, value in told["seconds"].items()}
    figures = {
        **seconds,
        "total_s": sum(seconds.values()),
        "peak_gib": peak,
        "interpreter_with_torch_gib": base,
        "above_interpreter_gib": peak - base,
    }
    for key, value in figures.items():
        print(f"{key:30s} {value:.2f}")
    write_result(
        f"speed_512x512x{args.slices}",
        title=f"Speed: 512 x 512 x {args.slices}, 13 organs, from file to files",
        figures=figures,
        notes=[f"A phantom with all 13 organs; {told['runtime']}; {len(told['guides'])} guides."],
        folder=args.results,
    )


if __name__ == "__main__":
    main()
