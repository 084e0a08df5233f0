"""Pseudo organs as training draws them: how many are empty or tiny after all changes.

From every source of superpixels the same number of pairs is drawn: by our rules, which refuse a
region or a changed mask of a size that is not allowed and draw again, and by the published rule,
which draws one of a slice's numbers and takes what comes. Nothing is learnt here, and labels are
not looked at.

    python benchmarks/pseudo_organ_draws.py --data abdomen_mr
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fewshot_protocol import NONE, SOURCES, cached, source_of
from pseudo_regions import TINY_PX, counted, pixels_as_published, pixels_of, refused_share
from results_io import RESULTS, write_result

from slicekit.data.cases import find_cases
from slicekit.data.episodes import Episodes, regions_of
from slicekit.data.slices import CachedScan
from slicekit.inference.model import recipe_of
from slicekit.recipes import FewShotRecipe, Recipe

OURS, PUBLISHED = "drawn again where not allowed", "as published"


def draw_both(
    scans: Sequence[CachedScan], source: str, recipe: Recipe, *, draws: int
) -> list[dict[str, Any]]:
    """Draw pairs from one source both ways; return a row each."""
    settings, cut = source_of(source, recipe)
    size = recipe.training.crop
    regions = [regions_of(scan, cut) for scan in scans]
    episodes = Episodes(scans, regions, settings=settings, size=size)
    rng = np.random.default_rng(recipe.training.seed)
    ours = [pixels_of(episodes.draw(rng)) for _ in range(draws)]
    published = []
    for _ in range(draws):
        number, z = episodes.places[rng.integers(len(episodes.places))]
        plane = regions[number].at(z, int(rng.integers(regions[number].levels)))
        published.append(pixels_as_published(scans[number], plane, z, size=size, rng=rng))
    refused = refused_share(regions, settings=settings, size=size)
    return [
        {"source": source, "way": way, **counted(pairs), "regions_refused_share": refused}
        for way, pairs in ((OURS, ours), (PUBLISHED, published))
    ]


def figures_of(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the percentages of pairs with an empty or a tiny mask, by source and way."""
    words = {OURS: "ours", PUBLISHED: "as_published"}
    return {
        f"{row['source']}_{words[row['way']]}_{kind}_percent": 100 * row[kind] / row["pairs"]
        for row in rows
        for kind in ("empty", "tiny")
    }


def notes_of(draws: int, scans: int, settings: FewShotRecipe) -> list[str]:
    """Say what was drawn and counted."""
    what = (
        f"{draws} pairs of support and query a source and way, of {scans} scans, measured after "
        "all changes. Empty: one of the two masks has no pixel; tiny: one has fewer than "
        f"{TINY_PX}."
    )
    ways = (
        f"Ours draws again below {settings.least_px} pixels and above a share of "
        f"{settings.most_share} of the slice; what this refuses of all regions as cut is the last "
        "column. As published: any number up to the slice's largest, also one that no pixel bears "
        "since its region lies outside the body. Changes, and the window about the region, are "
        "the same for both."
    )
    return [what, ways]


def main() -> None:
    """Draw, count, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="nnU-Net raw folder")
    parser.add_argument("--model", default="abdomen_mr_fewshot", help="whose recipe is used")
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    recipe, dataset = recipe_of(args.model), find_cases(args.data)
    scans = list(cached(dataset.cases, dataset, recipe).values())
    rows: list[dict[str, Any]] = []
    for source in (name for name in SOURCES if name != NONE):
        rows += draw_both(scans, source, recipe, draws=args.draws)
        print(*rows[-2:], sep="\n", flush=True)
    write_result(
        "pseudo_organ_draws",
        title=f"Pseudo organs drawn for training: {args.data.name}",
        figures=figures_of(rows),
        rows=rows,
        notes=notes_of(args.draws, len(scans), recipe.training.fewshot),
        command=f"python benchmarks/pseudo_organ_draws.py --data {args.data.name}",
        folder=args.results,
    )


if __name__ == "__main__":
    main()
