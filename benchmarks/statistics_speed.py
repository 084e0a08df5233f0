"""Statistics of all organs of a scan: one pass, against a loop over organs and against SimpleITK.

A phantom patient of 512 x 512 x 300 voxels with thirteen organs. All take turns in one process, so
that whatever else the machine does meets all of them; seconds are medians over the turns, and the
figures are ratios. The loop does what is mostly written by hand: a mask an organ, numpy for its
figures, scipy for its components. SimpleITK's filter gives the same figures (and some more), but
no components; counting them as well, organ by organ, is a row of its own.

    python benchmarks/statistics_speed.py
"""

from __future__ import annotations

import argparse
import statistics as middle
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from results_io import RESULTS, write_result
from scipy import ndimage

from slicekit.data.phantom import PHANTOM_LABELS, make_phantom
from slicekit.report.statistics import statistics
from slicekit.volume import Volume

SHAPE = (300, 512, 512)
_COARSER = (3, 2, 2)
_CORNERS = np.ones((3, 3, 3))
Figures = Mapping[str, tuple[int, float]]
"""Organ to voxels and mean intensity, by which the methods are compared."""
Method = Callable[[Volume, Volume], Figures]


def make_scan(shape: tuple[int, int, int], *, seed: int) -> tuple[Volume, Volume]:
    """Make an image and its labels; the phantom is drawn coarser and its voxels are repeated."""
    small = tuple(size // times for size, times in zip(shape, _COARSER, strict=True))
    made = make_phantom(
        np.random.default_rng(seed),
        shape=small,
        spacing_mm=(400 / small[0],) + (350 / small[1],) * 2,
    )
    labels, image = made.labels.array, made.image.array
    for axis, times in enumerate(_COARSER):
        labels, image = (np.repeat(one, times, axis) for one in (labels, image))
    affine = made.image.affine @ np.diag([*(1 / times for times in _COARSER), 1.0])
    return Volume(image, affine), Volume(labels, affine)


def one_pass(image: Volume, labels: Volume) -> Figures:
    """Ours."""
    found = statistics(labels, PHANTOM_LABELS, image=image)
    return {name: (one["voxels"], one["mean"]) for name, one in found.items()}


def organ_loop(image: Volume, labels: Volume) -> Figures:
    """A mask an organ."""
    found = {}
    for name, number in PHANTOM_LABELS.ids.items():
        mask = labels.array == number
        values = image.array[mask]
        where = np.argwhere(mask)
        figures = (
            values.mean(), values.std(), values.min(), values.max(),
            where.mean(0), where.min(0), where.max(0), ndimage.label(mask, _CORNERS)[1],
        )  # fmt: skip
        found[name] = (len(values), float(figures[0]))
    return found


def itk(image: Volume, labels: Volume) -> Figures:
    """SimpleITK's filter of shapes and intensities; no components."""
    peer = SimpleITK.LabelIntensityStatisticsImageFilter()
    peer.Execute(_itk(labels.array), _itk(image.array))
    return {
        name: (peer.GetNumberOfPixels(number), peer.GetMean(number))
        for name, number in PHANTOM_LABELS.ids.items()
    }


def itk_and_components(image: Volume, labels: Volume) -> Figures:
    """The same, and the components of every organ."""
    found, drawn = itk(image, labels), _itk(labels.array)
    for number in PHANTOM_LABELS.ids.values():
        parts = SimpleITK.ConnectedComponentImageFilter()
        parts.FullyConnectedOn()
        parts.Execute(drawn == number)
    return found


METHODS: dict[str, Method] = {
    "ours, one pass": one_pass,
    "a loop over organs, numpy and scipy": organ_loop,
    "SimpleITK, no components": itk,
    "SimpleITK and its components": itk_and_components,
}


def measure(image: Volume, labels: Volume, *, turns: int) -> dict[str, float]:
    """Return each method's seconds, once all are seen to agree."""
    wanted = one_pass(image, labels)
    took: dict[str, list[float]] = {name: [] for name in METHODS}
    for _ in range(turns):
        for name, method in METHODS.items():
            began = time.perf_counter()
            found = method(image, labels)
            took[name].append(time.perf_counter() - began)
            for organ, (voxels, mean) in wanted.items():
                if found[organ][0] != voxels or abs(found[organ][1] - mean) > 1e-3 * abs(mean):
                    raise SystemExit(f"{name}: {organ} is {found[organ]}, ours {voxels, mean}")
    return {name: middle.median(times) for name, times in took.items()}


def ratios(seconds: Mapping[str, float]) -> dict[str, float]:
    """Return our seconds, and how many times longer the others take."""
    ours, loop, alone, whole = (seconds[name] for name in METHODS)
    return {
        "seconds": ours,
        "times_organ_loop": loop / ours,
        "times_simpleitk": alone / ours,
        "times_simpleitk_and_components": whole / ours,
    }


def _itk(array: NDArray[Any]) -> SimpleITK.Image:
    return SimpleITK.GetImageFromArray(array)


def main() -> None:
    """Measure, print, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    image, labels = make_scan(SHAPE, seed=args.seed)
    seconds = measure(image, labels, turns=args.turns)
    figures = ratios(seconds)
    for name, value in {**seconds, **figures}.items():
        print(f"{name:38s} {value:8.2f}")
    threads = SimpleITK.ProcessObject.GetGlobalDefaultNumberOfThreads()
    note = (
        f"Medians of {args.turns} turns in one process. Ours and the loop have one thread, "
        f"SimpleITK {threads}. All agree in voxels and means."
    )
    write_result(
        "statistics_speed",
        title="Statistics of 512 x 512 x 300 voxels and thirteen organs",
        figures=figures,
        rows=[{"method": name, "seconds": value} for name, value in seconds.items()],
        notes=[note],
        folder=args.results,
    )


if __name__ == "__main__":
    main()
