"""Case 32 of the list of fault cases: a run that was interrupted goes on as if it had not been."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from slicekit.checkpoint import load_weights, retrieve
from slicekit.errors import CheckpointError
from slicekit.training import loop
from slicekit.training.interrupt import Interrupted
from slicekit.training.run import train

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def every_step_is_logged(monkeypatch):
    monkeypatch.setattr(loop, "_LOG_EVERY", 1)


def log_of(folder):
    """The log without what the clock says."""
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in e.items() if k not in ("left_s", "s_per_step")} for e in entries]


def stop_at(step, number=signal.SIGTERM):
    def progress(done, _steps):
        if done == step:
            signal.raise_signal(number)

    return progress


@pytest.fixture
def by(dataset, tmp_path, make_recipe, runtime):
    """Make a recipe of a method that logs and saves often; a teacher is trained first."""

    def make(role, method):
        settings = {"views": "weak-strong", "batch_unlabelled": 1}
        if role == "reference":
            settings["method"] = method
        if method == "teacher-student":
            first = make_recipe(method="side-by-side", steps=1, learning_rate=1e-6)
            teacher = train(first, data=dataset, out=tmp_path / "teacher", runtime=runtime)
            settings["teacher"] = {"weights": str(teacher)}
        return make_recipe(role, steps=7, evaluate_every=3, checkpoint_every=2, **settings)

    return make


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the pseudo labels hold")
@pytest.mark.parametrize(
    ("role", "method"),
    [
        ("reference", "supervised"),
        ("reference", "side-by-side"),
        ("reference", "cps"),
        ("reference", "mean-teacher"),
        ("reference", "teacher-student"),
        ("propagator", "cps"),
        ("volumetric", "cps"),
    ],
)
def test_case_32_resuming_equals_an_uninterrupted_run_bit_for_bit(
    dataset, tmp_path, by, runtime, role, method
):
    """Interrupted twice, in the middle of everything; once more after a finished step was lost."""
    recipe = by(role, method)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    wanted = train(recipe, data=dataset, out=whole, runtime=runtime)
    for step in (3, 4):
        with pytest.raises(Interrupted):
            train(recipe, data=dataset, out=parts, runtime=runtime, progress=stop_at(step))
    before = (parts / "state.safetensors").read_bytes()

    def fail(done, _steps):
        if done == 6:
            raise ZeroDivisionError  # as a kill would: nothing is saved

    with pytest.raises(ZeroDivisionError):
        train(recipe, data=dataset, out=parts, runtime=runtime, progress=fail)
    assert (parts / "state.safetensors").read_bytes() == before
    torch.rand(17)  # randomness of others does not matter
    found = train(recipe, data=dataset, out=parts, runtime=runtime)

    assert log_of(parts) == log_of(whole)
    assert [entry["step"] for entry in log_of(whole) if entry["kind"] == "step"] == [*range(1, 8)]
    assert load_weights(found).sha256 == load_weights(wanted).sha256
    states = [retrieve(folder / "state.safetensors") for folder in (whole, parts)]
    for name, tensor in states[0].tensors.items():
        assert torch.equal(states[1].tensors[name], tensor), name


def test_case_32_a_lost_state_starts_again_and_a_damaged_one_is_refused(
    dataset, tmp_path, make_recipe, runtime
):
    recipe = make_recipe("propagator", steps=3)
    with pytest.raises(Interrupted):
        train(recipe, data=dataset, out=tmp_path, runtime=runtime, progress=stop_at(1))
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"state\.safetensors: is damaged"):
        train(recipe, data=dataset, out=tmp_path, runtime=runtime)
    state.unlink()
    train(recipe, data=dataset, out=tmp_path, runtime=runtime)
    assert [e["step"] for e in log_of(tmp_path) if e["kind"] == "step"] == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the pseudo labels hold")
def test_case_33_another_teacher_under_the_same_name_is_refused(
    dataset, tmp_path, by, make_recipe, runtime
):
    recipe, out = by("reference", "teacher-student"), tmp_path / "run"
    with pytest.raises(Interrupted):
        train(recipe, data=dataset, out=out, runtime=runtime, progress=stop_at(1))
    theirs = Path(recipe.training.teacher.weights)
    before = theirs.read_bytes()
    other = make_recipe(method="side-by-side", steps=1, learning_rate=2e-6)
    another = train(other, data=dataset, out=tmp_path / "another", runtime=runtime)
    theirs.write_bytes(another.read_bytes())
    with pytest.raises(CheckpointError) as caught:
        train(recipe, data=dataset, out=out, runtime=runtime)
    old, new = load_weights(another).sha256, str(caught.value)
    assert f"began with another teacher: the tensors of {theirs} had SHA-256" in new
    assert f"now {old[:12]}...; put the old file back, or choose another --out" in new
    theirs.write_bytes(before)
    with pytest.raises(Interrupted):  # goes on where it stood
        train(recipe, data=dataset, out=out, runtime=runtime, progress=stop_at(2))


@pytest.fixture
def command(dataset, tmp_path, make_recipe):
    """Start ``python train.py`` on the propagator of the tests."""
    recipe = make_recipe("propagator")
    file = tmp_path / "tiny_propagator.toml"
    organs = ", ".join(f"{name} = {number}" for name, number in recipe.organs.items())
    file.write_text(
        'name = "tiny_propagator"\nrole = "propagator"\n'
        f'organs = {{{organs}}}\nnetworks = [{{kind = "stcn", preset = "tiny"}}]\n'
        'input = {windows = "ct-body", spacing_mm = 6.0}\n'
        "training = {steps = 100000, batch = 1, crop = [48, 64], checkpoint_every = 1}\n"
    )
    options = ["--data", dataset, "--out", tmp_path / "run", "--device", "cpu", "--threads", "1"]
    return [sys.executable, CHECKOUT / "train.py", file, *options, "--precision", "float32"]


def start_and_stop(command, state, number):
    """Run until a new step is saved, send a signal; return exit code and what was said."""
    before = state.stat().st_mtime_ns if state.exists() else 0
    with subprocess.Popen(
        command,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 90
        while not (state.exists() and state.stat().st_mtime_ns > before):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise AssertionError(process.communicate()[1])
            time.sleep(0.02)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    return process.returncode, said


def step_of(state):
    return json.loads(retrieve(state).header["run"])["step"]


@pytest.mark.slow
def test_case_32_signals_to_the_command_save_the_step_and_it_goes_on_from_there(command, tmp_path):
    state = tmp_path / "run" / "state.safetensors"
    code, said = start_and_stop(command, state, signal.SIGTERM)
    first = step_of(state)
    assert code == 143
    assert f"stopped at step {first} of 100000; the state is saved in {state.parent}" in said
    assert "run the same command again to go on from there" in said
    assert "Traceback" not in said

    code, said = start_and_stop(command, state, signal.SIGINT)
    assert code == 130
    assert f"going on from step {first} of {state}" in said
    assert f"stopped at step {step_of(state)} of 100000" in said
    assert step_of(state) > first
    assert {file.name for file in state.parent.iterdir()} == {"state.safetensors", "log.jsonl"}
