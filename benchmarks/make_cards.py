"""Write weights/README.md, the model cards, from the weights' headers and what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from make_numbers import read_results
from results_io import RESULTS, write_text

from slicekit.checkpoint import load_weights
from slicekit.recipes import read_recipe

WEIGHTS = RESULTS.parents[1] / "weights"
MODELS = RESULTS.parents[1] / "models"
_HEAD = """\
# Bundled weights

Made by `make numbers` from the headers of the files and from `benchmarks/results`.

**Research use only, not commercial, not a medical device.** The networks learnt from scans of the
BTCV/Synapse challenge (Landman et al., syn3193805), which asks users to register and whose terms
apply; the scans themselves are not here. `any_propagator` learnt from CHAOS (Kavur et al.), ACDC
(Bernard et al.), LiTS (Bilic et al.), AMOS (Ji et al., CC BY 4.0) and one scan of TotalSegmentator
(Wasserthal et al.) besides; unlabelled slices of LiTS and AMOS helped the reference. What a handful
of scans can teach is little: expect errors on children, after surgery, without contrast, on
low-dose and on other body regions. Never use the result for diagnosis or treatment.
"""
_COUNTS = ("absent_organs", "absent_organs_found")
_USE = """
## How to use them

`slicekit.load_model("ct_abdomen_reference")` loads the reference and the propagator that its recipe
names. A file alone is enough as well: its header holds the recipe (organs, windows, spacing,
networks) and the SHA-256 of its tensors, which is checked on every load. The recipes beside them,
`models/NAME.toml`, ask for exactly these digests.

## How they were made

```bash
python train.py models/ct_abdomen_reference.toml --data DIR --out runs/reference --threads 1 \\
    --unlabelled lits_00.nii.gz lits_01.nii.gz amos_0013.nii.gz
python train.py models/ct_abdomen_propagator.toml --data DIR --out runs/propagator --threads 1
python benchmarks/gather_structures.py --shared DATA --out STRUCTURES
python train.py models/any_propagator.toml --data STRUCTURES/* --out runs/any --threads 1
python train.py models/abdomen_mr_fewshot.toml --data MR_DIR --out runs/mr --threads 1
python train.py models/abdomen_ct_fewshot.toml --data DIR --out runs/ct --threads 1 \\
    --set training.steps=800
```

Each ran on one core while other work ran on the machine, from the state of the code shortly before
this version: what changed since then (unlabelled pixels outside of a slice are no longer taught) is
not in them. The LiTS slices were pictures, taken to show [-125, 275] HU at 0.8 mm a pixel.
`any_propagator` saw fewer organs end in its first 4,152 steps (between_share 0.6, ending_share
0.35, ghost_share 0); the recipe says what it saw in the others. Its run was made longer twice: it
was planned for 10,000 steps and came to their end, went on at the rate of a run of 20,000, and from
step 12,751 on, on two cores, as the recipe says.
"""


def card(path: Path, results: dict[str, dict[str, Any]]) -> str:
    """Return the card of one weights file."""
    weights = load_weights(path)
    facts, recipe = weights.card, read_recipe(MODELS / f"{path.stem}.toml")
    kinds = ", ".join(
        f"{entry.architecture} on {entry.encoder}"
        if entry.kind == "smp"
        else f"{entry.kind} ({entry.preset})"
        for entry in recipe.networks
    )
    count = sum(tensor.numel() for tensor in weights.state.values()) / 1e6
    size = f"{count:.1f} million numbers, float16, {path.stat().st_size / 1e6:.1f} MB"
    names = f" ({', '.join(facts['trained_on'])})" if facts["trained_on"] else ""
    taught = f"{len(facts['trained_on'])} labelled scans{names}"
    rows = {
        "networks": f"{kinds}, {size}",
        "trained on": f"{taught}, {facts['phantoms']} phantoms",
        "without their labels": ", ".join(facts["unlabelled"]) or "none",
        "never seen": ", ".join(facts["held_out"]),
        "steps": f"{facts['steps']}, random start, averaged weights of the last step",
        "hardware": f"{facts['hardware']}, torch {facts['torch']}",
        "licence": recipe.licence,
        "SHA-256 of the tensors": f"`{weights.sha256}`",
    }
    lines = [
        f"\n## {recipe.name}\n",
        " ".join(recipe.about.split()) + "\n",
        "| | |",
        "| --- | --- |",
    ]
    lines += [f"| {key} | {value} |" for key, value in rows.items()] + [""]
    if recipe.role == "fewshot":
        lines += _few_shot_scores(recipe.name.removesuffix("_fewshot"), results)
    else:
        lines += _scores(recipe.role, facts["scores"], results)
    return "\n".join(lines)


def _few_shot_scores(data: str, results: dict[str, dict[str, Any]]) -> list[str]:
    """Return the table of scores of a model that is shown an organ in another patient."""
    result = results.get(f"fewshot_scans_{data}")
    if result is None:
        return ["Not measured yet.", ""]
    ways = {row["way"]: row for row in result["rows"]}
    shown = [ways["ALPNet alone"], ways["ALPNet + propagation"]]
    organs = [name for name in shown[0] if name not in ("way", *_COUNTS)]
    rows = [
        f"| {'mean' if organ == 'dsc' else organ.replace('_', ' ')} "
        f"| {_cell(shown[0][organ])} | {_cell(shown[1][organ])} |"
        for organ in organs
    ]
    note = (
        "DSC of whole held-out scans, each from one other patient's, the organ's extent unknown "
        "(`benchmarks/fewshot_scans.py`).\n"
    )
    head = ["| organ | alone | with propagation |", "| --- | --- | --- |"]
    return [note, *head, *rows, ""]


def _scores(role: str, quick: dict[str, float], results: dict[str, dict[str, Any]]) -> list[str]:
    """Return the table of scores: on whole scans for the reference, one jump for the propagator."""
    if role == "propagator" and len(quick) == 2:  # of tracks, whose organs have no names
        note = (
            "DSC of the last slice of tracks drawn from the held-out scans, on the model's grid; "
            "`copy` is the control: the guide's mask, unchanged. Whole scans: *From one, three or "
            "five drawn slices to the organ* in [numbers](../docs/numbers.md).\n"
        )
        rows = [f"| {name} | {value:.3f} |" for name, value in quick.items()]
        return [note, "| | DSC |", "| --- | --- |", *rows, ""]
    if role == "propagator":
        rows = [f"| {organ.replace('_', ' ')} | {value:.3f} |" for organ, value in quick.items()]
        note = (
            "DSC of one jump of 15 mm from a true mask on the held-out scans, on the model's grid; "
            "`dsc` is the mean over organs, `copy` the control: the mask carried over unchanged.\n"
        )
        return [note, "| organ | DSC |", "| --- | --- |", *rows, ""]
    if "abdomen_val" not in results:
        return ["Not measured yet.", ""]
    rows = [
        f"| {row['organ'].replace('_', ' ')} | {_cell(row['reference_alone_dsc'])} "
        f"| {_cell(row['propagation_only_dsc'])} | {_cell(row['pipeline_dsc'])} |"
        for row in results["abdomen_val"]["rows"]
    ]
    note = "DSC on the held-out scans' own grids, last checkpoint (`benchmarks/abdomen_val.py`).\n"
    head = ["| organ | reference alone | propagation only | both |", "| --- | --- | --- | --- |"]
    return [note, *head, *rows, ""]


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def main() -> None:
    """Write the page."""
    results = {result["name"]: result for result in read_results()}
    cards = [card(path, results) for path in sorted(WEIGHTS.glob("*.safetensors"))]
    write_text(WEIGHTS / "README.md", _HEAD + "".join(cards) + _USE)


if __name__ == "__main__":
    main()
