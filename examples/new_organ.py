"""A model of your own organ from a few drawn scans, used at once on a scan that nobody drew.

    python examples/new_organ.py DRAWN bladder scan.nii.gz bladder.nii.gz

``DRAWN`` is a dataset as nnU-Net lays it out: dataset.json, imagesTr, labelsTr.
"""

import argparse

import slicekit

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("data")
parser.add_argument("organ", help="its name in dataset.json")
parser.add_argument("scan", help="where to look for it afterwards")
parser.add_argument("out")
parser.add_argument("--start", default="ct_abdomen_reference", help="the model to go on from")
parser.add_argument("--steps", type=int, help="of training; as many as usual if not given")
args = parser.parse_args()

runtime = slicekit.pick_runtime("auto")
made = slicekit.finetune(
    args.data,
    start=args.start,
    out=f"runs/{args.organ}",  # goes on from here after an interruption
    models="models",  # where models are found by name
    runtime=runtime,
    options=slicekit.FinetuneOptions(organs=(args.organ,), name=args.organ, steps=args.steps),
    told=lambda expected: print(f"what to expect: {expected}"),
)
print(made.weights, made.scores)

model = slicekit.load_model(made.recipe, runtime)
scan = slicekit.read_volume(args.scan)
labels = slicekit.segment(scan, model)
slicekit.write_labels(args.out, labels, like=scan, names=model.recipe.labels)
print(args.out, slicekit.statistics(labels, model.recipe.labels)[args.organ]["volume_ml"], "ml")
