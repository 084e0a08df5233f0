"""What ``segment`` does with one scan once the command line is understood."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from slicekit.cli.batches import say
from slicekit.terminal import bar, notes

if TYPE_CHECKING:
    from slicekit.inference.model import Model
    from slicekit.report.case import CaseFiles, SegmentOptions
    from slicekit.runtime import Runtime


def expect_part(parts: int | None, part: int | None) -> tuple[int, int] | None:
    """Return which part of how many is wanted; ``None`` for all.

    Raises:
        typer.BadParameter: One of the two was left out, or there is no such part.
    """
    if parts is None and part is None:
        return None
    if parts is None or part is None:
        raise typer.BadParameter("--parts N and --part K belong together; say both or neither")
    if part > parts:
        raise typer.BadParameter(f"--part goes from 1 to --parts, so to {parts}, got {part}")
    return part, parts


def load_announced(name: str | Path, runtime: Runtime, *, propagator: bool | str | Path) -> Model:
    """Load a model and say which it is and where it runs; see ``load_model``."""
    from slicekit.inference.model import load_model

    loaded = load_model(name, runtime, propagator=propagator)
    carrier = f" and {loaded.propagator_recipe.name}" if loaded.propagator_recipe else ""
    notes.print(f"{loaded.recipe.name}{carrier} on {loaded.runtime}")
    return loaded


def segment_one(
    scan: Path, labels: Path, model: Model, options: SegmentOptions, *, as_json: bool
) -> None:
    """Segment one scan and say what was written."""
    from slicekit.report.case import segment_file

    with bar() as told:
        files = segment_file(scan, labels, model, options=options, command=sys.argv, progress=told)
    if as_json:
        say(json.dumps(files.to_json(), indent=2))
    else:
        summarise(files)


def amount_text(amount: float) -> str:
    """Write a volume with three digits; a number of voxels whole.

    Example:
        >>> amount_text(1310.27), amount_text(41250)
        ('1310', '41250')
    """
    return str(amount) if isinstance(amount, int) else f"{float(f'{amount:.3g}'):g}"


def summarise(files: CaseFiles) -> None:
    """Say what was written for one scan."""
    stages = ", ".join(f"{stage} {value:.1f}" for stage, value in files.seconds.items())
    known = all(ml is not None for ml in files.volumes_ml.values())
    amounts = files.volumes_ml if known else files.voxels
    found = [f"{organ} {amount_text(amount)}" for organ, amount in amounts.items() if amount]
    beside = (files.sidecar, files.statistics, files.preview, files.uncertainty)
    say(
        f"{files.labels}\n"
        f"  seconds: {stages} (total {sum(files.seconds.values()):.1f})\n"
        f"  {'ml' if known else 'vx'}: {', '.join(found) or 'no organ was found'}\n"
        f"  beside it: {', '.join(path.name for path in beside if path is not None)}"
    )
