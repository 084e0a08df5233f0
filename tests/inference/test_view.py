"""A scan as a reference sees it: every slice once, in batches, with its position."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from slicekit.data.phantom import make_phantom
from slicekit.inference.model import load_model
from slicekit.inference.view import View
from slicekit.runtime import Runtime


class Positions:
    """Says by its first class where in the scan a slice is said to lie."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, slices: torch.Tensor, position: torch.Tensor) -> tuple[torch.Tensor, ...]:
        self.batches.append(len(slices))
        logits = torch.zeros(len(slices), 4, *slices.shape[2:])
        logits[:, 0] = position.view(-1, 1, 1)
        return logits, logits.flip(1)


@pytest.fixture
def view(trial_models: Path, runtime: Runtime) -> View:
    model = load_model(trial_models / "trial_reference.toml", runtime)
    made = make_phantom(np.random.default_rng(3), shape=(16, 64, 64), spacing_mm=(10.0, 6.0, 6.0))
    return View.of(made.image, replace(model, reference=Positions()))


def test_slices_asked_for_are_seen_once_and_told(view: View) -> None:
    told: list[int] = []
    zs = [0, 2, 3, 5, 15]
    found = list(view.look(zs, told=told.append))
    assert [z for z, _, _ in found] == zs
    assert told == [4, 5]
    assert view.model.reference.batches == [4, 1]
    for z, mean, choices in found:
        assert mean.shape == (4, *view.grid.model_size)
        assert choices.shape == (2, *view.grid.model_size)
        say = torch.tensor([z / 15, 0, 0, 0]).softmax(0)
        torch.testing.assert_close(mean[:, 0, 0], (say + say.flip(0)) / 2)
        if z:
            assert choices[:, 0, 0].tolist() == [0, 3]


def test_windows_and_labels_lie_on_their_grids(view: View) -> None:
    shown = view.windows(4)
    assert shown.shape == (3, *view.grid.model_size)
    assert 0 <= float(shown.min()) < float(shown.max()) <= 1
    assert view.empty_labels().shape == view.image.shape
    assert view.empty_labels().dtype == np.uint8


def test_every_network_is_told_apart_to_who_wants_to_know(view: View) -> None:
    noted: dict[int, torch.Tensor] = {}
    curious = replace(view, members_told=noted.__setitem__)
    asked = dict(curious.ask([1, 7]))
    assert list(asked) == list(noted) == [1, 7]
    for z, members in asked.items():
        assert members.shape == (2, 4, *view.grid.model_size)
        say = torch.tensor([z / 15, 0, 0, 0]).softmax(0)
        torch.testing.assert_close(members[0, :, 0, 0], say)
        torch.testing.assert_close(members[1, :, 0, 0], say.flip(0))
        torch.testing.assert_close(noted[z], members)
