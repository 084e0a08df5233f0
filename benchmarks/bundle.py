"""Put a trained weights file into weights/, and its digest and scores into its recipe.

python benchmarks/bundle.py runs/reference/ct_abdomen_reference.safetensors
"""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path

from results_io import RESULTS, write_text

from slicekit.checkpoint import load_weights
from slicekit.io.atomic import write_atomically

CHECKOUT = RESULTS.parents[1]
LARGEST_BYTES = 45_000_000


def with_weights(recipe: str, *, file: str, sha256: str, scores: dict[str, float]) -> str:
    """Return the text of a recipe with its tables [weights] and [scores] replaced."""
    kept = re.sub(r"\n\[(weights|scores)\]\n(?:[^\[\n][^\n]*\n|\n(?!\[))*", "\n", recipe).rstrip()
    lines = [kept, "", "[weights]", f'file = "{file}"', f'sha256 = "{sha256}"', "", "[scores]"]
    lines += [f"{name} = {value:.4f}" for name, value in scores.items()]
    return "\n".join(lines) + "\n"


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
    scores = loaded.card["scores"]
    changed = with_weights(text, file=target.name, sha256=loaded.sha256, scores=scores)
    write_text(recipe, changed)
    print(target, loaded.sha256)


if __name__ == "__main__":
    main()
