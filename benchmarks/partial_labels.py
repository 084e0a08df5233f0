"""Organs withheld from the training labels: what each way to handle partial labels makes of them.

Every training case keeps a few organs drawn at random, and of the others nothing is known there.
The `small` DeepLabV3+ alone learns from that by each loss of ``training.partial``, all else
alike, and is scored on scans it never saw, with all their organs. Controls, when asked for: what
was withheld is taken for background, and nothing is withheld. Runs that were interrupted go on.

    python benchmarks/partial_labels.py --data DIR --out runs/partial
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from abdomen_val import SYNAPSE, Tally, mean, score_case
from results_io import RESULTS, write_result, write_text

from slicekit.data.annotations import FILE_NAME
from slicekit.data.cases import Case, find_cases
from slicekit.inference.model import bundled, load_model
from slicekit.io import read_labels, read_volume, write_labels
from slicekit.labels import LabelSet
from slicekit.recipes import Recipe, read_recipe
from slicekit.runtime import Runtime, pick_runtime
from slicekit.training.run import train

LOSSES = ("marginal", "masked", "dice-only")
BACKGROUND, ALL = "as-background", "all-labels"
LEAST_CASES = 2
_DRAWS = 10_000

SETTINGS = (
    "name=partial_labels",
    "about=",
    "weights=",
    "scores={}",
    'networks=[{kind="deeplabv3plus", preset="small"}]',
    "inference.propagator=",
    "training.method=supervised",
    "training.labelled_group=train",
    "training.batch_unlabelled=0",
    "training.phantoms=0",  # they would show all organs
    "training.ema=0.99",
    "training.checkpoint_every=100",
)


def draw_kept(
    held: Mapping[str, frozenset[str]],
    organs: Sequence[str],
    *,
    count: int,
    rng: np.random.Generator,
) -> dict[str, list[str]]:
    """Draw which organs every case keeps.

    Args:
        held: Case name to the organs that its labels hold.
        organs: All there may be.
        count: Organs that a case keeps.
        rng: Randomness.

    Returns:
        Case name to its organs, drawn anew until every organ is kept in two cases that hold it.

    Raises:
        ValueError: It never was.
    """
    for _ in range(_DRAWS):
        kept = {case: rng.permutation(len(organs))[:count] for case in held}
        drawn = {case: [organs[n] for n in sorted(some)] for case, some in kept.items()}
        cases_of = [sum(name in held[case] & {*drawn[case]} for case in held) for name in organs]
        if min(cases_of) >= LEAST_CASES:
            return drawn
    raise ValueError(
        f"{count} organs a case do not show each of {len(organs)} organs in {LEAST_CASES} of "
        f"{len(held)} cases; keep more"
    )


def withhold(
    data: Path, folder: Path, *, group: str, held_out: str, count: int, seed: int
) -> dict[str, list[str]]:
    """Make a dataset folder in which training cases keep some organs; the images are links.

    Returns:
        Case name to the organs it keeps. A folder that was made before is taken as it is.
    """
    note = folder / FILE_NAME
    if note.is_file():
        return {k: v["labels_present"] for k, v in json.loads(note.read_text("utf-8")).items()}
    shutil.rmtree(folder, ignore_errors=True)  # the annotations are written last
    dataset = find_cases(data)
    cases, labels = dataset.select(group), dataset.labels
    apart = dataset.select(held_out)
    kept = draw_kept(
        {case.name: _held(case, labels) for case in cases},
        labels.names,
        count=count,
        rng=np.random.default_rng(seed),
    )
    for case in (*cases, *apart):
        _link(case.image, folder / "imagesTr")
    for case in apart:
        _link(_labels_of(case), folder / "labelsTr")
    for case in cases:
        image = read_volume(case.image)
        ids = read_labels(_labels_of(case), like=image).array
        shown = [labels.id_of(organ) for organ in kept[case.name]]
        target = folder / "labelsTr" / _labels_of(case).name
        write_labels(target, np.where(np.isin(ids, shown), ids, 0), like=image)
    shutil.copyfile(data / "dataset.json", folder / "dataset.json")
    splits = {group: [case.name for case in cases], held_out: [case.name for case in apart]}
    write_text(folder / "splits.json", json.dumps(splits))
    entries = {case: {"labels_present": names} for case, names in kept.items()}
    write_text(note, json.dumps(entries, indent=1))
    return kept


def without_note(folder: Path) -> Path:
    """Return the same dataset without its annotations.json, in a folder beside it."""
    plain = folder.with_name(f"{folder.name}_plain")
    for name in ("imagesTr", "labelsTr", "dataset.json", "splits.json"):
        _link(folder / name, plain)
    return plain


def _labels_of(case: Case) -> Path:
    if case.labels is None:
        raise SystemExit(f"{case.name} has no labels, so none can be withheld or scored")
    return case.labels


def _held(case: Case, labels: LabelSet) -> frozenset[str]:
    ids = np.unique(read_labels(_labels_of(case), like=read_volume(case.image)).array)
    return frozenset(labels.names_by_id[number] for number in ids.tolist() if number)


def _link(file: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / file.name
    link.unlink(missing_ok=True)
    link.symlink_to(file.resolve())


def recipe_of(way: str, *, steps: int, held_out: str, changes: Sequence[str] = ()) -> Recipe:
    """Return the recipe of one way."""
    settings = [
        *SETTINGS,
        f"training.partial={way if way in LOSSES else LOSSES[0]}",
        f"training.held_out_group={held_out}",
        f"training.steps={steps}",
        f"training.evaluate_every={steps}",
        *changes,
    ]
    return read_recipe(bundled("models") / "ct_abdomen_reference.toml", changes=settings)


def learn_and_score(
    recipe: Recipe, data: Path, out: Path, *, cases: Sequence[Case], runtime: Runtime
) -> Tally:
    """Train, from where the run stands, then score on the scans' own grids."""
    weights = train(recipe, data=data, out=out, runtime=runtime)
    model = load_model(weights, runtime, propagator=False)
    tally = Tally()
    for case in cases:
        tally.add(score_case(model, case.image, _labels_of(case)))
    return tally


def row_of(way: str, tally: Tally, organs: Sequence[str]) -> dict[str, Any]:
    """Return the means of one way, and the mean of every organ."""
    return {
        "way": way,
        "dsc_8_organs": mean(tally.dsc, SYNAPSE),
        "dsc_13_organs": mean(tally.dsc, tuple(organs)),
        **{organ: float(np.mean(tally.dsc.get(organ, [np.nan]))) for organ in organs},
    }


def figures_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return what the first way reaches, and by how much it is ahead of every other one."""
    first, *others = rows
    keys = ("dsc_8_organs", "dsc_13_organs")
    return {f"{first['way']}: {key}": first[key] for key in keys} | {
        f"{first['way']} minus {other['way']}: {key}": first[key] - other[key]
        for other in others
        for key in keys
    }


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="nnU-Net raw folder")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--group", default="val", help="group of splits.json to score on")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--keep", type=int, default=4, help="organs that a training case keeps")
    parser.add_argument("--seed", type=int, default=0, help="of what is withheld")
    parser.add_argument("--ways", nargs="+", default=LOSSES, choices=[*LOSSES, BACKGROUND, ALL])
    parser.add_argument("--threads", type=int)
    parser.add_argument("--set", dest="changes", nargs="*", default=[], help="KEY=VALUE")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args()


def main() -> None:
    """Train and score every way, keep the figures."""
    args = parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    runtime = pick_runtime(threads=args.threads, backend="torch")
    runs = args.out / f"keep_{args.keep}_seed_{args.seed}"
    folder = runs / "data"
    kept = withhold(
        args.data, folder, group="train", held_out=args.group, count=args.keep, seed=args.seed
    )
    folders = {BACKGROUND: without_note(folder), ALL: args.data}
    cases = find_cases(args.data).select(args.group)
    rows = []
    for way in args.ways:
        recipe = recipe_of(way, steps=args.steps, held_out=args.group, changes=args.changes)
        data = folders.get(way, folder)
        tally = learn_and_score(recipe, data, runs / way, cases=cases, runtime=runtime)
        rows.append(row_of(way, tally, recipe.labels.names))
    figures = figures_of(rows)
    for name, value in figures.items():
        print(f"{name:50s} {value:.3f}")
    names = ", ".join(case.name for case in cases)
    drawn = f"--steps {args.steps} --keep {args.keep} --seed {args.seed}"
    drawn += "" if args.ways == LOSSES else f" --ways {' '.join(args.ways)}"
    write_result(
        "partial_labels",
        title=f"Partial labels: {args.keep} organs a training case, the rest unknown",
        figures=figures,
        rows=rows,
        notes=[
            f"{len(kept)} training cases keep {args.keep} organs each, drawn at random.",
            f"One run a way, {args.steps} steps of {recipe.training.batch} slices ({runtime}).",
            "The small DeepLabV3+ alone: no phantoms, no propagation.",
            f"Scored with all organs on the group {args.group!r}: {names}.",
        ],
        command=f"python benchmarks/partial_labels.py --data DIR --out RUNS {drawn}",
        folder=args.results,
    )


if __name__ == "__main__":
    main()
