"""What is said of a scan, where the answer can be known beforehand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from slicekit.errors import RecipeError
from slicekit.inference.model import Model, load_model
from slicekit.inference.pipeline import segment_volume
from slicekit.labels import LabelSet
from slicekit.networks.stcn import Features
from slicekit.recipes import TrackRecipe, read_recipe
from slicekit.training.pseudo import measure_facts
from slicekit.training.pseudo.predict import losses_of, predict_scan


class Tracing:
    """A propagator that repeats what it remembers, place by place."""

    def encode_key(self, frames):
        b, _, y, x = frames.shape
        cells = torch.eye(y // 16 * x // 16).reshape(1, -1, y // 16, x // 16)
        return Features(40 * cells.expand(b, -1, -1, -1), *[frames] * 4)

    def encode_value(self, frames, masks, s16):
        return F.pixel_unshuffle(masks[:, :, None], 16)

    def decode(self, readout, features, prior=None):
        drawn = F.pixel_shuffle(readout.float(), 16).squeeze(2)
        return (drawn - 0.5) * 30


@pytest.fixture
def carrying(trial_models, seer):
    """Make a model of ``ByIntensity`` whose guides are carried by ``Tracing``."""
    recipe = read_recipe(trial_models / "trial_propagator.toml")

    def make(*, tracks=None) -> Model:
        training = recipe.training.model_copy(update={"tracks": tracks})
        its = recipe.model_copy(update={"training": training})
        return replace(seer(), propagator=Tracing(), propagator_recipe=its)

    return make


@pytest.fixture
def pillars(patients):
    """Organs that go through all slices, so that the scan does not change along z."""
    labels = patients.labels()
    array = labels.array.copy()
    array[:] = array[8]
    return labels.with_array(array)


def test_what_is_said_together_alone_and_how_surely(seer, patients):
    labels = patients.labels()
    model, told = seer(blind="spleen"), []
    said = predict_scan(patients.scan(labels), model, told=told.append)
    without = patients.labels(gone="spleen").array
    assert np.array_equal(said.labels.array, without)
    assert [np.array_equal(one, labels.array) for one in said.members] == [True, False]
    assert np.array_equal(said.members[1], without)
    # where one says spleen and one says background, the mean is sure of neither
    spleen = labels.array == 2
    assert said.confidence[spleen].max() < 0.51
    assert said.confidence[labels.array == 1].min() > 0.99
    assert said.both_ways is None
    assert told[-1] == len(labels.array)
    y0, y1, x0, x1 = said.body
    assert y0 <= 8 < 56 <= y1 < 64 and x0 <= 6 < 58 <= x1 < 64


def test_a_scan_at_another_spacing_is_answered_on_its_own_pixels(seer, patients):
    labels = patients.labels()
    fine = labels.array.repeat(2, axis=1).repeat(2, axis=2)
    affine = labels.affine @ np.diag([1, 0.5, 0.5, 1])
    large = replace(labels, array=fine, affine=affine)
    scan = replace(
        patients.scan(labels), array=patients.scan(labels).array.repeat(2, 1).repeat(2, 2)
    )
    said = predict_scan(replace(scan, affine=affine), seer())
    facts = measure_facts(
        large, seer().recipe.labels, members=said.members, confidence=said.confidence
    )
    assert said.members[0].shape == said.confidence.shape == fine.shape
    assert min(one.agreement for one in facts.values()) > 0.75


def test_a_volumetric_model_has_one_voice(trial_models, runtime, patients):
    model = load_model(trial_models / "trial_volumetric.toml", runtime)
    scan = patients.scan(patients.labels())
    said = predict_scan(scan, model)
    assert np.array_equal(said.labels.array, segment_volume(scan, model).labels.array)
    assert (said.members, said.confidence, said.both_ways) == ((), None, None)


def test_a_carried_organ_that_overgrows_is_neither_sure_nor_agreed_on(
    carrying, patients, monkeypatch
):
    """What was carried is judged, not what the committee would have said instead."""
    labels, model = patients.labels(), carrying()
    flooded = labels.with_array(np.ones_like(labels.array))
    usual = segment_volume(patients.scan(labels), model)
    monkeypatch.setattr(
        "slicekit.training.pseudo.predict.segment_volume",
        lambda *_, **__: replace(usual, labels=flooded),
    )
    said = predict_scan(patients.scan(labels), model)
    facts = measure_facts(
        said.labels, model.recipe.labels, members=said.members, confidence=said.confidence
    )
    share = np.mean(labels.array == 1)
    assert facts["liver"].agreement == pytest.approx(2 * share / (1 + share), abs=0.05)
    assert facts["liver"].confidence < 0.6


def test_both_ways_agree_where_the_scan_does_not_change(carrying, pillars, patients):
    model = carrying()
    said = predict_scan(patients.scan(pillars), model, both_ways=True)
    forward, backward = said.both_ways
    assert np.array_equal(forward, backward)
    # all between the first guide and the last one
    guides = [choice.z for choice in segment_volume(patients.scan(pillars), model).guides]
    inner = slice(min(guides) + 1, max(guides))
    assert inner.stop - inner.start > 5
    assert np.array_equal(forward[inner], pillars.array[inner])
    assert not forward[: inner.start].any() and not forward[inner.stop :].any()
    facts = measure_facts(pillars, model.recipe.labels, both_ways=said.both_ways)
    assert {one.both_ways for one in facts.values()} == {1.0}


def test_both_ways_differ_where_organs_slant_and_the_propagator_does_not(
    carrying, pillars, patients
):
    slanted = [np.roll(plane, z // 3, axis=1) for z, plane in enumerate(pillars.array)]
    labels = pillars.with_array(np.stack(slanted))
    said = predict_scan(patients.scan(labels), carrying(), both_ways=True)
    facts = measure_facts(labels, carrying().recipe.labels, both_ways=said.both_ways)
    # the thinner an organ, the more a pixel counts
    assert facts["aorta"].both_ways < facts["liver"].both_ways < 0.99


def test_an_organ_that_neither_way_carried_was_not_measured(patients):
    nothing = np.zeros_like(patients.labels().array)
    names = patients.labels(gone="spleen")
    organs = LabelSet({"liver": 1, "spleen": 2})
    facts = measure_facts(names, organs, both_ways=(nothing, nothing))
    assert (facts["liver"].both_ways, facts["spleen"].both_ways) == (None, 1.0)


def test_only_whole_slices_are_carried_both_ways(carrying, seer, patients):
    scan = patients.scan(patients.labels())
    for model in (seer(), carrying(tracks=TrackRecipe())):
        with pytest.raises(RecipeError, match="leave the rule both-ways out"):
            predict_scan(scan, model, both_ways=True)


def test_a_real_propagator_is_asked_both_ways(trial_models, runtime, patients):
    model = load_model(trial_models / "trial_reference.toml", runtime)
    said = predict_scan(patients.scan(patients.labels()), model, both_ways=True)
    assert [one.shape for one in said.both_ways] == [said.labels.shape] * 2


def test_labels_surprise_a_committee_more_the_further_they_are_off(seer, patients):
    labels = patients.labels(gone="aorta")
    scan, judge = patients.scan(labels), seer()
    right = losses_of(scan, labels, judge)
    assert right.keys() == {"liver", "spleen"}  # nobody sees an aorta
    assert max(right.values()) < 0.01
    by = [
        losses_of(scan, labels.with_array(np.roll(labels.array, pixels, axis=2)), judge)
        for pixels in (1, 4)
    ]
    for organ in right:
        assert right[organ] + 0.5 < by[0][organ] < by[1][organ]


def test_what_is_missing_and_what_is_too_much_surprise_alike(seer, patients):
    labels, without = patients.labels(), patients.labels(gone="spleen")
    missed = losses_of(patients.scan(labels), without, seer())
    invented = losses_of(patients.scan(without), labels, seer())
    assert missed["spleen"] > 5 and invented["spleen"] > 5
    assert missed["liver"] < 0.01 and invented["liver"] < 0.01
