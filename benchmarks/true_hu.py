"""A CT in full HU from another scanner, segmented without a word of advice, and scored.

python benchmarks/true_hu.py --data DIR
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from results_io import RESULTS, write_result

from slicekit.inference.model import load_model
from slicekit.inference.pipeline import segment_volume
from slicekit.io import read_labels, read_volume
from slicekit.metrics import dice
from slicekit.runtime import pick_runtime

NAMES = {
    "spleen": "spleen",
    "right_kidney": "kidney_right",
    "left_kidney": "kidney_left",
    "gallbladder": "gallbladder",
    "esophagus": "esophagus",
    "liver": "liver",
    "stomach": "stomach",
    "aorta": "aorta",
    "inferior_vena_cava": "inferior_vena_cava",
    "portal_splenic_vein": "portal_vein_and_splenic_vein",
    "pancreas": "pancreas",
    "right_adrenal_gland": "adrenal_gland_right",
    "left_adrenal_gland": "adrenal_gland_left",
}
"""Our names to those of the label map."""


def main() -> None:
    """Segment, score, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with totalseg_ct.nii.gz")
    parser.add_argument("--model", default="ct_abdomen_reference")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    names = json.loads((args.data / "totalseg_names.json").read_text(encoding="utf-8"))
    theirs = {name: int(number) for number, name in names.items()}
    scan = read_volume(args.data / "totalseg_ct.nii.gz")
    truth = read_labels(args.data / "totalseg_ct_labels.nii.gz", like=scan).array
    whole = load_model(args.model, pick_runtime())
    found = {
        "pipeline": segment_volume(scan, whole).labels.array,
        "reference_alone": segment_volume(scan, replace(whole, propagator=None)).labels.array,
    }
    rows = []
    for organ, number in whole.recipe.organs.items():
        mask = truth == theirs[NAMES[organ]]
        if mask.any():
            scores = {f"{way}_dsc": dice(mask, guess == number) for way, guess in found.items()}
            rows.append({"organ": organ, "truth_ml": float(mask.sum() * scan.voxel_ml), **scores})
            print(rows[-1])
    write_result(
        "true_hu",
        title="A CT in full HU from another scanner (TotalSegmentator, 3 mm)",
        figures={
            f"{way}_dsc_mean": float(np.mean([row[f"{way}_dsc"] for row in rows])) for way in found
        },
        rows=rows,
        notes=[
            "One scan, never trained on; its labels are another model's output, not made by hand."
        ],
        command="python benchmarks/true_hu.py --data DIR",
        folder=args.results,
    )


if __name__ == "__main__":
    main()
