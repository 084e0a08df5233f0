"""An organ drawn in one patient, found in another: nothing is trained.

    python examples/another_patient.py anna.nii.gz anna_labels.nii.gz ben.nii.gz found.nii.gz

What comes out is a proposal: look at it.
"""

import argparse

import numpy as np

import slicekit

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("support", help="a scan on which organs were drawn")
parser.add_argument("drawn", help="label map on its grid")
parser.add_argument("query", help="another patient's scan of the same kind")
parser.add_argument("out")
parser.add_argument("--model", default="abdomen_ct_fewshot", help="abdomen_mr_fewshot for MR")
args = parser.parse_args()

support = slicekit.read_volume(args.support)
drawn = slicekit.read_labels(args.drawn, like=support)
query = slicekit.read_volume(args.query)
ids = np.unique(drawn.array[drawn.array > 0])
names = slicekit.LabelSet({f"label_{number}": int(number) for number in ids})

found = slicekit.find_organs(query, support, drawn, names, slicekit.load_fewshot(args.model))
slicekit.write_labels(args.out, found.labels, like=query, names=names)
for guide in found.guides:
    print(f"slice {guide.z}: {guide.organ} trusted ({guide.reason})")
for organ in found.missing:
    print(f"{organ} was not found; draw a slice of it in the query and propagate that")
