"""Whether the rules for pseudo labels choose well, where the withheld truth is known.

A model labels scans whose labels it never saw; each rule and some sets of rules then accept organs.
The truth is looked at only afterwards: the mean DSC of what was accepted against what was refused.

    python benchmarks/pseudo_choice.py --data DIR --model WEIGHTS --judge WEIGHTS --out FOLDER
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from results_io import RESULTS, write_result

from slicekit.data.cases import Dataset, find_cases
from slicekit.inference.model import load_model
from slicekit.io import read_labels
from slicekit.runtime import pick_runtime
from slicekit.training.pseudo import (
    JudgedCase,
    judge,
    parse_rules,
    precision_of_choice,
    usual_rules,
)
from slicekit.training.pseudo.groups import choose_groups
from slicekit.training.pseudo.labelling import Helpers, PseudoDataset, label_dataset

SETS = {
    "everything": (),
    "voxels (Gao et al.)": ("voxels",),
    "agreement (Pham et al.)": ("agreement",),
    "with prior knowledge": ("volume", "component", "continuity", "order", "border"),
    "without it": ("confidence", "confidence-top", "agreement"),
    "slicekit's choice": tuple(map(str, usual_rules("reference"))),
}
ALONE = (
    "volume", "component", "continuity", "order", "border", "confidence", "confidence-top",
)  # fmt: skip


def judged(made: PseudoDataset, dataset: Dataset, rules: tuple[str, ...]) -> Iterator[JudgedCase]:
    """Judge every case by some rules, one case in memory at a time."""
    truths = {case.name: case.labels for case in dataset.cases}
    asked = parse_rules(rules)
    for name, facts in made.facts.items():
        said = read_labels(made.prediction(name))
        known = read_labels(truths[name] or "", like=said)
        yield JudgedCase(said.array, known.array, judge(facts, made.prior, asked))


def compare(
    made: PseudoDataset, dataset: Dataset, sets: Mapping[str, tuple[str, ...]]
) -> list[dict[str, Any]]:
    """Return a row a set of rules: what it accepts and refuses, and how good both are."""
    rows = []
    for title, rules in sets.items():
        whole, _ = precision_of_choice(judged(made, dataset, rules), made.organs)
        rows.append(
            {
                "rules": title,
                "which": " ".join(map(str, parse_rules(rules))),
                "accepted": whole.accepted,
                "refused": whole.refused,
                "accepted_dsc": whole.accepted_dsc,
                "refused_dsc": whole.refused_dsc,
                "gain": whole.gain,
            }
        )
        print(f"{title:28s} {whole.accepted:4d} {whole.accepted_dsc:.3f} "
              f"{whole.refused:4d} {whole.refused_dsc:.3f}")  # fmt: skip
    return rows


def main() -> None:
    """Label, judge in many ways, compare with the truth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="nnU-Net raw folder")
    parser.add_argument("--model", required=True, help="learnt from the labelled group only")
    parser.add_argument("--judge", help="another such model, for the rule loss")
    parser.add_argument("--earlier", type=Path, help="pseudo labels of a model before, as --out")
    parser.add_argument("--propagator", help="for the rule both-ways; of whole slices")
    parser.add_argument("--labelled", default="few_labelled", help="group of splits.json")
    parser.add_argument("--unlabelled", default="unlabelled", help="group of splits.json")
    parser.add_argument("--out", type=Path, required=True, help="folder of the pseudo labels")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    runtime = pick_runtime()
    dataset = find_cases(args.data)
    groups = choose_groups(
        dataset, labelled=args.labelled, unlabelled=args.unlabelled, held_out="val"
    )
    alone = [
        *ALONE,
        *(("loss",) if args.judge else ()),
        *(("stability",) if args.earlier else ()),
        *(("both-ways",) if args.propagator else ()),
    ]
    sets = {**SETS, **{f"{name} alone": (name,) for name in alone}}
    made = label_dataset(
        dataset,
        groups,
        load_model(args.model, runtime, propagator=args.propagator or False),
        args.out,
        rules=parse_rules(sorted({rule.split(">")[0] for one in sets.values() for rule in one})),
        helpers=Helpers(
            other=load_model(args.judge, runtime, propagator=False) if args.judge else None,
            earlier=args.earlier,
        ),
    )
    rows = compare(made, dataset, sets)
    ours = next(row for row in rows if row["rules"] == "slicekit's choice")
    every = rows[0]
    write_result(
        "pseudo_choice",
        title="Choosing pseudo labels: the DSC of what was accepted and of what was refused",
        figures={
            "all_dsc": every["accepted_dsc"],
            "accepted_dsc": ours["accepted_dsc"],
            "refused_dsc": ours["refused_dsc"],
            "accepted": ours["accepted"],
            "refused": ours["refused"],
        },
        rows=rows,
        notes=[
            f"{len(made.facts)} scans of the group {args.unlabelled!r}, whose labels no model saw:",
            "pairs and a propagator of `few_labelled.py`, trained on four other scans.",
            "An organ counts once a scan. One that was taken as absent counts 1 where it is.",
            "An organ that was not found is accepted only where a labelled scan lacks it too and a",
            "rule that can tell was asked.",
        ],
        command="python benchmarks/pseudo_choice.py --data DIR --model WEIGHTS --judge WEIGHTS "
        "--earlier FOLDER --propagator WEIGHTS --out FOLDER",
        folder=args.results,
    )


if __name__ == "__main__":
    main()
