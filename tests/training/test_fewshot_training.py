"""Few-shot training: its step, its batches, and that it learns from images alone."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from slicekit.checkpoint import load_weights
from slicekit.data.episodes import Episodes, cut_by, regions_of
from slicekit.data.phantom import PHANTOM_LABELS
from slicekit.data.slices import STEPS, CachedScan
from slicekit.errors import DatasetError, DataWarning, LabelError, ReadError, RecipeError
from slicekit.inference.shots import load_fewshot
from slicekit.labels import IGNORE_ID
from slicekit.networks import alpnet
from slicekit.training.fewshot import (
    EpisodeBatch,
    EpisodeBatches,
    episode_step,
    score_fewshot,
    weighted_cross_entropy,
)
from slicekit.training.loop import LOG, fit, learning_rate
from slicekit.training.material import gather
from slicekit.training.run import train
from slicekit.windows import three_channels

EPISODES = {"segments": 60, "regions": [24, 12], "least_px": 20, "most_share": 0.4}


@pytest.fixture(scope="module")
def make(make_recipe):
    """Make a recipe of a few-shot model that names no organs."""

    def recipe(*, organs=None, **training):
        settings = {"fewshot": EPISODES | training.pop("fewshot", {})} | training
        made = make_recipe("fewshot", **settings)
        return made.model_copy(update={"organs": organs or {}})

    return recipe


@pytest.fixture(scope="module")
def batches(scans, make):
    return EpisodeBatches(scans, recipe=make())


@pytest.fixture
def images_only(dataset, tmp_path):
    """The dataset as it is without any label, but with the names of organs."""
    root = shutil.copytree(dataset, tmp_path / "images")
    shutil.rmtree(root / "labelsTr")
    (root / "splits.json").unlink()
    return root


def test_the_weighted_loss_is_torchs_mean():
    random = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(2, 2, 5, 6, generator=random), torch.randint(0, 2, (2, 5, 6))
    labels[0, :2] = IGNORE_ID
    wanted = F.cross_entropy(logits, labels, torch.tensor([0.05, 1.0]), ignore_index=IGNORE_ID)
    torch.testing.assert_close(weighted_cross_entropy(logits, labels, 0.05), wanted)
    nothing = torch.full_like(labels, IGNORE_ID)
    assert weighted_cross_entropy(logits, nothing, 0.05) == 0


def test_a_step_is_both_ways_and_its_gradient_reaches_the_network(batches, make):
    torch.manual_seed(0)
    network, batch = alpnet("tiny").train(), batches(0)
    step = partial(episode_step, network, batch, progress=0.0, average=network)
    both = step(settings=make().training.fewshot)
    assert both.parts.keys() == {"forth", "back", "dice"}
    torch.testing.assert_close(both.loss.detach(), both.parts["forth"] + both.parts["back"])
    off = make(fewshot={"alignment_weight": 0.0}).training.fewshot
    torch.testing.assert_close(step(settings=off).loss.detach(), both.parts["forth"], atol=1e-3,
                               rtol=1e-3)  # fmt: skip
    both.loss.backward()
    assert all(one.grad is not None and one.grad.isfinite().all() for one in network.parameters())


def test_where_nothing_is_found_there_is_no_way_back(make):
    slices = torch.zeros(1, 3, 64, 64)
    labels = torch.zeros(1, 64, 64, dtype=torch.long)  # not even the support shows anything
    batch = EpisodeBatch(slices, slices, labels, labels)
    network = alpnet("tiny").train()
    found = episode_step(
        network, batch, progress=0.0, average=network, settings=make().training.fewshot
    )
    assert found.parts["back"] == 0
    assert found.loss.isfinite()


def test_a_step_number_gives_one_batch(batches):
    one, same, other = batches(4), batches(4), batches(5)
    assert one.support.shape == one.query.shape == (2, 3, 48, 64)
    assert torch.equal(one.query, same.query)
    assert torch.equal(one.query_labels, same.query_labels)
    assert not torch.equal(one.query, other.query)
    assert one.support_labels.dtype == torch.int64
    assert one.support.min() >= 0 and one.support.max() <= 1


def test_memory_of_the_regions_is_two_bytes_a_pixel_and_little_more(batches, scans):
    pixels = sum(scan.slices.size for scan in scans)
    assert 2 * pixels < batches.nbytes < 2.2 * pixels


def never(slices, inside):
    raise AssertionError("superpixels were cut")


def one_block(slices, inside):
    plane = np.zeros(slices.shape, np.int32)
    plane[:, 14:34, 17:47] = 1
    return [plane]


@pytest.fixture(scope="module")
def drawn_scan():
    """Six slices with an organ of 8 x 8 pixels; nobody knows what the last columns are."""
    slices, labels = np.full((6, 48, 64), STEPS // 2, np.int16), np.zeros((6, 48, 64), np.uint8)
    slices[:, 20:28, 24:32], labels[:, 20:28, 24:32], labels[:, :, 54:] = STEPS, 7, IGNORE_ID
    return CachedScan("drawn", slices, labels, 5.0)


def test_without_drawn_organs_batches_are_what_they_were(batches, scans, make):
    recipe = make(fewshot={"drawn_share": 0.0})
    settings, training = recipe.training.fewshot, recipe.training
    regions = [regions_of(scan, cut_by(settings)) for scan in scans]
    alone = Episodes(scans, regions, settings=settings, size=training.crop)
    low, high = recipe.input.range_hu
    for step in range(3):
        rng = np.random.default_rng((training.seed, step))
        wanted = [alone.draw(rng) for _ in range(training.batch)]
        slices = np.stack([one.slices for one in wanted], axis=1) * (high - low) + low
        masks, got = np.stack([one.masks for one in wanted], axis=1), batches(step)
        for n, part in enumerate(("support", "query")):
            seen = three_channels(slices[n], recipe.input.three_windows)
            assert np.array_equal(getattr(got, part), seen)
            assert np.array_equal(getattr(got, f"{part}_labels"), masks[n])


def test_drawn_organs_alone_need_no_regions(drawn_scan, make):
    batches = EpisodeBatches([drawn_scan], recipe=make(fewshot={"drawn_share": 1.0}), cut=never)
    assert batches.nbytes == 0
    one = batches(3)
    assert torch.equal(one.query, batches(3).query)
    for labels in (one.support_labels, one.query_labels):
        assert set(labels.unique().tolist()) == {0, 1, IGNORE_ID}
        assert ((labels == 1).sum(dim=(1, 2)) < 150).all()
        assert ((labels == IGNORE_ID).sum(dim=(1, 2)) > 48 * 2).all()


@pytest.mark.parametrize("share", [0.25, 0.75])
def test_so_many_episodes_are_of_drawn_organs(drawn_scan, make, share):
    recipe = make(batch=120, fewshot={"drawn_share": share})
    batch = EpisodeBatches([drawn_scan], recipe=recipe, cut=one_block)(0)
    small = (batch.query_labels == 1).sum(dim=(1, 2)) < 200
    assert small.float().mean() == pytest.approx(share, abs=0.12)
    assert torch.equal(small, (batch.support_labels == 1).sum(dim=(1, 2)) < 200)


def test_where_nobody_drew_an_organ_no_time_is_lost(drawn_scan, make):
    with pytest.raises(DatasetError, match="shows a drawn organ of 20 pixels"):
        EpisodeBatches(
            [replace(drawn_scan, labels=None)], recipe=make(fewshot={"drawn_share": 0.5}), cut=never
        )


def test_a_model_learns_from_drawn_slices_of_one_scan(dataset, make, tmp_path, runtime):
    root = shutil.copytree(dataset, tmp_path / "data")
    (root / "labelsTr" / "two.nii.gz").unlink()
    (root / "annotations.json").write_text('{"one": {"annotated_slices": [6, 8, 10]}}')
    recipe = make(steps=2, held_out_group=None, fewshot={"drawn_share": 1.0})
    with pytest.warns(DataWarning, match="taken as unknown"):
        path = train(recipe, data=root, out=tmp_path / "run", runtime=runtime)
    assert load_weights(path).recipe.training.fewshot.drawn_share == 1


def test_the_loss_falls(batches, make, tmp_path, runtime):
    recipe = make(steps=40, learning_rate=3e-3, ema=0.5)
    torch.manual_seed(0)
    step = partial(episode_step, settings=recipe.training.fewshot)
    batch = batches(0)
    fit(alpnet("tiny"), step, lambda n: batch, recipe=recipe, out=tmp_path, runtime=runtime)
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert lines[-1]["loss"] < 0.7 * 1.1
    assert lines[-1]["loss"] < lines[0]["loss"]


def test_images_alone_make_a_model_that_can_be_loaded(images_only, make, tmp_path, runtime):
    path = train(make(steps=2), data=images_only, out=tmp_path / "run", runtime=runtime)
    weights = load_weights(path)
    assert weights.card["unlabelled"] == ["bare", "held", "one", "two"]
    assert weights.card["trained_on"] == []
    model = load_fewshot(path, runtime, propagator=False)
    assert model.carrier is None and model.sha256 == weights.sha256


def test_labels_of_training_scans_are_never_read(dataset, make, tmp_path, runtime):
    root = shutil.copytree(dataset, tmp_path / "data")
    for name in ("one", "two"):
        (root / "labelsTr" / f"{name}.nii.gz").write_text("no label map at all")
    recipe = make(steps=1, held_out_group=None)
    train(recipe, data=root, out=tmp_path / "run", runtime=runtime)
    hidden = make(steps=1, held_out_group=None, fewshot={"exclude_classes": ["liver"]})
    with pytest.raises((ReadError, DatasetError), match="one"):
        gather(hidden, [root], ())


def test_slices_that_hold_any_hidden_organ_are_blank(dataset, make):
    names = ("liver", "spleen")
    seen = gather(make(held_out_group=None), [dataset], ())
    left = gather(make(held_out_group=None, fewshot={"exclude_classes": names}), [dataset], ())
    ids = [PHANTOM_LABELS.ids[name] for name in names]
    labelled = gather(
        make(labelled_group="val", held_out_group="train"), [dataset], ()
    ).held_out  # the same scans, with their labels
    some = 0
    for before, after, truth in zip(seen.free, left.free, labelled, strict=True):
        assert after.labels is None
        held = np.isin(truth.labels, ids).any(axis=(1, 2))
        one = (truth.labels == ids[0]).any(axis=(1, 2))
        both = one & (truth.labels == ids[1]).any(axis=(1, 2))
        some += (held & ~both).sum()
        assert not after.slices[held].any()
        assert np.array_equal(after.slices[~held], before.slices[~held])
    assert some  # a rule of ALL would have left these in


def test_hidden_organs_must_be_known_and_labelled(dataset, images_only, make):
    with pytest.raises(LabelError, match="unknown organ 'livre'"):
        gather(make(held_out_group=None, fewshot={"exclude_classes": ["livre"]}), [dataset], ())
    with pytest.raises(DatasetError, match="nobody says which slices hold liver"):
        gather(make(fewshot={"exclude_classes": ["liver"]}), [images_only], ())


def test_held_out_scans_are_scored_while_it_learns(dataset, make, tmp_path, runtime):
    (dataset_copy := tmp_path / "data").mkdir()
    shutil.copytree(dataset, dataset_copy, dirs_exist_ok=True)
    splits = {"train": ["bare"], "val": ["one", "two", "held"]}
    (dataset_copy / "splits.json").write_text(json.dumps(splits))
    path = train(make(steps=1), data=dataset_copy, out=tmp_path / "run", runtime=runtime)
    scores = load_weights(path).card["scores"]
    assert 0 < scores["dsc"] < 1
    assert f"organ {PHANTOM_LABELS.ids['liver']}" in scores


def test_one_held_out_scan_cannot_be_scored(dataset, make):
    with pytest.raises(DatasetError, match="no two held-out scans"):
        gather(make(), [dataset], ())


def test_organs_of_the_recipe_name_the_scores(scans, make, runtime):
    torch.manual_seed(0)
    network = alpnet("tiny").eval()
    recipe = make(organs=dict(PHANTOM_LABELS.ids))
    scores = score_fewshot(network, scans[:2], recipe=recipe, runtime=runtime)
    assert {"dsc", "liver"} <= scores.keys()
    assert np.isnan(score_fewshot(network, scans[:1], recipe=recipe, runtime=runtime)["dsc"])


def test_stairs_fall_by_a_twentieth_every_thousand_steps(make):
    stairs = make(steps=5000, schedule="stairs", warmup_share=0.0, learning_rate=1e-3).training
    rates = [learning_rate(step, stairs) for step in (1, 999, 1000, 4999)]
    assert rates == pytest.approx([1e-3, 1e-3, 0.95e-3, 0.95**4 * 1e-3])


def test_a_run_by_sgd_goes_on_as_if_never_interrupted(batches, make, tmp_path, runtime):
    def run(out, stop=None):
        recipe = make(steps=6, optimiser="sgd", schedule="stairs", checkpoint_every=3)
        torch.manual_seed(0)

        def told(done, steps):
            if done == stop:
                raise KeyboardInterrupt

        return fit(
            alpnet("tiny"), partial(episode_step, settings=recipe.training.fewshot), batches,
            recipe=recipe, out=tmp_path / out, runtime=runtime, progress=told,
        )[0]  # fmt: skip

    whole = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("parts", stop=4)
    resumed = run("parts")
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_other_roles_are_refused(trial_models):
    with pytest.raises(RecipeError, match="is a propagator, wanted a fewshot"):
        load_fewshot(trial_models / "trial_propagator.toml")
