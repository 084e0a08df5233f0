"""The state of a training run on disk: enough to go on as if nothing had happened."""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from slicekit.checkpoint import fill, retrieve, store
from slicekit.errors import CheckpointError, DataWarning, RecipeError
from slicekit.recipes import Recipe, recipe_from_json
from slicekit.recipes.weights_header import read_header
from slicekit.runtime import Runtime
from slicekit.training.census import Census
from slicekit.training.provenance import Provenance, expect_same_scans

log = logging.getLogger(__name__)

_NAMED = 8


_HARMLESS = re.compile(
    r"(about|licence|scores|weights|inference)\b"
    r"|training\.(cache_gib|checkpoint_every|evaluate_every|rounds\.\w+)$"
    r"|networks\.\d+\.start$|training\.teacher\.weights$"
)
"""Keys of a recipe that may change while a run goes on: they do not change its weights. Where a
run started from is in its state, and so is the checksum of its teacher; both may have moved. What
rounds chose to learn from shows in the digests of the labels."""


@dataclass(frozen=True, eq=False)
class RunState:
    """What changes while a run goes on."""

    network: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    census: Census = field(default_factory=Census)
    teacher_sha256: str | None = None
    """Of the teacher that was trained before, where there is one; it does not change."""
    scans: Provenance | None = None
    """What the run learns from, where somebody says so; it does not change."""


def write_state(
    path: Path,
    state: RunState,
    *,
    step: int,
    scores: dict[str, float],
    recipe: Recipe,
    runtime: Runtime,
) -> None:
    """Write the state whole or not at all.

    Raises:
        WriteError: The disk is full or read-only; the previous state still stands.
    """
    tensors: dict[str, Tensor] = {
        **{f"network.{k}": v for k, v in state.network.state_dict().items()},
        **{f"average.{k}": v for k, v in state.average.state_dict().items()},
    }
    for number, moments in state.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{k}": v for k, v in moments.items()}
    facts = {
        "step": step,
        "scores": scores,
        "census": state.census.counts,
        "teacher_sha256": state.teacher_sha256,
        "scans": state.scans,
        "threads": runtime.threads,
        "precision": runtime.precision,
        "torch": torch.__version__,
    }
    store(path, tensors, {"recipe": recipe.to_json(), "run": json.dumps(facts)})


def expect_state_of(path: Path, recipe: Recipe) -> None:
    """Refuse the state of another recipe at the door; nothing saved is all right.

    Raises:
        CheckpointError: As ``read_state``, of what the header alone tells.
    """
    if path.exists():
        _expect_run(read_header(path), recipe, path=path)


def read_state(
    path: Path, state: RunState, *, recipe: Recipe, runtime: Runtime
) -> tuple[int, dict[str, float]]:
    """Put a saved state back, where there is one.

    Returns:
        Steps done and the last scores; ``(0, {})`` where nothing is saved.

    Raises:
        CheckpointError: The file is damaged, is no run state, or belongs to another recipe, to
            another teacher or to other scans; the message shows what differs.
    """
    if not path.exists():
        return 0, {}
    stored = retrieve(path)
    _expect_run(stored.header, recipe, path=path)
    facts = json.loads(stored.header["run"])
    _expect_teacher(facts.get("teacher_sha256"), state.teacher_sha256, recipe=recipe, path=path)
    expect_same_scans(facts.get("scans"), state.scans, path=path)
    now = {
        "threads": runtime.threads,
        "precision": runtime.precision,
        "torch": torch.__version__,
    }
    changed = [f"{name} {facts[name]} -> {now[name]}" for name in now if facts[name] != now[name]]
    if changed:
        warnings.warn(
            f"{path}: the run goes on under other conditions ({', '.join(changed)}); it will "
            "not equal an uninterrupted one to the last bit",
            DataWarning,
            stacklevel=2,
        )
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in stored.tensors.items():
        part, _, rest = name.partition(".")
        groups.setdefault(part, {})[rest] = tensor
    fill(state.network, groups.get("network", {}), source=str(path))
    fill(state.average, groups.get("average", {}), source=str(path))
    optimiser = state.optimiser.state_dict()
    optimiser["state"] = _moments(groups.get("optimiser", {}))
    state.optimiser.load_state_dict(optimiser)
    for parameter, moments in state.optimiser.state.items():
        for name, value in moments.items():
            if value.shape == parameter.shape:  # the file forgets the memory order
                moments[name] = torch.empty_like(parameter).copy_(value)
    state.census.restore(facts.get("census", {}))
    log.info("going on from step %d of %s", facts["step"], path)
    return int(facts["step"]), dict(facts["scores"])


def _moments(tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, _, key = name.partition(".")
        moments.setdefault(int(number), {})[key] = tensor
    return moments


def expect_same_recipe(other: Recipe, recipe: Recipe, *, path: Path) -> None:
    """Refuse what another recipe made.

    Args:
        other: Of the file.
        recipe: Of the run.
        path: The file.

    Raises:
        CheckpointError: The two differ in what a run's weights depend on; the message names the
            keys.
    """
    before, now = (
        {key: value for key, value in _flat(one.model_dump()).items() if not _HARMLESS.match(key)}
        for one in (other, recipe)
    )
    changes = [
        f"{key} {before.get(key)!r} -> {now.get(key)!r}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]
    if changes:
        rest = f" and {len(changes) - _NAMED} more" if len(changes) > _NAMED else ""
        raise CheckpointError(
            f"{path}: belongs to another recipe; choose another --out, or undo the change: "
            + "; ".join(changes[:_NAMED])
            + rest
        )


def _expect_run(header: Mapping[str, str], recipe: Recipe, *, path: Path) -> None:
    """Refuse a file that is no state, or the state of another recipe."""
    if "run" not in header:
        raise CheckpointError(
            f"{path}: holds no run state; it may be a weights file, or of another tool; choose "
            "another --out"
        )
    try:
        other = recipe_from_json(header.get("recipe", "{}"), source=str(path))
    except RecipeError as fault:
        raise CheckpointError(
            f"{path}: belongs to a recipe that this version cannot read; choose another --out "
            f"({fault})"
        ) from fault
    expect_same_recipe(other, recipe, path=path)


def _expect_teacher(before: str | None, now: str | None, *, recipe: Recipe, path: Path) -> None:
    """Refuse to go on with another teacher under the same name; an old state names none."""
    if before is not None and before != now:
        raise CheckpointError(
            f"{path}: the run began with another teacher: the tensors of "
            f"{recipe.training.teacher.weights} had SHA-256 {before[:12]}..., now "
            f"{str(now)[:12]}...; put the old file back, or choose another --out"
        )


def _flat(values: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Name every value of nested tables, and of lists of tables, by its dotted key."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{before}{key}"
        if isinstance(value, tuple) and any(isinstance(one, dict) for one in value):
            value = {str(number): one for number, one in enumerate(value)}
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat
