"""How well superpixels fit organs: ours, merged and not, against Felzenszwalb.

Of every organ in every slice two things are asked: the Dice score of the single region that fits
best, and that of the union of all regions of which more than half is the organ. The first says how
good a pseudo organ can be drawn, the second how well borders are kept. Held-out cases are left out.

    python benchmarks/superpixel_quality.py --data DATA
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pseudo_regions import TINY_PX
from results_io import RESULTS, write_result
from skimage import segmentation

from slicekit.io import read_labels, read_volume
from slicekit.superpixels.body import foreground
from slicekit.superpixels.iterative import slic
from slicekit.superpixels.merging import merge

LEAST_PX = 50
"""Smaller organs are not asked for."""
FOLDERS = {"abdomen_mr": 1, "abdomen_ct": 4}
"""Data sets, and of how many organ slices one is taken: the CT has more and thinner ones."""


class Scan(NamedTuple):
    """One scan, its organs and its body, ``(z, y, x)`` each."""

    slices: NDArray[np.float32]
    organs: NDArray[np.uint8]
    body: NDArray[np.bool_]


def felzenszwalb(scan: Scan, *, scale: float, min_size: int) -> NDArray[np.int32]:
    """Felzenszwalb on standardised slices, kept inside the body."""
    found = np.zeros(scan.slices.shape, dtype=np.int32)
    for z, one in enumerate(scan.slices):
        scaled = (one - one.mean()) / max(1e-6, float(one.std()))
        found[z] = 1 + segmentation.felzenszwalb(
            scaled.astype(np.float64), scale=scale, min_size=min_size, sigma=1
        )
    return np.where(scan.body, found, 0)


def ours(
    scan: Scan,
    segments: int,
    regions: int | None = None,
    *,
    fast: bool = False,
    whole: bool = False,
) -> NDArray[np.int32]:
    """SLIC in the body or the whole slice, merged where a number of regions is given."""
    labels = slic(scan.slices, segments, mask=None if whole else scan.body, fast=fast)
    return labels if regions is None else merge(labels, scan.slices, regions)


METHODS: dict[str, Callable[[Scan], NDArray[np.int32]]] = {
    "Felzenszwalb as in SSL-ALPNet": lambda s: felzenszwalb(s, scale=1, min_size=400),
    "Felzenszwalb, scale 100": lambda s: felzenszwalb(s, scale=100, min_size=400),
    "Felzenszwalb, scale 300": lambda s: felzenszwalb(s, scale=300, min_size=400),
    "SLIC 400 merged to 25": lambda s: ours(s, 400, 25),
    "SLIC 400 merged to 25, fast": lambda s: ours(s, 400, 25, fast=True),
    "SLIC 400 merged to 25, whole slice": lambda s: ours(s, 400, 25, whole=True),
    "SLIC 400 merged to 100": lambda s: ours(s, 400, 100),
    "SLIC 400": lambda s: ours(s, 400),
    "SLIC 400, whole slice": lambda s: ours(s, 400, whole=True),
    "SLIC 100": lambda s: ours(s, 100),
    "SLIC 25": lambda s: ours(s, 25),
}


def read_scans(folder: Path, *, every: int) -> Iterator[Scan]:
    """Yield the training scans of a folder, only slices with organs, some left out."""
    splits = folder / "splits.json"
    held_out = set(json.loads(splits.read_text(encoding="utf-8"))["val"]) if splits.exists() else {}
    for path in sorted((folder / "imagesTr").glob("*_0000.nii.gz")):
        name = path.name.removesuffix("_0000.nii.gz")
        if name in held_out:
            continue
        image = read_volume(path)
        truth = read_labels(folder / "labelsTr" / f"{name}.nii.gz", like=image).array
        chosen = np.flatnonzero(truth.any(axis=(1, 2)))[::every]
        slices = image.array.astype(np.float32)
        yield Scan(slices[chosen], truth[chosen].astype(np.uint8), foreground(slices)[chosen])


def fits(labels: NDArray[np.int32], organs: NDArray[np.uint8]) -> Iterator[tuple[float, float]]:
    """Yield for every organ of a slice the Dice of the best region and of the union."""
    count = int(labels.max()) + 1
    pairs = organs.astype(np.int64).ravel() * count + labels.ravel()
    shared = np.bincount(pairs, minlength=256 * count).reshape(256, count)
    sizes = shared.sum(axis=0)
    for organ in shared[1:]:
        if organ.sum() < LEAST_PX:
            continue
        single = 2 * organ[1:] / (sizes[1:] + organ.sum())
        mostly = 2 * organ > sizes
        mostly[0] = False
        union = 2 * organ[mostly].sum() / (sizes[mostly].sum() + organ.sum())
        yield float(single.max(initial=0.0)), float(union)


def describe(scans: list[Scan], cut: Callable[[Scan], NDArray[np.int32]]) -> dict[str, float]:
    """Return a method's scores over all organ slices, and what is to be said of its regions."""
    scores: list[tuple[float, float]] = []
    regions = air = empty = tiny = 0
    for scan in scans:
        for labels, organs, body in zip(cut(scan), scan.organs, scan.body, strict=True):
            scores += fits(labels, organs)
            sizes = np.bincount(labels.ravel())[1:]
            inside = np.bincount(labels[body], minlength=len(sizes) + 1)[1:]
            regions += int(np.count_nonzero(sizes))
            air += int(np.count_nonzero((sizes > 0) & (2 * inside < sizes)))
            empty += int(np.count_nonzero((sizes > 0) & (inside == 0)))
            tiny += int(np.count_nonzero((inside > 0) & (inside < TINY_PX)))
    best, union = np.array(scores).mean(axis=0) * 100
    return {
        "organ_slices": len(scores),
        "regions": regions / sum(len(scan.slices) for scan in scans),
        "best_region": float(best),
        "union": float(union),
        "in_air_percent": 100 * air / max(1, regions),
        "empty_percent": 100 * empty / max(1, regions),
        "tiny_percent": 100 * tiny / max(1, regions),
    }


def main() -> None:
    """Measure, print, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    rows: list[dict[str, object]] = []
    figures: dict[str, float] = {}
    for folder, every in FOLDERS.items():
        scans = list(read_scans(args.data / folder, every=every))
        found = {name: describe(scans, cut) for name, cut in METHODS.items()}
        for name, row in found.items():
            rows.append({"data": folder, "method": name, **row})
            print(folder, name, {key: round(value, 1) for key, value in row.items()}, flush=True)
        base, merged = found["Felzenszwalb as in SSL-ALPNet"], found["SLIC 400 merged to 25"]
        for key in ("best_region", "union"):
            figures[f"{folder}_{key}"] = merged[key]
            figures[f"{folder}_{key}_over_felzenszwalb"] = merged[key] - base[key]
    measures = (
        f"Organs of at least {LEAST_PX} pixels in a slice; Dice in percent, mean over organ "
        "slices. All inside the body but for 'whole slice'. Of all regions, any of which could be "
        "drawn as a pseudo organ: in air, less than half is body; empty, nothing is; tiny, fewer "
        f"than {TINY_PX} pixels are. Inside the body the first two are 0 by construction; what is "
        "drawn in the end is counted by pseudo_organ_draws.py."
    )
    choice = (
        "SLIC's compactness and the criterion of merging were chosen on a part of these slices; "
        "Felzenszwalb's scale is given for several values."
    )
    write_result(
        "superpixel_quality",
        title="Superpixels against organs drawn by hand",
        figures=figures,
        rows=rows,
        notes=[measures, choice],
        folder=args.results,
    )


if __name__ == "__main__":
    main()
