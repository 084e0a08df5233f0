"""Put trained weights into weights/, their digest and the measured scores into the recipe.

Run it again after `benchmarks/abdomen_val.py`, so that the scores are those of these weights.

python benchmarks/bundle.py runs/reference/ct_abdomen_reference.safetensors
"""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path

from make_numbers import read_results
from results_io import RESULTS, write_text

from slicekit.checkpoint import load_weights
from slicekit.io.atomic import write_atomically

CHECKOUT = RESULTS.parents[1]
LARGEST_BYTES = 45_000_000


def with_weights(recipe: str, *, file: str, sha256: str, scores: dict[str, float]) -> str:
    """Return the text of a recipe with its last tables, [weights] and [scores], replaced."""
    kept = re.sub(r"\n\[weights\]\n.*\Z", "\n", recipe, flags=re.DOTALL).rstrip()
    lines = [kept, "", "[weights]", f'file = "{file}"', f'sha256 = "{sha256}"']
    if scores:
        lines += ["", "[scores]", *(f"{organ} = {dsc:.3f}" for organ, dsc in scores.items())]
    return "\n".join([*lines, ""])


def measured(role: str) -> dict[str, float]:
    """Return the DSC of the whole pipeline on the held-out scans, where it was measured."""
    results = {result["name"]: result for result in read_results()}
    if role != "reference" or "abdomen_val" not in results:
        return {}
    rows = results["abdomen_val"]["rows"]
    return {row["organ"]: row["pipeline_dsc"] for row in rows if row["pipeline_dsc"] is not None}


def main() -> None:
    """Check the weights, copy them, change the recipe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path, help="NAME.safetensors of a finished run")
    args = parser.parse_args()
    loaded = load_weights(args.weights)
    if args.weights.stat().st_size > LARGEST_BYTES:
        parser.error(f"{args.weights} is larger than {LARGEST_BYTES} bytes")
    target = CHECKOUT / "weights" / f"{loaded.recipe.name}.safetensors"

    def copy(temporary: Path) -> None:
        shutil.copyfile(args.weights, temporary)

    write_atomically(target, copy)
    recipe = CHECKOUT / "models" / f"{loaded.recipe.name}.toml"
    text = recipe.read_text(encoding="utf-8")
    changed = with_weights(
        text, file=target.name, sha256=loaded.sha256, scores=measured(loaded.recipe.role)
    )
    write_text(recipe, changed)
    print(target, loaded.sha256)


if __name__ == "__main__":
    main()
