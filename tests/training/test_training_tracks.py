"""Following one organ: batches by step number, answers in walking order, runs over datasets."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from slicekit.checkpoint import load_weights
from slicekit.errors import DatasetError, RecipeError
from slicekit.inference.model import load_propagator
from slicekit.labels import IGNORE_ID
from slicekit.networks import STCN
from slicekit.networks.stcn import PRESETS
from slicekit.training import tracks as module
from slicekit.training.run import train
from slicekit.training.tracks import TrackBatches, follow, score_tracks, track_step

SMALL = {
    "size": 32, "slices": 2, "last_slices": 3, "gap_mm": [10, 40], "step_mm": 10.0,
    "least_mm": 120.0,
}  # fmt: skip


@pytest.fixture
def track_recipe(make_recipe):
    """Make a recipe of a propagator that follows single organs."""

    def make(organs=None, tracks=None, **training):
        usual = make_recipe("propagator", **{"tracks": SMALL | (tracks or {})} | training)
        return usual if organs is None else usual.model_copy(update={"organs": organs})

    return make


@pytest.fixture
def make(scans, track_recipe):
    def build_batches(*, phantoms=False, **options):
        recipe = track_recipe(**options)
        return TrackBatches(scans[:2], phantoms=scans[2:] if phantoms else (), recipe=recipe)

    return build_batches


@pytest.fixture
def network():
    """The smallest network that is told where the organ was."""
    torch.manual_seed(0)
    return STCN(replace(PRESETS["tiny"], prior=True)).train()


def equal(one, other):
    return all(torch.equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))


def test_a_batch_is_a_function_of_its_step_alone(make):
    batches = make()
    first = batches(7)
    batches(8)
    assert equal(first, batches(7))
    assert equal(first, make()(7))
    assert not equal(first, batches(8))
    assert not equal(first, make(seed=1)(7))


def test_walks_grow_longer_in_the_last_part_of_a_run(make):
    batches = make(steps=8, tracks={"lengthen_at": 0.5})
    assert [batches(step).truth.shape[1] for step in (0, 3, 4, 7, 10_000_000)] == [2, 2, 3, 3, 3]


def test_a_batch_holds_two_guides_and_the_slices_of_the_walk(make):
    batch = make(batch=3)(0)
    assert batch.slices.shape == (3, 4, 3, 32, 32)
    assert batch.guides.shape == (3, 2, 32, 32)
    assert batch.neighbour.shape == (3, 32, 32)
    assert batch.truth.shape == (3, 2, 32, 32)
    assert batch.slices.dtype == batch.guides.dtype == batch.neighbour.dtype == torch.float32
    assert 0 <= float(batch.slices.min()) <= float(batch.slices.max()) <= 1
    assert set(batch.truth.unique().tolist()) <= {0, 1, IGNORE_ID}


def test_channels_are_the_windows_of_the_recipe(make):
    slices = make()(1).slices
    assert not torch.equal(slices[:, :, 0], slices[:, :, 1])
    assert not torch.equal(slices[:, :, 1], slices[:, :, 2])


def test_phantoms_are_a_share_of_the_tracks(make, monkeypatch):
    drawn = []
    original = module.Tracks.draw

    def remember(self, rng, *, size, slices):
        drawn.append(self.scans[0].name)
        return original(self, rng, size=size, slices=slices)

    monkeypatch.setattr(module.Tracks, "draw", remember)
    for share, few, many in ((0.0, 0, 0), (1.0, 8, 8), (0.5, 1, 7)):
        drawn.clear()
        make(phantoms=True, batch=8, phantom_share=share)(0)
        assert few <= drawn.count("phantom 2") <= many
        assert len(drawn) == 8
    drawn.clear()
    make(phantoms=False, phantom_share=1.0)(0)
    assert set(drawn) == {"phantom 0"}


def test_a_recipe_without_tracks_is_refused(scans, make_recipe):
    with pytest.raises(RecipeError, match=r"tiny_propagator has no \[training\.tracks\]"):
        TrackBatches(scans, phantoms=(), recipe=make_recipe("propagator"))


def test_every_slice_of_the_walk_gets_probabilities_that_sum_to_1(make, network):
    answers = follow(network, make(tracks={"slices": 3})(0))
    assert len(answers) == 3
    for logs in answers:
        assert logs.shape == (2, 2, 32, 32)
        assert (logs <= 1e-6).all()
        torch.testing.assert_close(logs.exp().sum(dim=1), torch.ones(2, 32, 32), atol=1e-4, rtol=0)


def test_slices_are_answered_in_walking_order_each_by_its_neighbour(make, network):
    batch = make(tracks={"slices": 2})(0)
    network.eval()
    with torch.no_grad():
        first, second = follow(network, batch)
        (alone,) = follow(network, replace(batch, slices=batch.slices[:, :3]))
        other = follow(network, replace(batch, neighbour=1 - batch.neighbour))
    torch.testing.assert_close(first, alone, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(first, other[0], atol=1e-5)
    assert not torch.allclose(second, other[1], atol=1e-7)  # the first answer is passed on


def test_both_guides_are_remembered(make, network):
    batch = make()(0)
    network.eval()
    with torch.no_grad():
        before = follow(network, batch)[0]
        for n in (0, 1):
            guides = batch.guides.clone()
            guides[:, n] = 1 - guides[:, n]
            after = follow(network, replace(batch, guides=guides))[0]
            assert not torch.allclose(before, after, atol=1e-6)
        swapped = replace(
            batch,
            slices=batch.slices[:, [1, 0, 2, 3]],
            guides=batch.guides.flip(1),
        )
        torch.testing.assert_close(follow(network, swapped)[0], before, atol=1e-4, rtol=1e-3)


def test_a_step_has_a_gradient_for_every_weight_the_prior_included(make, network):
    clips = make().recipe.training.clips
    result = track_step(network, make()(0), progress=0.0, average=network, clips=clips)
    result.loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert any(float(p.grad.abs().sum()) > 0 for p in network.decoder.prior.parameters())
    parts = {name: float(value) for name, value in result.parts.items()}
    assert not any(value.requires_grad for value in result.parts.values())
    assert float(result.loss.detach()) == pytest.approx(
        parts["ce"] + clips.lovasz_weight * parts["lovasz"], rel=1e-5
    )


def test_a_few_steps_on_one_batch_lower_its_loss(make, network):
    batch, clips = make(batch=4)(0), make().recipe.training.clips
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    losses = []
    for _ in range(20):
        result = track_step(network, batch, progress=0.0, average=network, clips=clips)
        optimiser.zero_grad()
        result.loss.backward()
        optimiser.step()
        losses.append(float(result.loss.detach()))
    assert np.isfinite(losses).all()
    assert np.mean(losses[-3:]) < 0.8 * losses[0]


def test_the_loss_looks_at_the_hardest_pixels_late_in_the_run(make, network):
    network.eval()
    batch, clips = make()(0), make().recipe.training.clips
    early, late = (
        float(
            track_step(network, batch, progress=progress, average=network, clips=clips).parts["ce"]
        )
        for progress in (0.0, 0.99)
    )
    assert late > early


def test_unknown_pixels_do_not_count(make, network):
    network.eval()
    batch, clips = make()(0), make().recipe.training.clips
    hidden = batch.truth.clone()
    hidden[:, :, :12] = IGNORE_ID
    logs = follow(network, batch)
    result = track_step(
        network, replace(batch, truth=hidden), progress=0.0, average=network, clips=clips
    )
    wanted = np.mean(
        [
            float(torch.nn.functional.nll_loss(one, truth.long(), ignore_index=IGNORE_ID).detach())
            for one, truth in zip(logs, hidden.unbind(1), strict=True)
        ]
    )
    assert float(result.parts["ce"]) == pytest.approx(wanted, rel=1e-4)


def test_scores_stand_beside_those_of_the_guide_and_are_always_the_same(
    scans, track_recipe, network, runtime
):
    network.eval()
    options = {"recipe": track_recipe(), "runtime": runtime, "count": 6}
    one, other = (score_tracks(network, scans[3:], **options) for _ in range(2))
    assert one == other
    assert {"dsc", "copy"} < set(one) <= {"dsc", "copy", *track_recipe().organs}
    assert all(0 <= value <= 1 for value in one.values())
    nameless = track_recipe().model_copy(update={"organs": {}})
    plain = score_tracks(network, scans[3:], **options | {"recipe": nameless})
    assert plain == {name: one[name] for name in ("dsc", "copy")}


def test_tracks_are_scored_by_organ(scans, track_recipe, runtime, monkeypatch):
    recipe, sought = track_recipe(), []

    def knows_the_first(network, batch):
        sought.extend(batch.organs.tolist())
        mine = (batch.organs == min(sought))[:, None, None]
        last = ((batch.truth[:, -1] == 1) & mine).float()
        return [torch.stack([1 - last, last], dim=1)]

    only = [replace(scan, labels=np.where(scan.labels < 3, scan.labels, 0)) for scan in scans[3:]]
    first, second = (recipe.labels.names_by_id[number] for number in (1, 2))
    monkeypatch.setattr(module, "follow", knows_the_first)
    sought.append(1)
    scores = score_tracks(None, only, recipe=recipe, runtime=runtime, count=24)
    assert set(scores) == {"dsc", first, second, "copy"}
    assert scores[first] == 1 and scores[second] < 1
    share = sought[1:].count(1) / len(sought[1:])
    assert scores["dsc"] == pytest.approx(share + (1 - share) * scores[second])


def test_an_answer_that_is_the_truth_scores_1(scans, track_recipe, runtime, monkeypatch):
    def knows(network, batch):
        last = (batch.truth[:, -1] == 1).float()
        return [torch.stack([1 - last, last], dim=1)]

    monkeypatch.setattr(module, "follow", knows)
    options = {"recipe": track_recipe(), "runtime": runtime, "count": 8}
    scores = score_tracks(None, scans[3:], **options)
    assert scores["dsc"] == 1
    assert 0.1 < scores["copy"] < 1


def test_the_control_is_the_only_guide_unchanged(scans, track_recipe, network, runtime):
    recipe = track_recipe(tracks={"between_share": 0.0, "degrade_share": 0.0}, batch=2)
    held, dice = TrackBatches(scans[3:], phantoms=(), recipe=recipe), []
    for step in (10_000_000, 10_000_001):
        batch = held(step)
        for guide, truth in zip(batch.guides[:, 0] > 0, batch.truth[:, -1], strict=True):
            known = truth != IGNORE_ID
            size = (guide & known).sum() + (truth == 1).sum()
            dice.append(float(2 * (guide & (truth == 1)).sum() / size) if size else 1.0)
    scores = score_tracks(network.eval(), scans[3:], recipe=recipe, runtime=runtime, count=4)
    assert scores["copy"] == pytest.approx(np.mean(dice))


@pytest.fixture
def two_folders(dataset, tmp_path):
    """The dataset, and one that names other structures with other ids."""
    from slicekit.io import read_labels, read_volume, write_labels

    other = shutil.copytree(dataset, tmp_path / "other")
    for path in sorted((other / "labelsTr").iterdir()):
        image = read_volume(other / "imagesTr" / path.name.replace(".nii.gz", "_0000.nii.gz"))
        ids = read_labels(path, like=image)
        array = np.where(ids.array == 1, 77, np.where(ids.array == 3, 5, 0)).astype(np.uint8)
        write_labels(path, array, like=image, overwrite=True)
    labels = {"labels": {"background": 0, "thing": 77, "stuff": 5}}
    (other / "dataset.json").write_text(json.dumps(labels))
    return [dataset, other]


@pytest.mark.filterwarnings("ignore:.*no pixel left:slicekit.errors.DataWarning")
def test_one_that_follows_anything_learns_from_datasets_of_different_ids(
    two_folders, tmp_path, track_recipe, runtime
):
    recipe = track_recipe(organs={}, steps=2, evaluate_every=2)
    path = train(recipe, data=two_folders, out=tmp_path / "run", runtime=runtime)
    weights = load_weights(path)
    assert weights.recipe == recipe
    assert weights.card["trained_on"] == ["one", "two", "one", "two"]
    assert weights.card["held_out"] == ["held", "held"]
    assert {"dsc", "copy"} <= set(weights.card["scores"])
    assert load_propagator(path, runtime).recipe == recipe


def test_one_that_names_organs_learns_from_one_dataset_only(
    two_folders, tmp_path, track_recipe, runtime
):
    with pytest.raises(DatasetError, match="learns from one dataset that names them so; got 2"):
        train(track_recipe(steps=1), data=two_folders, out=tmp_path / "run", runtime=runtime)
    with pytest.raises(DatasetError, match="got 0"):
        train(track_recipe(organs={}), data=[], out=tmp_path / "run", runtime=runtime)
    assert not (tmp_path / "run").exists()


def test_tracks_are_what_a_recipe_with_them_is_trained_on(
    dataset, tmp_path, track_recipe, runtime, monkeypatch
):
    seen = []

    def remember(*args, **options):
        seen.append(args)
        return original(*args, **options)

    original = module.follow
    monkeypatch.setattr(module, "follow", remember)
    recipe = track_recipe(steps=2, evaluate_every=9, held_out_group=None)
    with pytest.warns(UserWarning, match="no scan is held out"):
        train(recipe, data=dataset, out=tmp_path / "run", runtime=runtime)
    assert len(seen) == 2  # once a step
