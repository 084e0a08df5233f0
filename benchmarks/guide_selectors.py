"""What the choice of guides is worth: the whole pipeline under every selector.

Every scan is segmented once a selector, with all else alike, and scored on its own grid. The
control is the same pair of networks on every slice, without guides.

    python benchmarks/guide_selectors.py --data DIR
    python benchmarks/guide_selectors.py --data DIR --propagator any_propagator
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from abdomen_val import SYNAPSE, Tally, mean, score_case
from results_io import RESULTS, write_result

from slicekit.data.cases import Case, find_cases
from slicekit.inference.model import Model, load_model
from slicekit.inference.selection import SELECTORS
from slicekit.runtime import pick_runtime

ALONE = "reference alone"


def score_selectors(model: Model, cases: tuple[Case, ...]) -> dict[str, Tally]:
    """Score every selector and the control on every scan, a scan at a time."""
    ways: dict[str, tuple[Model, str | None]] = {name: (model, name) for name in SELECTORS}
    ways[ALONE] = (replace(model, propagator=None), None)
    tallies = {way: Tally() for way in ways}
    for case in cases:
        for way, (one, selector) in ways.items():
            scan = score_case(one, case.image, case.labels or case.image, selector=selector)
            tallies[way].add(scan)
            reached = np.mean([score.dsc for score in scan.scores])
            told = f"{reached:.3f}, {scan.guides} guides, {scan.seconds:.1f} s"
            print(f"{case.name} {way}: {told}", flush=True)
    return tallies


def rows_of(tallies: Mapping[str, Tally], organs: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return a row a way."""
    return [
        {
            "selector": way,
            "dsc_8_organs": mean(tally.dsc, SYNAPSE),
            "dsc_13_organs": mean(tally.dsc, organs),
            "guides_a_scan": float(np.mean(tally.guides)),
            "seconds_a_scan": float(np.mean(tally.seconds)),
        }
        for way, tally in tallies.items()
    ]


def figures_of(rows: list[dict[str, Any]], usual: str) -> dict[str, float]:
    """Return what the usual selector reaches, and by how much it is ahead of every other way."""
    figures: dict[str, float] = {}
    for key in ("dsc_8_organs", "dsc_13_organs"):
        reached = {row["selector"]: row[key] for row in rows}
        figures[f"{usual}: {key}"] = reached[usual]
        for way in reached.keys() - {usual}:
            figures[f"{usual} minus {way}: {key}"] = reached[usual] - reached[way]
    return dict(sorted(figures.items()))


def main() -> None:
    """Score every selector and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="nnU-Net raw folder")
    parser.add_argument("--group", default="val", help="group of splits.json")
    parser.add_argument("--model", default="ct_abdomen_reference")
    parser.add_argument("--propagator", help="another one than the model's own")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    model = load_model(args.model, pick_runtime(), propagator=args.propagator or True)
    if model.propagator_recipe is None:
        parser.error(f"{args.model} has no propagator, so it has no guides; name a --propagator")
    cases = find_cases(args.data).select(args.group)
    rows = rows_of(score_selectors(model, cases), model.recipe.labels.names)
    figures = figures_of(rows, model.recipe.inference.selector)
    for key, value in figures.items():
        print(f"{key:50s} {value:.3f}")
    write_result(
        "guide_selectors" + (f"_{Path(args.propagator).stem}" if args.propagator else ""),
        title=f"Choice of guides, carried by {model.propagator_recipe.name}",
        figures=figures,
        rows=rows,
        notes=[
            f"The group {args.group!r}: {', '.join(case.name for case in cases)}.",
            (
                f"Guides {model.recipe.inference.max_guide_gap_mm:g} mm apart at most for "
                "'agreement' and 'uniform', as many as 'uniform' for 'random' (one draw), one an "
                "organ for 'largest-area' (Pham et al.)."
            ),
            (
                "What was carried is averaged with the reference's own view of every slice "
                f"(weight {model.recipe.inference.opinion_share:g})."
            ),
            f"{ALONE!r} is the control: the same two networks on every slice.",
        ],
        command=f"python benchmarks/guide_selectors.py --data DIR --group {args.group}"
        + (f" --propagator {args.propagator}" if args.propagator else ""),
        folder=args.results,
    )


if __name__ == "__main__":
    main()
