"""Whether OpenVINO's labels are those of torch in float32, on held-out scans.

The whole pipeline is run by every backend and precision; DSC between the label maps, organ by
organ, against torch in float32.

    python benchmarks/backends_agree.py --data DIR
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
from few_slices import dice
from results_io import RESULTS, write_result

from slicekit.data.cases import find_cases
from slicekit.errors import DataWarning
from slicekit.inference.model import load_model
from slicekit.inference.pipeline import segment_volume
from slicekit.io import read_volume
from slicekit.runtime import pick_runtime

WAYS = {
    "torch float32": ("torch", "float32"),
    "openvino float32": ("openvino", "float32"),
    "torch bf16": ("torch", "auto"),
    "openvino bf16": ("openvino", "auto"),
}


def main() -> None:
    """Segment every scan in every way, keep how far the labels agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="nnU-Net raw folder")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    warnings.simplefilter("ignore", DataWarning)
    agreed: dict[str, dict[str, list[float]]] = {way: {} for way in list(WAYS)[1:]}
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    models = {
        way: load_model(runtime=pick_runtime("cpu", precision=precision, backend=backend))  # type: ignore[arg-type]
        for way, (backend, precision) in WAYS.items()
    }
    for case in find_cases(args.data).select("val"):
        scan = read_volume(case.image)
        exact = None
        for way, model in models.items():
            done = segment_volume(scan, model)
            labels = done.labels.array
            seconds[way].append(sum(done.seconds.values()))
            exact = labels if exact is None else exact
            for organ, number in model.recipe.labels.ids.items():
                if way in agreed and (exact == number).any():
                    score = dice(labels == number, exact == number)
                    agreed[way].setdefault(organ, []).append(score)
            print(case.name, way, f"{seconds[way][-1]:.1f} s", flush=True)
    figures = {}
    for way, organs in agreed.items():
        figures[f"{way}: mean DSC with torch float32"] = float(
            np.mean([np.mean(values) for values in organs.values()])
        )
        figures[f"{way}: lowest DSC of an organ"] = min(map(min, organs.values()))
    figures |= {f"{way}: seconds a scan": float(np.mean(values)) for way, values in seconds.items()}
    for name, value in figures.items():
        print(f"{name:45s} {value:.4f}")
    rows = [
        {"organ": organ, **{way: float(np.mean(agreed[way][organ])) for way in agreed}}
        for organ in agreed["openvino bf16"]
    ]
    write_result(
        "backends_agree",
        title="The labels of every backend against torch in float32",
        figures=figures,
        rows=rows,
        command="python benchmarks/backends_agree.py --data DIR",
        folder=args.results,
    )


if __name__ == "__main__":
    main()
