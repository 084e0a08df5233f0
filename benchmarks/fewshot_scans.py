"""Organs found in whole scans by one support of another patient: alone, and carried.

Nobody tells what the query holds: every organ of the support is asked for, and those that the
query lacks must not be found. ALPNet names every slice by itself, or its surest slices become
guides that the propagator carries. Beside both stand the published protocol, in which the organ's
extent in the query is known, and two controls: random weights in ALPNet's place, and the labels of
the support laid over the query, body over body. Support and query are neighbours in a row of
patients of whom neither network has seen a scan; what else each practised on, their cards say.

    python benchmarks/fewshot_scans.py --data abdomen_mr --model abdomen_mr_fewshot --last 4
    python benchmarks/fewshot_scans.py --data abdomen_ct --model abdomen_ct_fewshot --group val
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from results_io import RESULTS, write_result
from scipy import ndimage

from slicekit.checkpoint import load_weights
from slicekit.data.cases import Case, Dataset, find_cases
from slicekit.data.slices import read_case
from slicekit.inference.answers import SupportSettings
from slicekit.inference.fewshot import find_organs
from slicekit.inference.model import DEFAULT_PROPAGATOR, build_network, find_weights
from slicekit.inference.shots import FewShot, Sheets, load_fewshot
from slicekit.io import read_labels, read_volume
from slicekit.labels import LabelSet
from slicekit.metrics import evaluate
from slicekit.networks import ALPNet
from slicekit.runtime import pick_runtime
from slicekit.training.fewshot import protocol_dice
from slicekit.volume import Volume

ALONE, CARRIED = "ALPNet alone", "ALPNet + propagation"
JOINED = "ALPNet, neighbours joined, + propagation"
RANDOM, LAID = "random weights + propagation", "support laid over"
WAYS = (CARRIED, ALONE, JOINED, RANDOM, LAID)
"""Scored on whole scans, on the scans' own grids."""
PROTOCOL = "extent known: its slices only, model's grid"
"""Another measure, which is not to be compared with the others."""
Box = tuple[int, int, int, int]
Card = Mapping[str, Any]


@dataclass(frozen=True)
class Marks:
    """What one way made of one query."""

    dsc: Mapping[str, float]
    """Of every organ that support and query hold."""
    absent: Mapping[str, bool] | None = None
    """Organs that the query lacks: whether something was found all the same. ``None`` where
    nobody asked for them."""


def expect_unseen(cases: Iterable[str], cards: Mapping[str, Card]) -> None:
    """Stop where a network has practised on one of the cases, with labels or without."""
    wanted = set(cases)
    for name, card in cards.items():
        if "trained_on" not in card:
            raise SystemExit(f"the card of {name} does not tell which scans it practised on")
        if seen := sorted(wanted & {*card["trained_on"], *card.get("unlabelled", ())}):
            raise SystemExit(
                f"{name} has practised on {', '.join(seen)}; choose other cases, with --group or "
                "--last"
            )


def series_of(case: str) -> str:
    """Return which series a case belongs to: its name without the patient's number."""
    return re.sub(r"_?\d{2,}.*", "", case)


def practice_of(name: str, card: Card, cases: Iterable[str]) -> str:
    """Say from a network's card what it practised on, and what of it is akin to the cases."""
    labelled, free = (
        Counter(map(series_of, card.get(k, ()))) for k in ("trained_on", "unlabelled")
    )
    akin = {one: labelled[one] for one in sorted(set(map(series_of, cases))) if labelled[one]}
    said = f"{name} practised on {_listed(labelled)} with labels and {_listed(free)} without. "
    if not akin:
        return said + "None with labels is of the same series as these cases."
    return said + (
        f"Of those with labels {_listed(akin)} are of the same series as these cases: other "
        "patients, but the same organs on the same kind of scan."
    )


def _listed(series: Mapping[str, int]) -> str:
    told = ", ".join(f"{count} {name}" for name, count in series.items())
    return f"{sum(series.values())} scans ({told})" if series else "no scan"


def lay_over(drawn: NDArray[Any], shape: Sequence[int], bodies: tuple[Box, Box]) -> NDArray[Any]:
    """Stretch the support's labels over the query, body over body: it looks at nothing else.

    Args:
        drawn: ``(z, y, x)`` of the support.
        shape: Of the query.
        bodies: Rows and columns ``(y0, y1, x0, x1)`` of support and query that hold the body.
    """
    (y0, y1, x0, x1), (v0, v1, u0, u1) = bodies
    cut, wanted = drawn[:, y0:y1, x0:x1], (shape[0], v1 - v0, u1 - u0)
    factors = [new / old for new, old in zip(wanted, cut.shape, strict=True)]
    laid = np.zeros(shape, drawn.dtype)
    laid[:, v0:v1, u0:u1] = ndimage.zoom(cut, factors, order=0, mode="nearest", grid_mode=True)
    return laid


def with_random_weights(model: FewShot) -> FewShot:
    """Return the same model, its network as training began with it."""
    torch.manual_seed(0)
    network = build_network(model.recipe)
    if not isinstance(network, ALPNet):
        raise TypeError(f"{model.recipe.name} is no few-shot model")
    return replace(model, network=model.runtime.place(network).eval())


def held_by(labels: NDArray[Any], names: LabelSet) -> LabelSet:
    """Return the organs that labels show."""
    there = set(np.unique(labels).tolist())
    return names.subset([name for name, number in names.ids.items() if number in there])


def marks_of(found: Volume, truth: Volume, asked: LabelSet, *, known: Iterable[str]) -> Marks:
    """Score the organs asked for on the query's own grid.

    Args:
        found: What was found.
        truth: What was drawn.
        asked: Organs of the support.
        known: Organs that somebody looked for when the truth was drawn; no other is judged.
    """
    there = held_by(truth.array, asked)
    lacking = [name for name in asked.names if name not in there.ids and name in set(known)]
    shown = held_by(found.array, asked).names
    dsc = {score.organ: score.dsc for score in evaluate(found, truth, there)}
    return Marks(dsc, {name: name in shown for name in lacking})


def score_pair(
    support: Case, query: Case, names: LabelSet, models: Mapping[str, FewShot], dataset: Dataset
) -> dict[str, Marks]:
    """Return way to marks; every organ of the support is asked for."""
    scan, image = read_volume(support.image), read_volume(query.image)
    drawn = read_labels(support.labels or support.image, like=scan)
    truth = read_labels(query.labels or query.image, like=image)
    known = names.names if query.labels_present is None else query.labels_present
    asked, model = held_by(drawn.array, names), models[CARRIED]
    found = {way: find_organs(image, scan, drawn, asked, one).labels for way, one in models.items()}
    walked = SupportSettings(join_neighbour=True)
    found[JOINED] = find_organs(image, scan, drawn, asked, model, settings=walked).labels
    bodies = [Sheets.of(volume, model.recipe.input).body for volume in (scan, image)]
    kept = np.where(np.isin(drawn.array, [*asked.ids.values()]), drawn.array, 0)
    found[LAID] = image.with_array(lay_over(kept, image.shape, (bodies[0], bodies[1])))
    marks = {way: marks_of(one, truth, asked, known=known) for way, one in found.items()}
    cached = [
        read_case(c, labels=dataset.labels, recipe=model.recipe.input) for c in (support, query)
    ]
    dice = {
        name: protocol_dice(
            model.network, *cached, number, recipe=model.recipe, runtime=model.runtime
        )
        for name, number in held_by(truth.array, asked).ids.items()
    }
    return marks | {PROTOCOL: Marks(dice)}


def rows_of(scores: Sequence[Mapping[str, Marks]]) -> list[dict[str, Any]]:
    """Average DSC over pairs, then over organs; count what was found and is not there."""
    rows = []
    for way in (*WAYS, PROTOCOL):
        by_organ: dict[str, list[float]] = {}
        absent: list[bool] | None = None if way == PROTOCOL else []
        for pair in scores:
            for organ, dsc in pair[way].dsc.items():
                by_organ.setdefault(organ, []).append(dsc)
            if absent is not None:
                absent += (pair[way].absent or {}).values()
        means = {organ: float(np.mean(marks)) for organ, marks in by_organ.items()}
        rows.append(
            {
                "way": way,
                "dsc": float(np.mean(list(means.values()))),
                **means,
                "absent_organs_found": None if absent is None else sum(absent),
                "absent_organs": None if absent is None else len(absent),
            }
        )
    return rows


def figures_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return what is ahead of what; the published protocol stands for itself."""
    by_way = {row["way"]: row for row in rows}
    means = {way: row["dsc"] for way, row in by_way.items()}
    return {
        "propagation_minus_alone": means[CARRIED] - means[ALONE],
        "propagation_minus_random_weights": means[CARRIED] - means[RANDOM],
        "propagation_minus_support_laid_over": means[CARRIED] - means[LAID],
        "absent_organs_found": by_way[CARRIED]["absent_organs_found"],
        "absent_organs": by_way[CARRIED]["absent_organs"],
        "extent_known_dsc_of_its_slices_on_the_models_grid": means[PROTOCOL],
    }


def notes_of(patients: Sequence[str], cards: Mapping[str, Card]) -> list[str]:
    """Say who was asked, what the networks knew, and what is counted."""
    asked = (
        "Every organ that the support holds is asked for. Mean DSC of whole scans over those that "
        "the query holds too; those that it lacks are counted where they were found."
    )
    last = (
        "The last row knows the organ's extent and is scored on its slices only, on the model's "
        "grid: a figure for itself."
    )
    who = (
        f"{len(patients)} patients of whom neither network has seen a scan: {', '.join(patients)}."
    )
    return [who, *(practice_of(name, card, patients) for name, card in cards.items()), asked, last]


def command_of(args: argparse.Namespace) -> str:
    """Return the command without the folders of this machine."""
    words = ["--data", args.data.name, "--model", Path(args.model).stem]
    words += ["--group", args.group] if args.group else []
    words += ["--last", str(args.last)] if args.last else []
    words += ["--organs", *args.organs] if args.organs else []
    return shlex.join(["python", "benchmarks/fewshot_scans.py", *words])


def arguments() -> argparse.Namespace:
    """Return what was typed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="nnU-Net raw folder")
    parser.add_argument("--model", required=True)
    parser.add_argument("--group", help="of splits.json")
    parser.add_argument("--last", type=int, help="so many of the last cases, where no group is")
    parser.add_argument("--organs", nargs="+", help="only these")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args()


def main() -> None:
    """Score every pair and keep the figures."""
    args = arguments()
    dataset = find_cases(args.data)
    cases = dataset.select(args.group)[-args.last if args.last else 0 :]
    patients = [case.name for case in cases]
    model = load_fewshot(args.model, pick_runtime())
    carrier = model.recipe.inference.propagator or DEFAULT_PROPAGATOR
    cards = {
        Path(name).stem: load_weights(find_weights(name)[0]).card for name in (args.model, carrier)
    }
    expect_unseen(patients, cards)
    models = {
        CARRIED: model,
        ALONE: replace(model, carrier=None),
        RANDOM: with_random_weights(model),
    }
    names = dataset.labels.subset(args.organs) if args.organs else dataset.labels
    scores = []
    for support, query in zip(cases, [*cases[1:], cases[0]], strict=True):
        scores.append(score_pair(support, query, names, models, dataset))
        means = {way: float(np.mean([*s.dsc.values()])) for way, s in scores[-1].items()}
        print(query.name, {way: round(mean, 3) for way, mean in means.items()}, flush=True)
    rows = rows_of(scores)
    write_result(
        f"fewshot_scans_{args.data.name}",
        title=f"Whole scans from one support of another patient: {args.data.name}",
        figures=figures_of(rows),
        rows=rows,
        notes=notes_of(patients, cards),
        command=command_of(args),
        folder=args.results,
    )


if __name__ == "__main__":
    main()
