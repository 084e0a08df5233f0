"""Organs found in whole scans by one support of another patient: alone, and carried.

Nobody tells the query's extent. ALPNet names every slice by itself, or its surest slices become
guides that the propagator carries. Beside both stand the published protocol, in which the organ's
extent in the query is known, and two controls: random weights in ALPNet's place, and the labels of
the support laid over the query. Support and query are neighbours in a row of held-out patients,
whom neither network has seen.

    python benchmarks/fewshot_scans.py --data abdomen_mr --model abdomen_mr_fewshot --last 4
    python benchmarks/fewshot_scans.py --data abdomen_ct --model abdomen_ct_fewshot --group val
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results_io import RESULTS, write_result
from scipy import ndimage

from slicekit.data.cases import Case, Dataset, find_cases
from slicekit.data.slices import read_case
from slicekit.inference.fewshot import find_organs
from slicekit.inference.model import build_network
from slicekit.inference.shots import FewShot, load_fewshot
from slicekit.io import read_labels, read_volume
from slicekit.labels import LabelSet
from slicekit.metrics import evaluate
from slicekit.networks import ALPNet
from slicekit.runtime import pick_runtime
from slicekit.training.fewshot import protocol_dice
from slicekit.volume import Volume

ALONE, CARRIED = "ALPNet alone", "ALPNet + propagation"
RANDOM, LAID, PROTOCOL = "random weights + propagation", "support laid over", "extent known"
WAYS = (CARRIED, ALONE, RANDOM, LAID, PROTOCOL)


def lay_over(drawn: Volume, query: Volume) -> Volume:
    """Stretch the support's labels over the query's array: the control that looks at nothing."""
    factors = [new / old for new, old in zip(query.shape, drawn.shape, strict=True)]
    return query.with_array(ndimage.zoom(drawn.array, factors, order=0))


def with_random_weights(model: FewShot) -> FewShot:
    """Return the same model, its network as training began with it."""
    torch.manual_seed(0)
    network = build_network(model.recipe)
    if not isinstance(network, ALPNet):
        raise TypeError(f"{model.recipe.name} is no few-shot model")
    return replace(model, network=model.runtime.place(network).eval())


def dice_of(found: Volume, truth: Volume, names: LabelSet) -> dict[str, float]:
    """Return every organ's DSC on the query's own grid."""
    return {score.organ: score.dsc for score in evaluate(found, truth, names)}


def score_pair(
    support: Case, query: Case, names: LabelSet, models: Mapping[str, FewShot], dataset: Dataset
) -> dict[str, dict[str, float]]:
    """Return way to organ to DSC, of the organs that both scans hold."""
    scan, image = read_volume(support.image), read_volume(query.image)
    drawn = read_labels(support.labels or support.image, like=scan)
    truth = read_labels(query.labels or query.image, like=image)
    held = set(np.unique(drawn.array)) & set(np.unique(truth.array))
    both = names.subset([name for name, number in names.ids.items() if number in held])
    scores = {
        way: dice_of(find_organs(image, scan, drawn, both, model).labels, truth, both)
        for way, model in models.items()
    }
    scores[LAID] = dice_of(lay_over(drawn, image), truth, both)
    model = models[CARRIED]
    cached = [
        read_case(c, labels=dataset.labels, recipe=model.recipe.input) for c in (support, query)
    ]
    scores[PROTOCOL] = {
        name: protocol_dice(
            model.network, *cached, number, recipe=model.recipe, runtime=model.runtime
        )
        for name, number in both.ids.items()
    }
    return scores


def rows_of(scores: Sequence[Mapping[str, Mapping[str, float]]]) -> list[dict[str, Any]]:
    """Average over pairs, then over organs."""
    rows = []
    for way in WAYS:
        by_organ: dict[str, list[float]] = {}
        for pair in scores:
            for organ, dsc in pair[way].items():
                by_organ.setdefault(organ, []).append(dsc)
        means = {organ: float(np.mean(marks)) for organ, marks in by_organ.items()}
        rows.append({"way": way, "dsc": float(np.mean(list(means.values()))), **means})
    return rows


def main() -> None:
    """Score every pair and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="nnU-Net raw folder")
    parser.add_argument("--model", required=True)
    parser.add_argument("--group", help="of splits.json")
    parser.add_argument("--last", type=int, help="so many of the last cases, where no group is")
    parser.add_argument("--organs", nargs="+", help="only these")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    runtime = pick_runtime()
    model = load_fewshot(args.model, runtime)
    models = {
        CARRIED: model,
        ALONE: replace(model, carrier=None),
        RANDOM: with_random_weights(model),
    }
    dataset = find_cases(args.data)
    cases = dataset.select(args.group)[-args.last if args.last else 0 :]
    names = dataset.labels.subset(args.organs) if args.organs else dataset.labels
    scores = []
    for support, query in zip(cases, [*cases[1:], cases[0]], strict=True):
        scores.append(score_pair(support, query, names, models, dataset))
        print(
            query.name,
            {way: round(float(np.mean([*s.values()])), 3) for way, s in scores[-1].items()},
        )
    rows = rows_of(scores)
    means = {row["way"]: row["dsc"] for row in rows}
    write_result(
        f"fewshot_scans_{args.data.name}",
        title=f"Whole scans from one support of another patient: {args.data.name}",
        figures={"propagation_minus_alone": means[CARRIED] - means[ALONE]},
        rows=rows,
        notes=[
            f"{len(cases)} held-out patients: {', '.join(case.name for case in cases)}.",
            "Mean DSC of whole scans; only in the last row the organ's extent is known.",
        ],
        command=f"python benchmarks/fewshot_scans.py --data {args.data.name} --model {args.model}",
        folder=args.results,
    )


if __name__ == "__main__":
    main()
