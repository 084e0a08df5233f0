"""Scores while training: 1 for who knows the truth, and a control beside the propagator's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from slicekit.data.slices import CachedScan
from slicekit.labels import IGNORE_ID
from slicekit.networks import build
from slicekit.training import evaluation
from slicekit.training.evaluation import (
    Overlap,
    mean_dice,
    score_propagator,
    score_reference,
    windows_of,
)


def masks(*rows):
    return np.array(rows, dtype=np.uint8)


def test_dice_is_counted_over_slices_and_passes_over_unknown_pixels():
    overlap = Overlap()
    overlap.add(masks([1, 1, 0, 2]), masks([1, 0, 0, 2]))
    overlap.add(masks([1, 0, IGNORE_ID, 0]), masks([1, 1, 1, 0]))
    assert overlap.dice(1) == pytest.approx(2 * 2 / (3 + 3))
    assert overlap.dice(2) == 1
    assert np.isnan(overlap.dice(3))


def test_the_mean_is_over_scans_then_organs_and_leaves_out_what_nobody_annotated(make_recipe):
    recipe = make_recipe()
    one, other = Overlap(), Overlap()
    one.add(masks([1, 2]), masks([1, 0]))
    other.add(masks([1, 0]), masks([0, 0]))
    spleen, right_kidney = recipe.labels.names[:2]
    assert mean_dice([one, other], recipe) == {"dsc": 0.25, spleen: 0.5, right_kidney: 0.0}
    assert np.isnan(mean_dice([], recipe)["dsc"])


class Seer(nn.Module):
    """Knows the labels of the slices it will be shown, in their order."""

    def __init__(self, labels):
        super().__init__()
        self.labels = torch.from_numpy(labels.astype(np.int64))
        self.positions = []

    def forward(self, slices, position=None):
        self.positions += position.tolist()
        now, self.labels = self.labels[: len(slices)], self.labels[len(slices) :]
        logits = 9.0 * F.one_hot(now, 14).permute(0, 3, 1, 2)
        return logits, torch.zeros_like(logits)


def test_who_knows_the_truth_scores_1(scans, make_recipe, runtime):
    seer = Seer(scans[0].labels[::3])
    scores = score_reference(seer, scans[:1], recipe=make_recipe(), runtime=runtime, every=3)
    assert scores["dsc"] == 1
    assert set(scores.values()) == {1.0}
    assert seer.positions == pytest.approx([z / 15 for z in range(0, 16, 3)])


def test_who_says_background_scores_0_and_unlabelled_scans_do_not_count(
    scans, make_recipe, runtime
):
    bare = CachedScan("bare", scans[1].slices, None, 10.0)
    blind = Seer(np.zeros((32, *scans[0].labels.shape[1:]), np.uint8))
    scores = score_reference(blind, scans[:1], recipe=make_recipe(), runtime=runtime, every=1)
    assert scores["dsc"] == 0
    blind = Seer(np.zeros((16, *bare.slices.shape[1:]), np.uint8))
    assert np.isnan(score_reference(blind, [bare], recipe=make_recipe(), runtime=runtime)["dsc"])


def test_carrying_masks_over_unchanged_scores_as_the_control(
    scans, make_recipe, runtime, monkeypatch
):
    def copy(network, slices, guides):
        shares = torch.cat([1 - guides.amax(dim=1, keepdim=True), guides], dim=1)
        return [shares.clamp_min(1e-7).log()]

    monkeypatch.setattr(evaluation, "carry", copy)
    scores = score_propagator(
        build("stcn", "tiny"),
        scans[:2],
        recipe=make_recipe("propagator"),
        runtime=runtime,
        jump_mm=10.0,
        every=1,
    )
    assert 0 < scores["dsc"] < 1
    assert scores["dsc"] == scores["copy"]


def test_an_untrained_propagator_has_a_score(scans, make_recipe, runtime):
    network = build("stcn", "tiny").eval()
    recipe = make_recipe("propagator")
    with torch.inference_mode():
        scores = score_propagator(network, scans[:1], recipe=recipe, runtime=runtime)
    assert 0 <= scores["dsc"] < scores["copy"] <= 1
    with pytest.raises(TypeError, match="a propagator is an STCN, got Linear"):
        score_propagator(nn.Linear(1, 1), scans, recipe=recipe, runtime=runtime)


def test_windows_of_cached_slices_are_those_of_the_intensities(phantoms, scans, make_recipe):
    recipe = make_recipe()
    shown = windows_of(scans[0].slices[:2], recipe)
    assert shown.shape == (2, 3, *scans[0].slices.shape[1:])
    low, high = recipe.input.range_hu
    hu = scans[0].slices[:2] / 16_000 * (high - low) + low
    wanted = recipe.input.three_windows[0].apply(hu)
    np.testing.assert_allclose(shown[:, 0].numpy(), wanted, atol=1e-4)


def test_slices_that_nobody_annotated_are_not_looked_at(scans, make_recipe, runtime):
    labels, drawn = np.full_like(scans[0].labels, IGNORE_ID), [4, 5, 10]
    labels[drawn] = scans[0].labels[drawn]
    seer = Seer(scans[0].labels[[4, 10]])
    few = replace(scans[0], labels=labels)
    scores = score_reference(seer, [few], recipe=make_recipe(), runtime=runtime, every=2)
    assert set(scores.values()) == {1.0}
    assert seer.positions == pytest.approx([4 / 15, 10 / 15])
