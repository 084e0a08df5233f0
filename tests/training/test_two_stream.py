"""Batches of two streams: labelled slices first, and nothing of the labels nobody may look at."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from slicekit.data.augment import Draw
from slicekit.data.slices import CachedScan
from slicekit.labels import IGNORE_ID
from slicekit.training import two_stream as module
from slicekit.training.two_stream import TwoStreamBatches


@pytest.fixture
def make(scans, make_recipe):
    """Two labelled scans, one unlabelled, one standing for phantoms."""

    def build(*, labelled=scans[:2], unlabelled=True, phantoms=False, **training):
        return TwoStreamBatches(
            labelled,
            phantoms=scans[3:] if phantoms else (),
            unlabelled=scans[2:3] if unlabelled else (),
            recipe=make_recipe(**{"batch": 3, "batch_unlabelled": 2, **training}),
        )

    return build


def equal(one, other):
    return all(torch.equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))


def test_a_batch_is_a_function_of_its_step_alone(make):
    for options in ({}, {"views": "weak-strong"}):
        batches = make(**options)
        first = batches(7)
        batches(8)
        assert equal(first, batches(7))
        assert equal(first, make(**options)(7))
        assert not equal(first, batches(8))
        assert not equal(first, make(seed=1, **options)(7))


def test_a_batch_holds_labelled_slices_first(make):
    batch = make()(0)
    assert batch.slices.shape == (5, 3, 48, 64)
    assert batch.slices.dtype == torch.float32
    assert batch.slices.is_contiguous(memory_format=torch.channels_last)
    assert 0 <= float(batch.slices.min()) <= float(batch.slices.max()) <= 1
    assert batch.labels.shape == (3, 48, 64)
    assert batch.labelled == 3
    assert batch.labels.dtype == torch.int64
    assert batch.position.shape == (5,)
    assert 0 <= float(batch.position.min()) <= float(batch.position.max()) <= 1
    known = batch.labels[batch.labels != IGNORE_ID]
    assert 0 < int(known.max()) <= 13
    assert batch.outside.shape == (2, 48, 64)
    slices, position = batch.free
    assert torch.equal(slices, batch.slices[3:])
    assert torch.equal(position, batch.position[3:])
    alone = make(unlabelled=False)(0)
    assert alone.slices.shape == (3, 3, 48, 64)
    assert alone.outside.shape == (0, 48, 64)


def test_labelled_slices_are_the_same_with_unlabelled_ones_and_without(make):
    """So a control run without unlabelled slices differs in nothing else."""
    both, alone = make()(3), make(unlabelled=False)(3)
    assert torch.equal(both.slices[:3], alone.slices)
    assert torch.equal(both.labels, alone.labels)


def test_pupils_see_the_same_places_in_other_tints(make):
    alike, apart = make()(5), make(views="weak-strong")(5)
    assert torch.equal(alike.slices, apart.slices)
    assert alike.strong.shape == (0, 3, 48, 64)
    assert alike.for_pupils[0] is alike.slices
    shown, position = apart.for_pupils
    assert torch.equal(shown[:3], apart.slices[:3])
    assert torch.equal(position, apart.position)
    assert shown.shape == apart.slices.shape
    moves = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]
    for weak, strong in zip(apart.slices[3:, 0], shown[3:, 0], strict=True):
        assert not torch.equal(weak, strong)
        likeness = [
            float(torch.corrcoef(torch.stack([weak, strong.roll(move, (0, 1))]).flatten(1))[0, 1])
            for move in moves
        ]
        assert max(likeness) == likeness[0]  # nothing moved


def test_what_was_looked_for_goes_along_with_a_slice(make, scans):
    partly = replace(scans[0], known_ids=frozenset({6, 8}))
    known = make(labelled=[partly])(0).known
    assert known.shape == (3, 14)
    assert [np.flatnonzero(row).tolist() for row in known.numpy()] == [[0, 6, 8]] * 3
    assert make()(0).known.all()


def test_phantoms_are_a_share_of_the_labelled_slices(make, monkeypatch):
    drawn = []

    def remember(scans, *args, **options):
        drawn.append(scans[0].name)
        return original(scans, *args, **options)

    original = module.draw_slice
    monkeypatch.setattr(module, "draw_slice", remember)
    for share, wanted in ((0.0, 0), (0.5, 15), (1.0, 30)):
        drawn.clear()
        batches = make(phantoms=True, unlabelled=False, phantom_share=share)
        for step in range(10):
            batches(step)
        assert drawn.count("phantom 3") == pytest.approx(wanted, abs=6 if share == 0.5 else 0)


def test_labels_of_unlabelled_scans_are_never_looked_at(scans, make):
    bare = [CachedScan(scan.name, scan.slices, None, scan.step_mm) for scan in scans[2:3]]
    batches = make()
    blind = TwoStreamBatches(scans[:2], phantoms=(), unlabelled=bare, recipe=batches.recipe)
    for step in range(4):
        assert equal(batches(step), blind(step))


@pytest.mark.parametrize(("turn", "least", "most"), [(0.0, 0.0, 1e-6), (180.0, 60.0, 180.0)])
def test_slices_are_turned_as_far_as_the_recipe_says(make_recipe, turn, least, most) -> None:
    batches = TwoStreamBatches(
        (), phantoms=(), unlabelled=(), recipe=make_recipe(rotation_deg=turn)
    )
    rng = np.random.default_rng(0)
    angles = [abs(Draw.draw(rng, batches.strong).angle_deg) for _ in range(50)]
    assert least <= max(angles) <= most
    assert batches.weak.angle_deg == pytest.approx(turn / 3)
