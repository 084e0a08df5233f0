"""A new organ from a handful of scans: fine-tuned from a model of other organs, and from nothing.

Right ventricle, myocardium and left ventricle on cine MR, learnt from 1, 3 and 5 scans of as many
patients by the reference alone, whose weights know thirteen abdominal organs on CT. The control
has the same recipe and the same scans and starts from random weights, at its usual learning rate.
Both are scored on other patients at the last step. Nothing carries masks here: the bundled
propagator has practised on scans of these patients.

    python benchmarks/new_organ.py --data DIR --out runs/new_organ
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from abdomen_val import Tally, mean, score_case
from results_io import RESULTS, write_result

from slicekit.data.cases import Case, Dataset, find_cases
from slicekit.inference.model import load_model, recipe_of
from slicekit.recipes import read_recipe
from slicekit.runtime import Runtime, pick_runtime
from slicekit.training.finetune import FinetuneOptions, finetune
from slicekit.training.run import train

COUNTS = (1, 3, 5)
FROM = "ct_abdomen_reference"
CHANGES = ("training.rotation_deg=180",)
"""Short-axis slices lie in any direction: it is in the plane of the patient's heart."""


def patient_of(case: Case) -> str:
    """Return whose scan it is: two frames are of one patient."""
    return case.name.split("_")[0]


def part(dataset: Dataset) -> tuple[list[Case], list[Case]]:
    """Return the first scan of each of the first five patients, and all scans of the others."""
    patients = sorted({patient_of(case) for case in dataset.cases})
    taught = patients[: max(COUNTS)]
    first = [next(c for c in dataset.cases if patient_of(c) == name) for name in taught]
    return first, [case for case in dataset.cases if patient_of(case) not in taught]


def write_dataset(source: Dataset, cases: Sequence[Case], folder: Path) -> Path:
    """Make a dataset folder of some cases, all links."""
    for case in cases:
        if case.labels is None:
            raise SystemExit(f"{case.name} has no labels")
        for file, name in ((case.image, "imagesTr"), (case.labels, "labelsTr")):
            link = folder / name / file.name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(file.resolve())
    text = (source.folder / "dataset.json").read_text(encoding="utf-8")
    (folder / "dataset.json").write_text(json.dumps(json.loads(text)), encoding="utf-8")
    return folder


def name_of(scans: int, steps: int, start: str) -> str:
    """Return a name by which a run is known again only where all of it is the same."""
    return f"heart_{scans}_scans_{steps}_steps_from_{Path(start).stem}"


def fine_tuned(data: Path, folder: Path, runtime: Runtime, steps: int, start: str) -> Path:
    """Fine-tune as a user does; return the weights."""
    name = name_of(len(list((data / "imagesTr").iterdir())), steps, start)
    weights = folder / "models" / f"{name}.safetensors"
    if not weights.exists():
        options = FinetuneOptions(name=name, steps=steps, pilot=False, changes=CHANGES)
        finetune(
            data, start=start, out=folder / name, models=folder / "models", runtime=runtime,
            options=options,
        )  # fmt: skip
    return weights


def from_nothing(tuned: Path, data: Path, folder: Path, runtime: Runtime, base_rate: float) -> Path:
    """Train the same recipe from random weights; return the weights."""
    name = f"{tuned.stem}_scratch"
    recipe = read_recipe(tuned.with_suffix(".toml"), changes=["training.encoder_rate_share=1.0"])
    training = recipe.training.model_copy(update={"learning_rate": base_rate})
    networks = tuple(n.model_copy(update={"start": None}) for n in recipe.networks)
    recipe = recipe.model_copy(
        update={"name": name, "networks": networks, "training": training, "weights": None}
    )
    weights = folder / name / f"{name}.safetensors"
    if not weights.exists():
        train(recipe, data=folder / tuned.stem / "dataset", out=folder / name, runtime=runtime)
    return weights


def score(weights: Path, cases: Sequence[Case]) -> Tally:
    """Score a reference alone on scans it has not seen."""
    model, tally = load_model(weights, pick_runtime(), propagator=False), Tally()
    for case in cases:
        tally.add(score_case(model, case.image, case.labels or case.image))
    return tally


def main() -> None:
    """Train what is missing, score all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="nnU-Net raw folder")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--from", dest="start", default=FROM)
    parser.add_argument("--threads", type=int, help="CPU threads of the training; all if not given")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    runtime = pick_runtime(backend="torch", threads=args.threads)
    dataset = find_cases(args.data)
    first, others = part(dataset)
    base_rate = recipe_of(args.start).training.learning_rate
    rows: list[dict[str, Any]] = []
    for count in COUNTS:
        data = write_dataset(dataset, first[:count], args.out / f"scans-{count}")
        tuned = fine_tuned(data, args.out, runtime, args.steps, args.start)
        ways = {
            f"from {args.start}": tuned,
            "from random weights": from_nothing(tuned, data, args.out, runtime, base_rate),
        }
        for way, weights in ways.items():
            dsc = score(weights, others).dsc
            organs = {name: mean(dsc, (name,)) for name in dataset.labels.names}
            rows.append(
                {"scans": count, "way": way, "dsc": mean(dsc, dataset.labels.names), **organs}
            )
            print(rows[-1], flush=True)
    gains = {
        f"{one['scans']} scan(s): fine-tuned minus from random weights": one["dsc"] - other["dsc"]
        for one, other in zip(rows[::2], rows[1::2], strict=True)
    }
    write_result(
        "new_organ",
        title="A new organ from a handful of scans: fine-tuned, and from random weights",
        figures=gains,
        rows=rows,
        notes=[
            (
                f"{args.steps} steps of 4 slices each ({', '.join(CHANGES)}); the reference alone. "
                "Short-axis slices lie in any direction, so all directions are practised."
            ),
            (
                f"The control has the same {args.steps} steps and begins with nothing: it would "
                "gain from more of them, so this is what is ahead after so short a training. One "
                "seed."
            ),
            f"Scored on {len(others)} scans of {len({*map(patient_of, others)})} other patients.",
            "The model it starts from has seen CT of the abdomen only.",
        ],
        command="python benchmarks/new_organ.py --data DIR --out RUNS",
        folder=args.results,
    )


if __name__ == "__main__":
    main()
