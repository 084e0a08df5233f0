"""The loop follows its schedule, writes what it did, and stops cleanly when it must."""

from __future__ import annotations

import copy
import json
import logging
import signal
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from slicekit.checkpoint import retrieve
from slicekit.errors import BudgetError, DatasetError, SlicekitError, WriteError
from slicekit.training.interrupt import Interrupted
from slicekit.training.loop import Journal, StepResult, fit, learning_rate


@dataclass(frozen=True)
class Points:
    """A batch."""

    places: Tensor  # (n, 2)


def batches(step):
    return Points(torch.rand(8, 2, generator=torch.Generator().manual_seed(step)))


def to_zero(network, batch, *, progress, average):
    """Drives a network's answers to zero; dropout needs the step's own randomness."""
    answers = nn.functional.dropout(network(batch.places), 0.3)
    return StepResult(answers.square().mean(), {"progress": torch.tensor(progress)})


class Tuned(nn.Module):
    """An encoder, which was trained before, and a head."""

    def __init__(self):
        super().__init__()
        self.encoder, self.head = nn.Linear(2, 4), nn.Linear(4, 1)

    def forward(self, places):
        return self.head(self.encoder(places).relu())


def line_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))


@pytest.fixture
def run(tmp_path, make_recipe, runtime):
    """Fit the smallest network; keywords go to the recipe or to ``fit``."""

    def start(
        *, method=to_zero, batches=batches, out="run", evaluate=None, progress=None, **training
    ):
        return fit(
            line_network(),
            method,
            batches,
            recipe=make_recipe(**{"learning_rate": 0.1, **training}),
            out=tmp_path / out,
            runtime=runtime,
            evaluate=evaluate,
            progress=progress,
        )

    return start


def lines(folder, kind="step"):
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [entry for entry in entries if entry["kind"] == kind]


def test_the_rate_climbs_then_falls_to_one_percent(make_recipe):
    training = make_recipe(steps=1000, learning_rate=2.0, warmup_share=0.1).training
    rates = [learning_rate(step, training) for step in range(1001)]
    assert rates[0] == pytest.approx(0.02)
    assert rates[99] == rates[100] == max(rates) == 2.0
    assert rates[550] == pytest.approx(2.0 * (0.01 + 0.99 / 2))
    assert rates[1000] == pytest.approx(0.02)
    assert all(a < b for a, b in pairwise(rates[:100]))
    assert all(a > b for a, b in pairwise(rates[100:]))


def test_a_run_of_one_step_has_a_rate(make_recipe):
    training = make_recipe(steps=1, warmup_share=0, learning_rate=2.0).training
    assert learning_rate(0, training) == 2.0


def test_training_learns_and_gives_back_the_average_and_its_scores(run, tmp_path):
    seen, told = [], []

    def evaluate(network):
        seen.append(network.training)
        assert torch.is_inference_mode_enabled()
        return {"dsc": len(seen) / 10, "liver": float("nan")}

    average, scores = run(
        steps=60, evaluate_every=25, evaluate=evaluate, progress=lambda *step: told.append(step)
    )
    assert seen == [False] * 3
    assert scores["dsc"] == 0.3
    assert told == [(step, 60) for step in range(1, 61)]
    steps = lines(tmp_path / "run")
    assert [entry["step"] for entry in steps] == [25, 50, 60]
    assert steps[-1]["loss"] < 0.5 * steps[0]["loss"]
    assert steps[-1]["progress"] == pytest.approx(59 / 60)
    assert steps[-1]["left_s"] == 0
    scored = lines(tmp_path / "run", "evaluation")
    assert [(entry["step"], entry["dsc"], entry["liver"]) for entry in scored] == [
        (25, 0.1, None),
        (50, 0.2, None),
        (60, 0.3, None),
    ]
    stored = retrieve(tmp_path / "run" / "state.safetensors")
    for name, tensor in average.state_dict().items():
        assert torch.equal(stored.tensors[f"average.{name}"], tensor)


def test_a_finished_run_is_not_trained_again(run, tmp_path):
    first, scores = run(evaluate=lambda _: {"dsc": 0.5})
    log = (tmp_path / "run" / "log.jsonl").read_text()

    def never(*_args, **_options):
        raise AssertionError

    again, same_scores = run(method=never, evaluate=never)
    assert same_scores == scores
    assert all(map(torch.equal, first.state_dict().values(), again.state_dict().values()))
    assert (tmp_path / "run" / "log.jsonl").read_text() == log


def test_pixels_of_every_class_are_logged_with_a_score_or_without(run, tmp_path):
    def counted(network, batch, *, progress, average):
        count = torch.zeros(14, dtype=torch.int64)
        count[[0, 6]] = torch.tensor([3, 1])
        result = to_zero(network, batch, progress=progress, average=average)
        return StepResult(result.loss, counts={"labelled": count, "pseudo": 2 * count})

    for out, evaluate in (("with", lambda _: {"dsc": 0.5}), ("without", None)):
        run(method=counted, out=out, evaluate=evaluate)
        shares = lines(tmp_path / out, "classes")
        assert [line["step"] for line in shares] == [4, 6]
        assert all(line["labelled liver"] == line["pseudo liver"] == 0.25 for line in shares)
        assert all(line["pseudo spleen"] == 0 for line in shares)
    run(out="none", evaluate=lambda _: {"dsc": 0.5})
    assert lines(tmp_path / "none", "classes") == []


def test_a_method_is_given_the_average_as_it_is_before_its_step(run):
    seen = []

    def look(network, batch, *, progress, average):
        assert not average.training
        assert network.training
        pairs = zip(network.parameters(), average.parameters(), strict=True)
        seen.append(all(torch.equal(one, other) for one, other in pairs))
        return to_zero(network, batch, progress=progress, average=average)

    run(method=look, steps=3)
    assert seen == [True, False, False]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_state_of_that_very_step(run, tmp_path, number):
    def stop(done, _steps):
        if done == 4:
            signal.raise_signal(number)

    with pytest.raises(Interrupted, match="stopped at step 4 of 9") as caught:
        run(steps=9, checkpoint_every=100, progress=stop)
    assert caught.value.signal == number
    facts = json.loads(retrieve(tmp_path / "run" / "state.safetensors").header["run"])
    assert facts["step"] == 4


def test_a_signal_in_the_last_step_finds_the_run_done(run):
    def stop(done, steps):
        if done == steps:
            signal.raise_signal(signal.SIGTERM)

    average, _ = run(progress=stop)
    assert not average.training


def test_a_gradient_that_is_not_finite_stops_the_run_and_keeps_the_last_state(run, tmp_path):
    def diverge(network, batch, *, progress, average):
        scale = float("inf") if progress > 0.6 else 1.0
        return StepResult(network(batch.places).square().mean() * scale)

    with pytest.raises(SlicekitError, match=r"gradient of step 4 is not finite.*learning_rate"):
        run(method=diverge)
    stored = retrieve(tmp_path / "run" / "state.safetensors")
    assert json.loads(stored.header["run"])["step"] == 3
    assert all(torch.isfinite(tensor).all() for tensor in stored.tensors.values())


def test_a_batch_that_cannot_be_made_is_named_by_its_step(run):
    def broken(step):
        if step == 2:
            raise IndexError("slice 99 of phantom 1")
        return batches(step)

    with pytest.raises(
        DatasetError, match=r"batch of step 2 .*IndexError\('slice 99 of phantom 1'"
    ):
        run(batches=broken)

    def short(step):
        raise BudgetError("too little")

    with pytest.raises(BudgetError, match="too little"):
        run(batches=short, out="other")


def test_the_journal_drops_what_the_run_does_again_and_broken_lines(tmp_path):
    path = tmp_path / "deep" / "log.jsonl"
    journal = Journal(path, keep_to=0)
    for step in (25, 50, 75):
        journal.write(step, {"loss": step / 100})
    with path.open("a") as log:
        log.write('[1]\n{"kind": "x"}\n{"step": 80, "kind": "st')
    Journal(path, keep_to=50).write(75, {"loss": 9.0, "norm": float("inf")})
    entries = lines(path.parent)
    assert [(entry["step"], entry["loss"]) for entry in entries] == [(25, 0.25), (50, 0.5), (75, 9)]
    assert entries[-1]["norm"] is None
    assert [file.name for file in path.parent.iterdir()] == ["log.jsonl"]


def test_a_full_disk_is_a_write_error_of_the_journal(tmp_path):
    journal = Journal(tmp_path / "log.jsonl", keep_to=0)
    journal.path = type(journal.path)("/dev/full")
    with pytest.raises(WriteError, match=r"/dev/full: .*No space left"):
        journal.write(1, {"loss": 0.5})


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_encoders_learn_at_a_rate_of_their_own(share, optimiser, tmp_path, make_recipe, runtime):
    torch.manual_seed(0)
    network = Tuned()
    before = copy.deepcopy(network)
    steps = {"steps": 1, "learning_rate": 0.1, "weight_decay": 0.0, "optimiser": optimiser}
    recipe = make_recipe(encoder_rate_share=share, **steps)
    fit(network, to_zero, batches, recipe=recipe, out=tmp_path / "run", runtime=runtime)
    whole = copy.deepcopy(before)
    fit(whole, to_zero, batches, recipe=make_recipe(**steps), out=tmp_path / "2", runtime=runtime)
    for name, moved in whole.named_parameters():
        start, now = before.get_parameter(name), network.get_parameter(name)
        wanted = share if name.startswith("encoder.") else 1.0
        torch.testing.assert_close(now - start, wanted * (moved - start), rtol=1e-3, atol=1e-6)


def test_a_run_with_two_rates_goes_on_to_the_last_bit(tmp_path, make_recipe, runtime):
    def trained(out, **training):
        torch.manual_seed(0)
        recipe = make_recipe(encoder_rate_share=0.5, learning_rate=0.1, **training)
        stop = interrupt_at(2) if out == "parts" else None
        run = {"recipe": recipe, "out": tmp_path / out, "runtime": runtime, "progress": stop}
        try:
            return fit(Tuned(), to_zero, batches, **run)[0]
        except Interrupted:
            return fit(Tuned(), to_zero, batches, **run | {"progress": None})[0]

    def interrupt_at(step):
        return lambda done, total: signal.raise_signal(signal.SIGINT) if done == step else None

    whole, parts = trained("whole"), trained("parts")
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.equal(one, other)


def test_figures_can_be_told_in_words_and_are_written_as_they_are(tmp_path, caplog):
    journal = Journal(tmp_path / "log.jsonl", keep_to=0)
    with caplog.at_level(logging.INFO):
        journal.write(4, {"labelled liver": 0.25}, title="classes", words="liver 25 %")
    assert "classes 4: liver 25 %" in caplog.text
    (line,) = journal.path.read_text().splitlines()
    assert json.loads(line) == {"step": 4, "kind": "classes", "labelled liver": 0.25}
