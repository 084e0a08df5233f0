"""Few-shot segmentation by the field's protocol: which superpixels teach best.

Five folds over patients, one organ and one support at a time; support and query are of different
patients. Of every organ the query's extent is known and cut in three chunks, each named from the
middle slice of the support's chunk (Roy et al. 2020). Setting 1 learns from all slices of the
training patients, without labels. In setting 2 the organs go in groups, as published (kidneys;
liver and spleen; other organs one by one), and slices that hold ANY organ of the group are left
out. Runs are kept under --out and go on where they stopped.

    python benchmarks/fewshot_protocol.py --data abdomen_mr --recipe models/abdomen_mr_fewshot.toml
    python benchmarks/fewshot_protocol.py --data abdomen_ct --recipe models/abdomen_ct_fewshot.toml
    python benchmarks/fewshot_protocol.py ... --steps 500 --folds 0 --sources slic-merged none
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from fewshot_table import table_of
from numpy.typing import NDArray
from pseudo_regions import refused_share
from results_io import RESULTS, write_result, write_text

from slicekit.data.cases import Case, Dataset, find_cases
from slicekit.data.episodes import Cut, cut_by, regions_of
from slicekit.data.slices import CachedScan, read_case
from slicekit.inference.model import build_network
from slicekit.networks import ALPNet
from slicekit.recipes import FewShotRecipe, Recipe, read_recipe
from slicekit.runtime import Runtime, pick_runtime
from slicekit.training.fewshot import EpisodeBatches, episode_step, protocol_dice
from slicekit.training.loop import fit
from slicekit.training.start import start_networks

FOLDS = 5
NONE = "none"
FELZENSZWALB = "felzenszwalb"
SOURCES: Mapping[str, Mapping[str, Any]] = {
    NONE: {},
    FELZENSZWALB: {},
    "slic-25": {"superpixels": "slic", "segments": 25, "regions": (25,)},
    "slic-100": {"superpixels": "slic", "segments": 100, "regions": (100,)},
    "slic-400": {"superpixels": "slic", "segments": 400, "regions": (400,)},
    "slic-merged": {"superpixels": "slic-merged", "segments": 400},
}
"""Where pseudo organs come from, and what each changes in ``training.fewshot``."""
GROUPS = (("left_kidney", "right_kidney"), ("liver", "spleen"))
"""Organs that setting 2 leaves out together (Ouyang et al. 2020: upper and lower abdomen)."""
_LEAST_PX = 400  # of the graph-based segmentation, as published


class Run(NamedTuple):
    """One training and what it is scored on."""

    source: str
    setting: int
    fold: int
    organs: tuple[str, ...]

    @property
    def name(self) -> str:
        """The run's folder."""
        return f"{self.source}_setting{self.setting}_fold{self.fold}_{'+'.join(self.organs)}"


def by_graph(slices: NDArray[np.float32], inside: NDArray[np.bool_]) -> Sequence[NDArray[Any]]:
    """Cut slices by graph (Felzenszwalb and Huttenlocher 2004), with the published parameters.

    Slices are standardised as published; they stay on the recipe's grid, and pseudo organs are
    drawn by our rules.
    """
    from skimage.segmentation import felzenszwalb  # for this source only

    labels = [
        felzenszwalb(
            _standardised(plane), scale=1, sigma=1.0, min_size=_LEAST_PX, channel_axis=None
        )
        + 1
        for plane in slices
    ]
    cut = np.stack(labels) * inside
    return [np.where(inside.any(axis=(1, 2))[:, None, None], cut, 0)]


def _standardised(plane: NDArray[np.float32]) -> NDArray[np.float64]:
    return (plane.astype(np.float64) - plane.mean()) / max(1e-6, float(plane.std()))


def source_of(source: str, recipe: Recipe) -> tuple[FewShotRecipe, Cut]:
    """Return the settings of a source of pseudo organs, and how it cuts slices."""
    shots = recipe.training.fewshot.model_copy(update=dict(SOURCES[source]))
    return shots, by_graph if source == FELZENSZWALB else cut_by(shots)


def refused_of(source: str, scans: Iterable[CachedScan], recipe: Recipe) -> float:
    """Return the share of a source's regions that are too small or too large to be drawn."""
    if source == NONE:
        return float("nan")
    shots, cut = source_of(source, recipe)
    regions = [regions_of(scan, cut) for scan in scans]
    return refused_share(regions, settings=shots, size=recipe.training.crop)


def folds_of(names: Iterable[str], count: int = FOLDS) -> list[list[str]]:
    """Share patients out to folds, the first to the first, the second to the second."""
    ordered = sorted(names)
    return [ordered[number::count] for number in range(count)]


def groups_of(organs: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the organs of a dataset in the groups that setting 2 leaves out together."""
    known = [tuple(one for one in group if one in organs) for group in GROUPS]
    grouped = [group for group in known if group]
    rest = [(organ,) for organ in organs if not any(organ in group for group in grouped)]
    return [*grouped, *rest]


def chosen_groups(organs: Sequence[str], chosen: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the groups that hold any of the organs chosen; all where none is chosen."""
    return [one for one in groups_of(organs) if not chosen or set(one) & set(chosen)]


def runs_of(
    dataset: Dataset, *, sources: Sequence[str], settings: Sequence[int], folds: Sequence[int],
    chosen: Sequence[str] = (),
) -> list[Run]:  # fmt: skip
    """List the trainings: one a fold in setting 1, one a fold and group in setting 2.

    Where organs are chosen, groups without any of them are left out; setting 1 is one training
    whatever is chosen.
    """
    organs, found = dataset.labels.names, []
    for source in sources:
        for setting in (1,) if source == NONE else settings:  # nothing is learnt, nothing leaks
            groups = [organs] if setting == 1 else chosen_groups(organs, chosen)
            found += [Run(source, setting, fold, group) for fold in folds for group in groups]
    return found


def without(scan: CachedScan, hidden: frozenset[int]) -> CachedScan:
    """Return a scan without labels; slices that hold ANY of the organs are blank."""
    slices = scan.slices.copy()
    if scan.labels is not None and hidden:
        slices[np.isin(scan.labels, sorted(hidden)).any(axis=(1, 2))] = 0
    return replace(scan, slices=slices, labels=None)


def train(
    run: Run, scans: Mapping[str, CachedScan], dataset: Dataset, recipe: Recipe, *,
    test: Sequence[str], out: Path, runtime: Runtime,
) -> ALPNet:  # fmt: skip
    """Train one run, or go on with it, and return its averaged network."""
    torch.manual_seed(recipe.training.seed)
    network = build_network(recipe)
    start_networks(network, recipe)
    if not isinstance(network, ALPNet):
        raise TypeError(f"{recipe.name} is no few-shot model")
    if run.source == NONE:
        return runtime.place(network).eval()  # type: ignore[return-value]
    shots, cut = source_of(run.source, recipe)
    changed = recipe.training.model_copy(update={"fewshot": shots})
    named = recipe.model_copy(update={"training": changed, "name": run.name.replace("+", "-")})
    organs = dataset.labels.subset(run.organs).ids.values() if run.setting == 2 else ()
    taught = [without(scan, frozenset(organs)) for name, scan in scans.items() if name not in test]
    batches = EpisodeBatches(taught, recipe=named, cut=cut)
    folder = out / run.name
    folder.mkdir(parents=True, exist_ok=True)
    step = partial(episode_step, settings=shots)
    average, _ = fit(network, step, batches, recipe=named, out=folder, runtime=runtime)
    return average  # type: ignore[return-value]


def score(
    network: ALPNet, run: Run, scans: Mapping[str, CachedScan], dataset: Dataset, recipe: Recipe, *,
    test: Sequence[str], runtime: Runtime,
) -> dict[str, float]:  # fmt: skip
    """Return every organ's mean DSC: each test patient is the query once, supported by the next.

    The support of a fold of one patient is the first of the others.
    """
    found = {}
    for organ in run.organs:
        number = dataset.labels.id_of(organ)
        queries = [scans[name] for name in test if number in scans[name].slices_of]
        others = [
            scan for name, scan in scans.items() if name not in test and number in scan.slices_of
        ]
        marks = []
        for n, query in enumerate(queries):
            support = queries[(n + 1) % len(queries)] if len(queries) > 1 else others[0]
            marks.append(
                protocol_dice(network, support, query, number, recipe=recipe, runtime=runtime)
            )
        if marks:
            found[organ] = float(np.mean(marks))
    return found


def one(run: Run, *, out: Path, **options: Any) -> dict[str, float]:
    """Train and score one run, or read its scores where they are known."""
    test = folds_of(options["scans"])[run.fold]
    recipe, kept = options["recipe"], out / run.name / "scores.json"
    asked = {"recipe": recipe.to_json(), "test": test}
    if kept.exists() and (known := json.loads(kept.read_text(encoding="utf-8")))["asked"] == asked:
        return dict(known["dsc"])
    network = train(run, test=test, out=out, **options)
    dsc = score(network, run, test=test, **options)
    write_text(kept, json.dumps({"asked": asked, "dsc": dsc}, indent=2) + "\n")
    return dsc


def cached(cases: Sequence[Case], dataset: Dataset, recipe: Recipe) -> dict[str, CachedScan]:
    """Read all labelled cases once."""
    return {
        case.name: read_case(case, labels=dataset.labels, recipe=recipe.input)
        for case in cases
        if case.labels is not None
    }


def arguments() -> argparse.Namespace:
    """Return what was typed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="nnU-Net raw folder")
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--group", help="group of splits.json; 'train' where there is one")
    parser.add_argument("--out", type=Path, default=Path("runs/fewshot_protocol"))
    parser.add_argument("--steps", type=int, help="of every run; as the recipe says")
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(FOLDS)))
    parser.add_argument("--sources", nargs="+", choices=sorted(SOURCES), default=list(SOURCES))
    parser.add_argument("--settings", type=int, nargs="+", choices=(1, 2), default=[1, 2])
    parser.add_argument("--organs", nargs="+", default=[], help="only these, with their groups")
    parser.add_argument("--set", nargs="*", default=[], dest="changes", help="KEY=VALUE")
    parser.add_argument("--name", help="name of the result")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args()


def main() -> None:
    """Train, score and keep the figures."""
    args = arguments()
    steps = [] if args.steps is None else [f"training.steps={args.steps}"]
    recipe = read_recipe(args.recipe, changes=[*args.changes, *steps])
    dataset = find_cases(args.data)
    group = args.group or ("train" if "train" in dataset.splits else None)
    scans = cached(dataset.select(group), dataset, recipe)
    chosen = dataset.labels.subset(args.organs).names
    shown = [organ for group in chosen_groups(dataset.labels.names, chosen) for organ in group]
    runs = runs_of(
        dataset, sources=args.sources, settings=args.settings, folds=args.folds, chosen=chosen
    )
    options = {"scans": scans, "dataset": dataset, "recipe": recipe, "runtime": pick_runtime()}
    out, scores = args.out / args.data.name, {}
    for number, run in enumerate(runs, start=1):
        found = one(run, out=out, **options)
        scores[run] = {organ: dsc for organ, dsc in found.items() if organ in shown}
        print(f"{number}/{len(runs)} {run.name}", {k: round(v, 3) for k, v in scores[run].items()})
    refused = {name: refused_of(name, scans.values(), recipe) for name in args.sources}
    rows = [row | {"regions_refused_share": refused[row["source"]]} for row in table_of(scores)]
    figures = {
        f"{row['source']}_setting{row['setting']}_dsc": row["dsc"]
        for row in rows
        if row["organ"] == "mean"
    }
    write_result(
        args.name or f"fewshot_{args.data.name}",
        title=f"Few-shot segmentation by superpixel source: {args.data.name}",
        figures=figures,
        rows=rows,
        notes=[
            (
                f"{len(scans)} patients, folds {args.folds} of {FOLDS}, {recipe.training.steps} "
                f"steps of {recipe.training.batch} episodes, {recipe.networks[0].preset} encoder "
                "from random weights; the deviation is over folds."
            ),
            "One organ, one support of another patient; the organ's extent in the query is known.",
            "Setting 2 leaves out every slice that holds ANY organ of the tested group.",
            "`none` is the same network with random weights.",
            "Regions refused: below least_px pixels or above most_share of the slice, as cut.",
            "The published figures start from weights of MS-COCO and take 100000 steps.",
        ],
        folder=args.results,
    )


if __name__ == "__main__":
    main()
