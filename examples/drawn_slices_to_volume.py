"""A few drawn slices to the whole organ, and which slices to draw next.

    python examples/drawn_slices_to_volume.py scan.nii.gz drawn.nii.gz organ.nii.gz

``drawn.nii.gz`` is a label map in which a few slices are drawn, of one organ or of several.
"""

import argparse

import numpy as np

import slicekit

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("scan")
parser.add_argument("drawn", help="label map on the scan's grid")
parser.add_argument("out")
parser.add_argument("--model", default="any_propagator")
args = parser.parse_args()

scan = slicekit.read_volume(args.scan)
drawn = slicekit.read_labels(args.drawn, like=scan).array
session = slicekit.Session(scan, slicekit.load_propagator(args.model))
for organ in np.unique(drawn[drawn > 0]):
    for z in np.flatnonzero((drawn == organ).any(axis=(1, 2))):
        session.add_guide(int(z), drawn[z] == organ, organ=f"label_{organ}")

labels = session.propagate()
slicekit.write_labels(args.out, labels, like=scan, names=session.names)

for organ, figures in slicekit.statistics(labels, session.names).items():
    print(f"{organ}: {figures['volume_ml']:.1f} ml from {len(session.guides[organ])} slices")
for one in session.suggest(3):
    print(f"draw next: slice {one.z} ({one.reason})")
