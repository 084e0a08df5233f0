"""Pixels are counted by class, and an organ that pseudo labels lost is told."""

from __future__ import annotations

import json
import warnings

import pytest
import torch

from slicekit.errors import DataWarning
from slicekit.labels import LabelSet
from slicekit.training.census import Census, in_words

LABELS = LabelSet({"liver": 1, "spleen": 2, "aorta": 3})


def counts(**pixels):
    return {source: torch.tensor(numbers) for source, numbers in pixels.items()}


def test_shares_are_of_all_pixels_since_the_last_time():
    census = Census()
    census.add(counts(labelled=[50, 20, 20, 0], pseudo=[5, 1, 1, 1]))
    census.add(counts(labelled=[0, 5, 0, 5], pseudo=[0, 1, 1, 0]))
    assert census.close(LABELS) == {
        "labelled liver": 0.25, "labelled spleen": 0.2, "labelled aorta": 0.05,
        "pseudo liver": 0.2, "pseudo spleen": 0.2, "pseudo aorta": 0.1,
    }  # fmt: skip
    assert census.close(LABELS) == {}
    census.add(counts(labelled=[0, 0, 0, 3]))
    assert census.close(LABELS)["labelled aorta"] == 1


def test_an_organ_that_the_pseudo_labels_lost_is_told():
    census = Census()
    census.add(counts(labelled=[700, 100, 100, 100], pseudo=[860, 130, 9, 1]))
    with pytest.warns(DataWarning, match="next to nothing of spleen, aorta; .*lower the weight"):
        census.close(LABELS)


@pytest.mark.parametrize(
    "pixels",
    [
        {"labelled": [700, 100, 100, 0], "pseudo": [800, 100, 11, 0]},  # no label holds an aorta
        {"labelled": [700, 100, 100, 100]},
        {"labelled": [700, 100, 100, 100], "pseudo": [0, 0, 0, 0]},  # none is sure enough
        {"labelled": [0, 0, 0, 0], "pseudo": [900, 0, 0, 0]},
    ],
)
def test_what_cannot_be_lost_is_not_told(pixels):
    census = Census()
    census.add(counts(**pixels))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        census.close(LABELS)


def test_another_census_goes_on_from_what_was_counted():
    one, other, whole = Census(), Census(), Census()
    first, second = (
        counts(labelled=[1, 2, 3, 4]),
        counts(labelled=[4, 0, 0, 1], pseudo=[1, 1, 1, 1]),
    )
    one.add(first)
    other.restore(json.loads(json.dumps(one.counts)))
    other.add(second)
    whole.add(first)
    whole.add(second)
    assert other.close(LABELS) == whole.close(LABELS)


def test_shares_are_told_organ_by_organ():
    census = Census()
    census.add(counts(labelled=[50, 25, 20, 5], pseudo=[80, 10, 9, 1]))
    said = "share of the pixels (labelled, pseudo): liver 25 %, 10 %; spleen 20 %, 9 %; aorta 5 %,"
    assert in_words(census.close(LABELS)) == f"{said} 1 %"
