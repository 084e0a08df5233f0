"""A folder of scans to labels and a table of volumes; run it again and it goes on.

    python examples/batch.py scans results

One bad scan never stops the others; the exit code is 2 where one failed.
"""

import argparse
import csv
from pathlib import Path

import slicekit
from slicekit.errors import SlicekitError

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("scans", help="folder of scans")
parser.add_argument("results", help="folder for labels and table")
parser.add_argument("--model", default="ct_abdomen_reference")
args = parser.parse_args()

try:
    model = slicekit.load_model(args.model)
    outcomes = slicekit.segment_folder(
        args.scans,
        args.results,
        model,
        options=slicekit.SegmentOptions(preview=True),
        told=lambda one: print(one.scan.name, one.status, one.fault or f"{one.seconds:.1f} s"),
    )
except SlicekitError as fault:
    raise SystemExit(f"error: {fault}") from None

table = Path(args.results) / "volumes.csv"
with table.open("w", newline="", encoding="utf-8") as file:
    rows = csv.DictWriter(file, ["case", *model.recipe.labels.names])
    rows.writeheader()
    for one in outcomes:
        if one.status in ("done", "skipped"):
            labels = slicekit.read_labels(one.labels)
            found = slicekit.statistics(labels, model.recipe.labels)
            volumes = {organ: figures["volume_ml"] for organ, figures in found.items()}
            rows.writerow({"case": one.labels.name, **volumes})
print(table)
raise SystemExit(2 if any(one.is_fault for one in outcomes) else 0)
