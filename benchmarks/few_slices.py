"""From a few true slices to the whole organ: propagation, interpolation, and copying.

Guides are the true masks at the middles of k equal parts of each organ's extent; nothing else is
known. The same scans then tell how far organs are carried beyond their ends, with and without
the stop rule, and what a suggested slice is worth against an even and a random one.

    python benchmarks/few_slices.py --shared DATA
    python benchmarks/few_slices.py --shared DATA --model RUN --left-out spleen
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gather_structures import HELD_OUT_MR
from numpy.typing import NDArray
from results_io import RESULTS, write_result

from slicekit.checkpoint import load_weights
from slicekit.data.cases import find_cases
from slicekit.errors import DataWarning
from slicekit.inference.model import Carrier, find_weights, load_propagator
from slicekit.inference.session import Session
from slicekit.inference.stretch import FollowSettings
from slicekit.io import read_labels, read_volume
from slicekit.runtime import pick_runtime
from slicekit.volume import Volume

NO_STOP = FollowSettings(least_certainty=0.0, vanish_mm=10_000.0)
ROUNDS = 3

Masks = Mapping[str, NDArray[np.bool_]]
"""Organ to ``(z, y, x)``."""


class Scan(NamedTuple):
    """A held-out scan and its truth."""

    name: str
    image: Volume
    truth: Masks


def scans(shared: Path) -> Iterator[tuple[str, Scan]]:
    """Yield the held-out scans, one by one, each with its dataset's name."""
    ct = find_cases(shared / "abdomen_ct")
    mr = find_cases(shared / "abdomen_mr")
    for group, dataset, cases in (
        ("abdomen_ct", ct, ct.select("val")),
        ("abdomen_mr", mr, mr.cases[-HELD_OUT_MR:]),
    ):
        for case in cases:
            image = read_volume(case.image)
            known = read_labels(case.labels or case.image, like=image).array
            truth = {
                organ: known == number
                for organ, number in dataset.labels.ids.items()
                if (known == number).any()
            }
            yield group, Scan(case.name, image, truth)


def middles(mask: NDArray[np.bool_], count: int) -> list[int]:
    """Return the slices at the middles of equal parts of an organ's extent."""
    held = np.flatnonzero(mask.any(axis=(1, 2)))
    first, extent = int(held[0]), int(held[-1] - held[0] + 1)
    found = {first + int(extent * (2 * n + 1) / (2 * count)) for n in range(count)}
    return sorted(z for z in found if mask[z].any())


def carry(
    scan: Scan,
    drawn: Mapping[str, Sequence[int]],
    carrier: Carrier | None,
    settings: FollowSettings | None = None,
) -> tuple[Masks, Session]:
    """Draw slices, carry them, return what came out of each organ."""
    session = Session(scan.image, carrier)
    if settings is not None and session.follower is not None:
        session.follower = replace(session.follower, settings=settings)
    for organ, zs in drawn.items():
        for z in zs:
            session.add_guide(z, scan.truth[organ][z], organ=organ)
    labels = session.propagate().array
    return {organ: labels == number for organ, number in session.names.ids.items()}, session


def copied(scan: Scan, drawn: Mapping[str, Sequence[int]]) -> Masks:
    """Copy the nearest drawn slice, beyond the outermost as far as between them."""
    found = {}
    for organ, zs in drawn.items():
        out = np.zeros_like(scan.truth[organ])
        reach = np.diff(zs) / 2 if len(zs) > 1 else [0.0]
        low, high = zs[0] - reach[0], zs[-1] + reach[-1]
        for z in range(len(out)):
            if low <= z <= high:
                out[z] = scan.truth[organ][min(zs, key=lambda near: abs(near - z))]
        found[organ] = out
    return found


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """DSC of two masks of which one holds something."""
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def beyond(guess: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Slices filled beyond the true ends, mean of both ends."""
    ours = np.flatnonzero(guess.any(axis=(1, 2)))
    real = np.flatnonzero(truth.any(axis=(1, 2)))
    return float(max(0, ours[-1] - real[-1]) + max(0, real[0] - ours[0])) / 2


def by_count(
    scan: Scan, carrier: Carrier, counts: Sequence[int]
) -> Iterator[tuple[int, str, str, float, float]]:
    """Yield drawn slices, method, organ, DSC, slices beyond the ends."""
    for count in counts:
        drawn = {organ: middles(mask, count) for organ, mask in scan.truth.items()}
        start = time.perf_counter()
        ours, _ = carry(scan, drawn, carrier)
        took = time.perf_counter() - start
        results = {
            "stcn": ours,
            "interpolate": carry(scan, drawn, None)[0],
            "copy": copied(scan, drawn),
            "stcn, no stop rule": carry(scan, drawn, carrier, NO_STOP)[0],
        }
        for method, masks in results.items():
            for organ, truth in scan.truth.items():
                yield count, method, organ, dice(masks[organ], truth), beyond(masks[organ], truth)
        mean = {m: np.mean([dice(f[o], scan.truth[o]) for o in f]) for m, f in results.items()}
        told = ", ".join(f"{method} {value:.3f}" for method, value in mean.items())
        print(f"{scan.name}, {count} slices: {told}; {took:.1f} s", flush=True)


def by_suggestion(scan: Scan, carrier: Carrier) -> Iterator[tuple[str, int, float]]:
    """Yield how slices were chosen, how many after the first of each organ, and the mean DSC."""
    rng = np.random.default_rng(0)
    first = {organ: middles(mask, 1) for organ, mask in scan.truth.items()}
    everywhere = np.flatnonzero(np.any([m.any(axis=(1, 2)) for m in scan.truth.values()], axis=0))
    chosen: dict[str, list[int]] = {"even": [], "random": []}
    for number in range(1, ROUNDS + 1):
        chosen["even"] = [
            int(everywhere[int(len(everywhere) * (2 * n + 1) / (2 * number))])
            for n in range(number)
        ]
        chosen["random"].append(int(rng.choice(everywhere)))
        for way, zs in chosen.items():
            drawn = {
                organ: sorted({*first[organ], *(z for z in zs if scan.truth[organ][z].any())})
                for organ in first
            }
            masks, _ = carry(scan, drawn, carrier)
            yield way, number, mean_dice(masks, scan)
    masks, session = carry(scan, first, carrier)
    yield "suggested", 0, mean_dice(masks, scan)
    for number in range(1, ROUNDS + 1):
        for one in session.suggest(1):
            for organ, truth in scan.truth.items():
                if truth[one.z].any():
                    session.add_guide(one.z, truth[one.z], organ=organ)
        labels = session.propagate().array
        masks = {organ: labels == n for organ, n in session.names.ids.items()}
        yield "suggested", number, mean_dice(masks, scan)


def mean_dice(masks: Masks, scan: Scan) -> float:
    """Mean DSC of the organs of a scan."""
    return float(np.mean([dice(masks[organ], truth) for organ, truth in scan.truth.items()]))


def main() -> None:
    """Score every method on every held-out scan, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder of the datasets")
    parser.add_argument("--model", default="any_propagator")
    parser.add_argument("--left-out", metavar="ORGAN", help="score this one: MODEL never saw it")
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 3, 5])
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    warnings.simplefilter("ignore", DataWarning)
    carrier = load_propagator(args.model, pick_runtime())
    scores: dict[tuple[str, int, str], dict[str, list[tuple[float, float]]]] = {}
    chosen: dict[tuple[str, str, int], list[float]] = {}
    for group, scan in scans(args.shared):
        if args.left_out:
            scan = scan._replace(truth={args.left_out: scan.truth[args.left_out]})
        for count, method, organ, dsc, over in by_count(scan, carrier, args.counts):
            key = (group, count, method)
            scores.setdefault(key, {}).setdefault(organ, []).append((dsc, over))
        for way, number, dsc in () if args.left_out else by_suggestion(scan, carrier):
            chosen.setdefault((group, way, number), []).append(dsc)
    _write(scores, args)
    if chosen:
        _write_suggestions(chosen, args)


def _write(scores: Mapping[tuple[str, int, str], Any], args: argparse.Namespace) -> None:
    figures: dict[str, float] = {}
    for (group, count, method), organs in scores.items():
        means = [np.mean(values, axis=0) for values in organs.values()]
        figures[f"{group}: {method}, {count} slices, DSC"] = float(np.mean([m[0] for m in means]))
        if method.startswith("stcn"):
            ends = float(np.mean([m[1] for m in means]))
            figures[f"{group}: {method}, {count} slices, slices beyond an end"] = ends
    rows = [
        {
            "scans": group,
            "organ": organ,
            **{
                f"{method} {count}": float(np.mean(scores[group, count, method][organ], axis=0)[0])
                for count in args.counts
                for method in ("stcn", "interpolate", "copy")
            },
        }
        for group in dict.fromkeys(key[0] for key in scores)
        for organ in scores[group, args.counts[0], "stcn"]
    ]
    for name, value in figures.items():
        print(f"{name:60s} {value:.3f}")
    title = "From one, three or five drawn slices to the organ"
    command = "python benchmarks/few_slices.py --shared DATA"
    steps = load_weights(find_weights(args.model)[0]).card["steps"]
    write_result(
        "few_slices_left_out" if args.left_out else "few_slices",
        title=f"{title}: the {args.left_out}, never learnt" if args.left_out else title,
        figures=figures,
        rows=rows,
        notes=[
            "True masks at the middles of equal parts of each organ's extent; nothing else known.",
            "Held out: `val` of the CT, the last four MR. `copy` takes the nearest drawn slice.",
            f"The propagator was trained for {steps} steps.",
            *(
                ["Real scans taught it without that organ; phantoms have one."]
                * bool(args.left_out)
            ),
        ],
        command=f"{command} --model RUN --left-out {args.left_out}" if args.left_out else command,
        folder=args.results,
    )


def _write_suggestions(
    chosen: Mapping[tuple[str, str, int], Sequence[float]], args: argparse.Namespace
) -> None:
    figures = {
        f"{group}: {way}, {number} more slices, DSC": float(np.mean(values))
        for (group, way, number), values in chosen.items()
    }
    for name, value in figures.items():
        print(f"{name:60s} {value:.3f}")
    write_result(
        "suggestions",
        title="What a suggested slice is worth",
        figures=figures,
        notes=[
            "Every organ is drawn once, at its middle; then whole slices with all their organs.",
            "These are suggested one by one, spread evenly, or drawn by lot.",
        ],
        command="python benchmarks/few_slices.py --shared DATA",
        folder=args.results,
    )


if __name__ == "__main__":
    main()
