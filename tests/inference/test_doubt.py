"""Doubt of a slice that can be reckoned by hand."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import entr, softmax

from slicekit.errors import ShapeError
from slicekit.inference.doubt import SliceDoubt, most_to_quarrel_about, summarise_slice
from slicekit.inference.uncertainty import uncertainty
from slicekit.labels import LabelSet

NAMES = LabelSet({"liver": 1, "spleen": 2})


def look(*members, names=NAMES):
    """Ask members whose pixels are each given as probabilities of the classes."""
    pixels = np.moveaxis(np.array(members, np.float32), -1, 1)[:, :, None]
    return summarise_slice(pixels, names=names, case="a", z=3, z_mm=15.0)


def test_a_sure_committee_doubts_nothing():
    found = look([[1, 0, 0], [0, 1, 0]], [[1, 0, 0], [0, 1, 0]])
    assert astuple(found)[:3] == ("a", 3, 15.0)
    assert found.entropy_px == found.disagreement_px == {"liver": 0.0, "spleen": 0.0}
    assert found.area_px == {"liver": 1, "spleen": 0}
    assert found.members == 2


def test_a_pixel_of_which_nothing_is_known_counts_one():
    third = [1 / 3] * 3
    found = look([third, third, third])
    # of each of three pixels a third goes to every class, the background too
    assert found.entropy_px == pytest.approx({"liver": 1.0, "spleen": 1.0})
    assert found.disagreement_px == {"liver": 0.0, "spleen": 0.0}


def test_doubt_that_all_share_is_no_disagreement():
    half = [0.5, 0.5, 0.0]
    shared, apart = look([half], [half]), look([[1, 0, 0]], [[0, 1, 0]])
    assert shared.entropy_px == pytest.approx(apart.entropy_px)
    assert shared.entropy_px["liver"] == pytest.approx(0.5 * np.log(2) / np.log(3))
    assert shared.disagreement_px["liver"] == pytest.approx(0.0, abs=1e-6)
    assert apart.disagreement_px == pytest.approx({"liver": 0.5, "spleen": 0.0})
    assert apart.entropy_px["spleen"] == 0.0


@pytest.mark.parametrize("members", [2, 3, 6])
def test_a_pixel_that_members_share_out_among_the_classes_counts_one(members):
    """Each is certain of another class, in turn; background has its part as well."""
    sure = [[[float(n % 3 == k) for k in range(3)]] for n in range(members)]
    found = look(*sure)
    background = np.mean([n % 3 == 0 for n in range(members)])
    assert sum(found.disagreement_px.values()) / (1 - background) == pytest.approx(1.0)


@given(st.integers(2, 5), st.integers(2, 6), st.integers(0, 1000))
def test_no_committee_quarrels_about_more_than_there_is(members, classes, seed):
    rng = np.random.default_rng(seed)
    sharp = softmax(rng.normal(0, 30, (members, classes, 500)), axis=1)
    apart = entr(sharp.mean(axis=0)).sum(axis=0) - entr(sharp).sum(axis=1).mean(axis=0)
    assert apart.max() <= most_to_quarrel_about(members, classes) + 1e-6
    every = np.eye(classes)[np.arange(members) % classes]
    if members <= classes:
        assert entr(every.mean(axis=0)).sum() == pytest.approx(
            most_to_quarrel_about(members, classes)
        )


def test_it_is_what_the_map_of_uncertainty_counts():
    """Two members who contradict one another on every organ pixel: both say 1 a pixel."""
    liver, spleen = [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]
    pixels = np.moveaxis(np.array([[liver] * 5, [spleen] * 5], np.float32), -1, 1)[:, :, None]
    found = look([liver] * 5, [spleen] * 5)
    wanted = float(uncertainty(torch.from_numpy(pixels)).sum())
    assert sum(found.disagreement_px.values()) == pytest.approx(wanted)
    assert wanted == pytest.approx(5)


def test_a_missed_organ_counts_more_than_many_pixels_where_it_is_all_but_excluded():
    missed = [[0.6, 0.0, 0.4]] * 20
    excluded = [[0.999, 0.0005, 0.0005]] * 10_000
    assert look([*missed, *excluded]).entropy_px["spleen"] > 4
    assert look(excluded).entropy_px["spleen"] < 0.1


SCORES = arrays(np.float32, (2, 3, 4, 5), elements=st.floats(-20, 20, width=32))


@given(SCORES)
def test_bounds_and_the_order_of_members(scores):
    shares = softmax(scores, axis=1)
    found = summarise_slice(shares, names=NAMES, case="a", z=0, z_mm=0.0)
    swapped = summarise_slice(shares[::-1], names=NAMES, case="a", z=0, z_mm=0.0)
    assert 0 <= sum(found.entropy_px.values()) <= 20 + 1e-3
    for organ in NAMES.names:
        most = found.entropy_px[organ] * np.log(3) / np.log(2)
        assert 0 <= found.disagreement_px[organ] <= most + 1e-3
        assert found.disagreement_px[organ] == pytest.approx(
            swapped.disagreement_px[organ], abs=1e-3
        )
    assert sum(found.area_px.values()) <= 20


def test_half_precision_will_do():
    shares = softmax(np.linspace(-3, 3, 2 * 3 * 40).reshape(2, 3, 5, 8), axis=1)
    full, half = (
        summarise_slice(shares.astype(kind), names=NAMES, case="a", z=0, z_mm=0.0)
        for kind in (np.float32, np.float16)
    )
    assert half.entropy_px == pytest.approx(full.entropy_px, rel=1e-2)
    assert isinstance(full, SliceDoubt)


def test_what_is_no_softmax_is_refused():
    good = np.full((2, 3, 4, 5), 1 / 3, np.float32)
    kind = {"names": NAMES, "case": "a", "z": 0, "z_mm": 0.0}
    for bad in (good * 3, good * np.nan, good * [[[[2]], [[2]], [[-1]]]]):
        with pytest.raises(ValueError, match="softmax"):
            summarise_slice(bad, **kind)
    for bad in (good[0], good[:, :2], good[:0]):
        with pytest.raises(ShapeError, match="probabilities"):
            summarise_slice(bad, **kind)
    with pytest.raises(ShapeError, match="probabilities"):
        summarise_slice(good[:, :1], **kind | {"names": LabelSet({})})
