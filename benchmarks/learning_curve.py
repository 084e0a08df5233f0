"""How a reference's score grew with its training time, from the log of the run.

The peer for one of its points: the plain U-Net given as many minutes on the same single core,
with its own schedule run to the end, `benchmarks/peer_unet.py --minutes M --threads 1`.

    python benchmarks/learning_curve.py runs/reference
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from abdomen_val import SYNAPSE
from results_io import RESULTS, write_result


def curve(lines: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Return one row an evaluation: steps, minutes, mean DSC over 8 and over all organs."""
    rows = []
    pace_s = 0.0
    for line in lines:
        if line["kind"] == "step":
            pace_s = line["s_per_step"]
        elif line["kind"] == "evaluation":
            organs = {k: v for k, v in line.items() if k not in ("step", "kind", "dsc")}
            eight = [organs[organ] for organ in SYNAPSE if organ in organs]
            rows.append(
                {
                    "steps": line["step"],
                    "minutes": line["step"] * pace_s / 60,
                    "dsc_8_organs": float(np.mean(eight)),
                    "dsc_13_organs": line["dsc"],
                }
            )
    return rows


def main() -> None:
    """Read the log, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run of the reference")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    log = (args.run / "log.jsonl").read_text(encoding="utf-8")
    rows = curve([json.loads(line) for line in log.splitlines()])
    peer = json.loads((args.results / "peer_unet.json").read_text(encoding="utf-8"))["figures"]
    given = float(peer["training minutes"])
    near = min(rows, key=lambda row: abs(row["minutes"] - given))
    figures = {
        "peer_minutes": given,
        "peer_dsc_8_organs": peer["mean DSC of 8 organs"],
        "reference_minutes": near["minutes"],
        "reference_dsc_8_organs": near["dsc_8_organs"],
        "ratio_8_organs": near["dsc_8_organs"] / peer["mean DSC of 8 organs"],
        "ratio_13_organs": near["dsc_13_organs"] / peer["mean DSC of 13 organs"],
    }
    for key, value in figures.items():
        print(f"{key:30s} {value:.3f}")
    write_result(
        "learning_curve",
        title="Score against training time: our reference and the plain U-Net",
        figures=figures,
        rows=rows,
        notes=[
            "One core each. The peer's schedule ran to its end, scored on the scans' own grids.",
            "Ours: averaged weights in the middle of a longer schedule, scored on every third",
            "slice of the held-out scans on the model's grid, a little apart from the scans' own.",
        ],
        command="python benchmarks/learning_curve.py RUN",
        folder=args.results,
    )


if __name__ == "__main__":
    main()
