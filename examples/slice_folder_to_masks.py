"""A folder of PNG slices to a folder of masks: one PNG a slice, named as the slice.

    python examples/slice_folder_to_masks.py slices organs

Pictures know neither millimetres nor Hounsfield units, so both are said here.
"""

import argparse

import slicekit

GRAY_RANGE_HU = (-125.0, 275.0)  # what black and white stand for
SPACING_MM = (3.0, 0.8, 0.8)  # between slices, rows and columns

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("slices", help="folder of PNG, JPEG, TIFF or NPY slices")
parser.add_argument("masks", help="folder that takes the masks; it must not hold any yet")
parser.add_argument("--model", default="ct_abdomen_reference")
args = parser.parse_args()

scan = slicekit.read_volume(args.slices, gray_range=GRAY_RANGE_HU, spacing_mm=SPACING_MM)
model = slicekit.load_model(args.model)
labels = slicekit.segment(scan, model)  # (z, y, x), an id a voxel, 0 is background
slicekit.write_labels(args.masks, labels, like=scan, names=model.recipe.labels)

for organ, figures in slicekit.statistics(labels, model.recipe.labels).items():
    print(f"{organ:22} {figures['volume_ml']:8.1f} ml")
