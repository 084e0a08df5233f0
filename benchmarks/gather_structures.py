"""Lay out every labelled structure at hand as nnU-Net raw folders, for the propagator to learn.

Scans are linked, not copied. Four MR scans of the abdomen are held out; so is the `val` group of
the CT dataset. Names of structures matter to nobody here: a propagator follows whatever it is
shown.

    python benchmarks/gather_structures.py --shared DATA --out DIR
    python train.py models/any_propagator.toml --data DIR/* --out RUN

With ``--leave-out spleen`` no labels hold the spleen, to see what an organ never learnt comes to.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import cv2
import numpy as np

from slicekit.data.cases import find_cases
from slicekit.io import read_labels, read_volume, write_volume
from slicekit.volume import Volume

HELD_OUT_MR = 4
FOLDER_SPACING_MM = (3.0, 0.75, 0.75)


def link(source: Path, target: Path) -> None:
    """Point to a file instead of copying it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    target.symlink_to(source.resolve())


def link_dataset(source: Path, target: Path, splits: dict[str, list[str]] | None) -> None:
    """Link a dataset that is laid out already, with splits of our own where it has none."""
    for path in (*source.glob("imagesTr/*"), *source.glob("labelsTr/*"), source / "dataset.json"):
        link(path, target / path.relative_to(source))
    if splits is not None:
        (target / "splits.json").write_text(json.dumps(splits), encoding="utf-8")
    elif (source / "splits.json").exists():
        link(source / "splits.json", target / "splits.json")


def describe(target: Path, ids: set[int]) -> None:
    """Write a dataset.json for structures without names."""
    labels = {"background": 0, **{f"structure_{number}": number for number in sorted(ids)}}
    description = {"channel_names": {"0": "any"}, "labels": labels, "file_ending": ".nii.gz"}
    (target / "dataset.json").write_text(json.dumps(description), encoding="utf-8")


def link_scan(image: Path, labels: Path, target: Path) -> None:
    """Make a dataset of one scan."""
    link(image, target / "imagesTr" / f"{image.name.removesuffix('.nii.gz')}_0000.nii.gz")
    link(labels, target / "labelsTr" / image.name)
    known = read_labels(labels, like=read_volume(image))
    describe(target, set(np.unique(known.array).tolist()) - {0})


def from_pictures(folder: Path, target: Path) -> None:
    """Make a dataset of a slice folder: the liver is 1, its lesions are 2."""
    paths = sorted((folder / "images").iterdir(), key=lambda p: int(re.findall(r"\d+", p.stem)[-1]))
    images = np.stack([cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths])
    masks = np.stack(
        [cv2.imread(str(folder / "masks" / path.name), cv2.IMREAD_GRAYSCALE) for path in paths]
    )
    ids = np.select([masks > 191, masks > 63], [2, 1], 0).astype(np.uint8)
    affine = np.diag([*FOLDER_SPACING_MM[::-1], 1.0])[:, [2, 1, 0, 3]]  # z, y, x to x, y, z
    volume = Volume(images.astype(np.int16), affine)
    (target / "imagesTr").mkdir(parents=True, exist_ok=True)
    (target / "labelsTr").mkdir(parents=True, exist_ok=True)
    name = folder.name
    write_volume(target / "imagesTr" / f"{name}_0000.nii.gz", volume, overwrite=True)
    write_volume(target / "labelsTr" / f"{name}.nii.gz", volume.with_array(ids), overwrite=True)
    describe(target, {1, 2})


def leave_out(target: Path, number: int) -> None:
    """Write a dataset's labels anew, with one id made background."""
    for case in find_cases(target).cases:
        if case.labels is None:
            continue
        labels = read_labels(case.labels, like=read_volume(case.image))
        case.labels.unlink()  # a link: the file it points to stays
        kept = np.where(labels.array == number, 0, labels.array)
        write_volume(case.labels, Volume(kept, labels.affine))


def ids_of(shared: Path, organ: str) -> dict[str, int]:
    """Return the datasets that know an organ, and its id there."""
    found = {}
    for name in ("abdomen_ct", "abdomen_mr"):
        text = (shared / name / "dataset.json").read_text(encoding="utf-8")
        found[name] = json.loads(text)["labels"].get(organ)
    for name in ("totalseg_ct", "amos_0013"):
        stem = name.removesuffix("_ct")
        text = (shared / "true_hu_ct" / f"{stem}_names.json").read_text(encoding="utf-8")
        names = {str(organ): int(number) for number, organ in json.loads(text).items()}
        found[name] = names.get(organ)
    return {name: number for name, number in found.items() if number is not None}


def main() -> None:
    """Lay out all sources."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder of the datasets")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--leave-out", metavar="ORGAN", help="make it background everywhere")
    args = parser.parse_args()
    names = sorted(
        path.name.removesuffix(".nii.gz")
        for path in (args.shared / "abdomen_mr" / "labelsTr").iterdir()
    )
    mr = {"train": names[:-HELD_OUT_MR], "val": names[-HELD_OUT_MR:]}
    link_dataset(args.shared / "abdomen_ct", args.out / "abdomen_ct", None)
    link_dataset(args.shared / "abdomen_mr", args.out / "abdomen_mr", mr)
    link_dataset(args.shared / "cardiac_mr", args.out / "cardiac_mr", None)
    for name in ("totalseg_ct", "amos_0013"):
        scan = args.shared / "true_hu_ct" / f"{name}.nii.gz"
        link_scan(scan, scan.with_name(f"{name}_labels.nii.gz"), args.out / name)
    for name in ("lits_00", "lits_01"):
        from_pictures(args.shared / "slice_folders" / name, args.out / name)
    if args.leave_out:
        for name, number in ids_of(args.shared, args.leave_out).items():
            leave_out(args.out / name, number)
    print(*sorted(path.name for path in args.out.iterdir()))


if __name__ == "__main__":
    main()
