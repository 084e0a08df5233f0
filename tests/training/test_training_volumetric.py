"""Cubes of labelled scans, what they teach, and scores that are 1 for who knows the truth."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from slicekit.data.slices import STEPS, CachedScan
from slicekit.labels import IGNORE_ID
from slicekit.losses import ce_and_dice, masked_per_class
from slicekit.networks import build
from slicekit.training.volumetric import PatchBatches, score_volumetric, volumetric_step


@pytest.fixture
def recipe(make_recipe):
    return make_recipe("volumetric", partial="masked")


def equal(one, other):
    return all(torch.equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))


def test_a_batch_is_a_function_of_its_step_alone(scans, recipe):
    batches = PatchBatches(scans[:2], phantoms=(), recipe=recipe)
    first = batches(7)
    batches(8)
    assert equal(first, batches(7))
    assert not equal(first, batches(8))
    assert first.patches.shape == (2, 1, 8, 16, 16)
    assert first.patches.dtype == torch.float32
    assert 0 <= float(first.patches.min()) <= float(first.patches.max()) <= 1
    assert first.labels.shape == (2, 8, 16, 16)
    assert first.labels.dtype == torch.int64
    assert first.known.all()
    assert any(0 < int(n) < IGNORE_ID for n in first.labels[0].unique())  # about an organ


def test_a_flipped_cube_knows_the_organ_that_was_drawn_on_the_other_side(scans, make_recipe):
    recipe = make_recipe("volumetric", patch=[16, 64, 64])
    left, right = (recipe.organs[f"{side}_kidney"] for side in ("left", "right"))
    half = replace(
        scans[0],
        labels=np.where(scans[0].labels == left, left, 0).astype(np.uint8),
        known_ids=frozenset({left}),
    )
    batches, flipped = PatchBatches([half], phantoms=(), recipe=recipe), []
    for step in range(12):
        batch = batches(step)
        for ids, known in zip(batch.labels, batch.known, strict=True):
            held = {int(n) for n in ids.unique()} & {left, right}
            assert held <= set(known.nonzero().flatten().tolist())
            assert int(known.sum()) == 2
            flipped.append(right in held)
    assert 0 < sum(flipped) < len(flipped)


def test_a_share_of_the_cubes_is_of_phantoms(scans, make_recipe):
    """The phantoms hold an organ that the labelled scans do not know."""
    strange = [replace(scan, known_ids=frozenset({1})) for scan in scans[2:]]
    for share, wanted in ((0.0, 0), (0.5, 20), (1.0, 40)):
        recipe = make_recipe("volumetric", phantom_share=share)
        batches = PatchBatches(scans[:2], phantoms=strange, recipe=recipe)
        drawn = sum(int((~batches(step).known).any()) for step in range(40))
        assert drawn == pytest.approx(wanted, abs=10 if share == 0.5 else 0)


def test_labels_teach_as_those_of_slices_do(scans, recipe):
    network = build("dynunet", "tiny", classes=14)
    batch = PatchBatches(scans[:2], phantoms=(), recipe=recipe)(0)

    def take(batch):
        return volumetric_step(
            network, batch, progress=0.5, average=network, training=recipe.training
        )

    result = take(batch)
    torch.testing.assert_close(result.loss, ce_and_dice(network(batch.patches), batch.labels))
    assert torch.equal(result.parts["supervised"], result.loss.detach())
    known = batch.known.clone()
    known[:, 5:] = False
    torch.testing.assert_close(
        take(replace(batch, known=known)).loss,
        masked_per_class(network(batch.patches), batch.labels, known),
    )
    nothing = replace(batch, labels=torch.full_like(batch.labels, IGNORE_ID))
    assert float(take(nothing).loss.detach()) == 0


def told_by_intensity(scan):
    """A scan whose intensity says the organ, its slices as far apart as its pixels."""
    slices = scan.labels.astype(np.int16) * 1000
    return CachedScan(scan.name, slices, scan.labels, 6.0)


def by_intensity(solids):
    ids = (solids[:, 0] * STEPS / 1000).round().long()
    return F.one_hot(ids, 14).permute(0, 4, 1, 2, 3).float()


def test_who_knows_the_truth_scores_1_and_who_sees_nothing_0(scans, recipe, runtime):
    held = [told_by_intensity(scan) for scan in scans[:2]]
    scores = score_volumetric(by_intensity, held, recipe=recipe, runtime=runtime)
    assert scores["dsc"] == 1
    assert set(scores.values()) == {1.0}
    assert scores == score_volumetric(by_intensity, held, recipe=recipe, runtime=runtime)
    blind = score_volumetric(
        lambda solids: by_intensity(solids * 0), held, recipe=recipe, runtime=runtime
    )
    assert blind["dsc"] == 0
    assert blind.keys() == scores.keys()
