"""What scans without labels are worth when four are labelled: every way to use them, and controls.

Every row is trained from random weights on the group `few_labelled`, with the group `unlabelled`
without its labels, and scored on `val` at its last step. Nothing that is compared saw another
label: the propagator too is trained on the same four scans. Runs that are there already are not
repeated, so that the script can be stopped and started again.

    python benchmarks/few_labelled.py --data DIR --out RUNS
"""

from __future__ import annotations

import argparse
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from abdomen_val import SYNAPSE, Tally, mean, score_case
from results_io import RESULTS, write_result

from slicekit.data.cases import find_cases
from slicekit.inference.model import load_model
from slicekit.recipes import Recipe, read_recipe
from slicekit.runtime import Runtime, pick_runtime
from slicekit.training.rounds import train_in_rounds
from slicekit.training.run import train

MODELS = Path(__file__).resolve().parents[1] / "models"
LABELS = ("training.labelled_group=few_labelled", "training.unlabelled_group=unlabelled")
SHARED = (
    *LABELS,
    "training.phantoms=0",
    "training.batch=4",
    "training.batch_unlabelled=4",
    "training.learning_rate=1.5e-3",
    "training.ema=0.995",
    "training.evaluate_every=500",
    "training.checkpoint_every=100",
    "training.cps.weight=0.3",
    "training.cps.ramp_share=0.6",
    "training.teacher.ramp_share=0.6",
)
VOLUMETRIC = (
    *LABELS,
    "input.spacing_mm=2.5",
    "training.patch=[64,96,96]",
    "training.batch=2",
    "training.learning_rate=1e-3",
    "training.evaluate_every=10000",
    "training.rounds.rules=['voxels']",
)
PROPAGATOR = (*LABELS, "training.phantoms=0", "training.evaluate_every=10000")
ROWS = {
    "supervised": "supervised only: TransUNet",
    "side-by-side": "ensemble only: the pair, labels alone",
    "cps": "CPS",
    "cps-longer": "CPS, as many steps as with a round",
    "cps-round": "CPS + pseudo round",
    "cps-round-propagation": "CPS + pseudo round + propagation",
    "cps-rounds": "CPS + two pseudo rounds",
    "cps-rounds-propagation": "CPS + two pseudo rounds + propagation",
    "mean-teacher": "Mean Teacher: TransUNet",
    "teacher-student": "teacher-student: TransUNet",
    "dynunet": "DynUNet, labels alone",
    "dynunet-round": "DynUNet + pseudo labels by voxel count",
}
_ROUNDS = {"cps-round": ("cps", 2), "cps-rounds": ("cps", 3), "dynunet-round": ("dynunet", 2)}
"""Rows in rounds: the row that was the first of them, and how many."""
_CARRIED = "-propagation"
ALONE = ("supervised", "mean-teacher", "teacher-student")


class Bench:
    """The runs of one seed."""

    def __init__(self, data: Path, out: Path, runtime: Runtime, steps: int, seed: int) -> None:
        self.data, self.out, self.runtime = data, out, runtime
        self.steps, self.seed = steps, seed

    def weights(self, row: str, name: str = "ct_abdomen_reference") -> Path:
        """Return where the weights of a row lie once it is trained."""
        if row in _ROUNDS:
            first, count = _ROUNDS[row]
            return self.out / f"{first}-round" / f"round-{count}" / f"{name}.safetensors"
        return self.out / row / f"{name}.safetensors"

    def recipe(self, row: str) -> Recipe:
        """Return what a row trains."""
        longer = 1.5 if row == "cps-longer" else 1.0
        changes = [*SHARED, f"training.steps={round(self.steps * longer)}"]
        if row == "teacher-student":
            changes.append(f"training.teacher.weights={self.weights('supervised')}")
        if row in _ROUNDS:
            changes.append(f"training.rounds.count={_ROUNDS[row][1]}")
        return self._read("ct_abdomen_reference", changes, method=row if row != "cps" else None)

    def _read(self, name: str, changes: Sequence[str], *, method: str | None = None) -> Recipe:
        recipe = read_recipe(
            MODELS / f"{name}.toml", changes=[*changes, f"training.seed={self.seed}"]
        )
        training, networks = recipe.training, recipe.networks
        if method in ("side-by-side", *ALONE):
            training = training.model_copy(update={"method": method})
        if method in ALONE:
            networks = networks[:1]
        return recipe.model_copy(update={"training": training, "networks": networks})

    def train(self, row: str) -> None:
        """Train one row, unless its weights are there."""
        volumetric = row.startswith("dynunet")
        name = "ct_abdomen_volumetric" if volumetric else "ct_abdomen_reference"
        if row.endswith(_CARRIED):
            self._train_propagator()
            return
        if self.weights(row, name).exists():
            return
        if volumetric:
            rounds = 2 if row == "dynunet-round" else 1
            recipe = self._read(
                "ct_abdomen_volumetric",
                [
                    *VOLUMETRIC,
                    f"training.steps={self.steps // 5}",
                    f"training.rounds.count={rounds}",
                ],
            )
            small = tuple(n.model_copy(update={"preset": "small"}) for n in recipe.networks)
            recipe = recipe.model_copy(update={"networks": small})
        else:
            recipe = self.recipe(row)
        if row not in _ROUNDS:
            train(recipe, data=self.data, out=self.out / row, runtime=self.runtime)
            return
        first, _ = _ROUNDS[row]
        out = self.out / f"{first}-round"
        if not (out / "round-1").exists():
            shutil.copytree(self.out / first, out / "round-1")
        alone = recipe.inference.model_copy(update={"propagator": None})
        recipe = recipe.model_copy(update={"inference": alone})
        train_in_rounds(recipe, data=self.data, out=out, runtime=self.runtime)

    def _train_propagator(self) -> None:
        if not self.weights("propagator", "ct_abdomen_propagator").exists():
            recipe = self._read(
                "ct_abdomen_propagator", [*PROPAGATOR, f"training.steps={self.steps}"]
            )
            train(recipe, data=self.data, out=self.out / "propagator", runtime=self.runtime)

    def score(self, row: str, group: str) -> Tally:
        """Score one row on held-out scans, on their own grids."""
        if row.endswith(_CARRIED):
            carrier = self.weights("propagator", "ct_abdomen_propagator")
            path = self.weights(row.removesuffix(_CARRIED))
            model = load_model(path, pick_runtime(), propagator=carrier)
        else:
            name = "volumetric" if row.startswith("dynunet") else "reference"
            path = self.weights(row, f"ct_abdomen_{name}")
            model = load_model(path, pick_runtime(), propagator=False)
        tally = Tally()
        for case in find_cases(self.data).select(group):
            tally.add(score_case(model, case.image, case.labels or case.image))
        return tally


def main() -> None:
    """Train what is missing, score every row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="nnU-Net raw folder")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--threads", type=int, help="CPU threads of the training; all if not given")
    parser.add_argument("--group", default="val", help="group of splits.json to score on")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    runtime = pick_runtime(backend="torch", threads=args.threads)
    benches = [
        Bench(args.data, args.out / f"seed-{seed}", runtime, args.steps, seed)
        for seed in args.seeds
    ]
    rows: list[dict[str, Any]] = []
    for row in args.rows:
        tallies = []
        for bench in benches:
            bench.train(row)
            tallies.append(bench.score(row, args.group))
        eight = [mean(tally.dsc, SYNAPSE) for tally in tallies]
        organs = tuple(sorted({organ for tally in tallies for organ in tally.dsc}))
        rows.append(
            {
                "way": ROWS[row],
                "dsc_8_organs": float(np.mean(eight)),
                "lowest_seed": min(eight),
                "highest_seed": max(eight),
                "dsc_13_organs": float(np.mean([mean(t.dsc, organs) for t in tallies])),
            }
        )
        print(row, {key: value for key, value in rows[-1].items() if key != "way"}, flush=True)
    reached = {name: row["dsc_8_organs"] for name, row in zip(args.rows, rows, strict=True)}
    base = reached.get("supervised", float("nan"))
    write_result(
        "few_labelled",
        title="Four labelled and ten unlabelled scans: what each way makes of them",
        figures={
            f"{name}_minus_supervised": reached[name] - base
            for name in ("cps", "cps-round", "cps-round-propagation", "cps-rounds-propagation")
            if name in reached
        },
        rows=rows,
        notes=[
            f"Scored on the group {args.group!r} at the last step; {len(args.seeds)} seed(s).",
            f"{args.steps} steps of 4 labelled and 4 unlabelled slices; of DynUNet a short run,",
            f"{args.steps // 5} steps of 2 patches at 2.5 mm.",
            "A round adds half as many steps at half the rate.",
            "The propagator learnt from the same four scans only.",
        ],
        command="python benchmarks/few_labelled.py --data DIR --out RUNS",
        folder=args.results,
    )


if __name__ == "__main__":
    main()
