"""The only training loop.

A method is a step function; this loop draws its batches, follows the schedule, averages the
weights, evaluates, logs, keeps checkpoints and resumes from them. A batch is a function of the
step's number alone, and torch's generator is seeded by it, so a run that was interrupted
continues as if it had not been.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from slicekit.errors import DatasetError, SlicekitError, WriteError
from slicekit.io.atomic import why_not_written, write_atomically
from slicekit.recipes import Recipe, TrainingRecipe
from slicekit.runtime import Runtime
from slicekit.training.average import follow
from slicekit.training.census import in_words
from slicekit.training.interrupt import Interrupted, StopSignals
from slicekit.training.provenance import Provenance
from slicekit.training.state import RunState, read_state, write_state

log = logging.getLogger(__name__)

STATE = "state.safetensors"
LOG = "log.jsonl"
_LOG_EVERY = 25
_FINAL_RATE = 0.01
_STAIR, _STAIR_STEPS = 0.95, 1000
_MOMENTUM = 0.9


@dataclass(frozen=True)
class StepResult:
    """What one step of a method returns."""

    loss: Tensor
    """A scalar with gradient."""
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    """Detached scalars for the log."""
    counts: Mapping[str, Tensor] = field(default_factory=dict)
    """Pixels of every class in the labels of the step, by where the labels came from."""


class Method(Protocol):
    """One step of training: a loss from a network and a batch."""

    def __call__(
        self, network: Any, batch: Any, *, progress: float, average: nn.Module
    ) -> StepResult:
        """Return the loss; ``progress`` is the share of all steps done.

        ``average`` is the running average of the network, in eval mode.
        """


Batches = Callable[[int], Any]
"""Step number to batch; the same number always gives the same batch."""
Evaluation = Callable[[Any], dict[str, float]]
"""Averaged network in eval mode to scores; ``"dsc"`` is the mean."""


def learning_rate(step: int, recipe: TrainingRecipe) -> float:
    """Climb linearly over the warm-up, then fall by a cosine to 1 % of the largest rate.

    By stairs it falls to 95 % every 1000 steps instead (Ouyang et al. 2020).
    """
    warmup = max(1, round(recipe.warmup_share * recipe.steps))
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    if recipe.schedule == "stairs":
        return recipe.learning_rate * _STAIR ** (step // _STAIR_STEPS)
    passed = (step - warmup) / max(1, recipe.steps - warmup)
    share = _FINAL_RATE + (1 - _FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * min(1.0, passed)))
    return recipe.learning_rate * share


def fit(
    network: nn.Module,
    method: Method,
    batches: Batches,
    *,
    recipe: Recipe,
    out: Path,
    runtime: Runtime,
    evaluate: Evaluation | None = None,
    progress: Callable[[int, int], None] | None = None,
    teacher_sha256: str | None = None,
    scans: Provenance | None = None,
) -> tuple[nn.Module, dict[str, float]]:
    """Train a network to the last step of its recipe, from where ``out`` says it stands.

    Args:
        network: Fresh weights; replaced by the state in ``out`` where there is one.
        method: One step of training.
        batches: Makes the batch of a step.
        recipe: The model; ``recipe.training`` rules the run.
        out: Folder of the run: ``state.safetensors`` and ``log.jsonl``.
        runtime: Device, precision and threads.
        evaluate: Scores the averaged network every ``evaluate_every`` steps and at the end.
        progress: Told ``(steps done, steps in all)`` after every step.
        teacher_sha256: Of the teacher's tensors, where the method has one: it is of the run.
        scans: Of what the batches are made; the run goes on with these alone.

    Returns:
        The averaged network in eval mode, and its last scores.

    Raises:
        CheckpointError: ``out`` holds the state of another recipe or teacher, or of other scans.
        DatasetError: A batch could not be made; the message names the step and the cause.
        Interrupted: SIGINT or SIGTERM came; the state was saved first.
        SlicekitError: The gradient of a step is not finite.
        WriteError: The state or the log could not be written; the last state still stands.
    """
    training = recipe.training
    network = runtime.place(network).train()
    average = copy.deepcopy(network).eval()
    optimiser = _optimiser(network, training)
    state = RunState(network, average, optimiser, teacher_sha256=teacher_sha256, scans=scans)
    done, scores = read_state(out / STATE, state, recipe=recipe, runtime=runtime)
    journal = Journal(out / LOG, keep_to=done)
    started, first = time.monotonic(), done
    with StopSignals() as stop, ThreadPoolExecutor(1, "batches") as pool:
        ahead = pool.submit(_make, batches, done)
        while done < training.steps:
            batch = _result(ahead, done)
            if done + 1 < training.steps:
                ahead = pool.submit(_make, batches, done + 1)
            parts = _step(state, method, batch, done, recipe=recipe, runtime=runtime)
            done += 1
            if progress is not None:
                progress(done, training.steps)
            if done % _LOG_EVERY == 0 or done == training.steps:
                pace = (time.monotonic() - started) / (done - first)
                journal.write(done, parts, left_s=pace * (training.steps - done), pace_s=pace)
            last = done == training.steps
            if last or done % training.evaluate_every == 0:
                if evaluate is not None:
                    with torch.inference_mode(), runtime.autocast():
                        scores = evaluate(average)
                    journal.write(done, scores, title="evaluation")
                if shares := state.census.close(recipe.labels):
                    journal.write(done, shares, title="classes", words=in_words(shares))
            if last or stop.caught or done % training.checkpoint_every == 0:
                write_state(
                    out / STATE, state, step=done, scores=scores, recipe=recipe, runtime=runtime
                )
            if stop.caught and not last:
                raise Interrupted(step=done, steps=training.steps, signal=stop.caught, out=out)
    return average, scores


def _optimiser(network: nn.Module, training: TrainingRecipe) -> torch.optim.Optimizer:
    """Make the optimiser; encoders whose learning rate differs are a group of their own."""
    rate, decay = training.learning_rate, training.weight_decay
    groups: list[dict[str, Any]] = [{"params": list(network.parameters()), "share": 1.0}]
    if training.encoder_rate_share < 1:
        named = list(network.named_parameters())
        groups = [
            {"params": [p for name, p in named if "encoder." not in name], "share": 1.0},
            {
                "params": [p for name, p in named if "encoder." in name],
                "share": training.encoder_rate_share,
            },
        ]
    if training.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=_MOMENTUM, weight_decay=decay)
    return torch.optim.AdamW(groups, lr=rate, weight_decay=decay)


def _step(
    state: RunState, method: Method, batch: Any, step: int, *, recipe: Recipe, runtime: Runtime
) -> dict[str, float]:
    """Take one step: loss, gradient, clipping, weights, average; return what goes to the log."""
    training = recipe.training
    torch.manual_seed(training.seed * 1_000_003 + step)
    rate = learning_rate(step, training)
    for group in state.optimiser.param_groups:
        group["lr"] = rate * group["share"]
    with runtime.autocast():
        result = method(
            state.network, _put(batch, runtime), progress=step / training.steps,
            average=state.average,
        )  # fmt: skip
    state.optimiser.zero_grad(set_to_none=True)
    result.loss.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(state.network.parameters(), training.clip_norm)
    if not math.isfinite(float(norm)):
        raise SlicekitError(
            f"the gradient of step {step} is not finite (loss {float(result.loss.detach())}); "
            "start anew in another --out, with a lower training.learning_rate or in float32"
        )
    state.optimiser.step()
    follow(state.average, state.network, decay=min(training.ema, (1 + step) / (10 + step)))
    state.census.add(result.counts)
    parts = {name: float(value) for name, value in result.parts.items()}
    return {"loss": float(result.loss.detach()), **parts, "norm": float(norm), "rate": rate}


def _put(batch: Any, runtime: Runtime) -> Any:
    """Move the tensors of a batch, a dataclass, to the device."""
    tensors = {f.name: getattr(batch, f.name) for f in fields(batch)}
    return replace(batch, **{k: v.to(runtime.device) for k, v in tensors.items()})


def _make(batches: Batches, step: int) -> Any:
    return batches(step)


def _result(ahead: Future[Any], step: int) -> Any:
    try:
        return ahead.result()
    except SlicekitError:
        raise
    except Exception as fault:
        raise DatasetError(f"the batch of step {step} could not be made: {fault!r}") from fault


def _write_lines(file: Path, lines: list[str]) -> None:
    file.write_text("".join(lines), encoding="utf-8")


class Journal:
    """The run's log, one JSON object a line; also told to the logger.

    Args:
        path: ``log.jsonl``.
        keep_to: Lines of later steps are dropped: the run resumes before them.
    """

    def __init__(self, path: Path, *, keep_to: int) -> None:
        self.path = path
        kept = []
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            try:
                if json.loads(line)["step"] <= keep_to:
                    kept.append(line + "\n")
            except (ValueError, KeyError, TypeError):  # a line cut short when a run was killed
                continue
        write_atomically(path, lambda file: _write_lines(file, kept))

    def write(
        self,
        step: int,
        figures: Mapping[str, float],
        *,
        title: str = "step",
        left_s: float | None = None,
        pace_s: float | None = None,
        words: str | None = None,
    ) -> None:
        """Append one line; the logger is told the figures, or ``words`` instead."""
        timing = {} if left_s is None else {"left_s": round(left_s), "s_per_step": pace_s}
        finite = {k: (v if math.isfinite(v) else None) for k, v in figures.items()}
        try:
            with self.path.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({"step": step, "kind": title, **finite, **timing}) + "\n")
        except OSError as fault:
            raise WriteError(self.path, why_not_written(fault, self.path)) from fault
        shown = words or " ".join(f"{name} {value:.4g}" for name, value in figures.items())
        left = "" if left_s is None else f", {left_s / 60:.0f} min left ({pace_s:.2f} s a step)"
        log.info("%s %d: %s%s", title, step, shown, left)
