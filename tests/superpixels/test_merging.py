"""Merging of superpixels: levels nest, regions stay whole, the cheapest pair goes first."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from slicekit.errors import LabelError, ShapeError
from slicekit.superpixels.iterative import slic
from slicekit.superpixels.merging import merge


def scene(seed: int, n: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Random smooth slices and superpixels of a ragged part of them."""
    rng = np.random.default_rng(seed)
    slices = ndimage.gaussian_filter(rng.normal(size=(n, 40, 50)), (0, 2, 2))
    mask = ndimage.gaussian_filter(rng.normal(size=(n, 40, 50)), (0, 6, 6)) > -0.02
    return slic(slices, 60, mask=mask, threads=1), slices


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**16), st.lists(st.integers(1, 80), min_size=1, max_size=4, unique=True))
def test_levels_nest_and_regions_are_whole(seed: int, wanted: list[int]) -> None:
    labels, slices = scene(seed)
    levels = merge(labels, slices, wanted)
    assert levels.shape == (len(wanted), *labels.shape)
    for z in range(len(labels)):
        parts = ndimage.label(labels[z] > 0)[1]
        finest_first = sorted(zip(wanted, levels[:, z], strict=True), key=lambda one: -one[0])
        for count, level in finest_first:
            ids = np.unique(level[labels[z] > 0])
            assert len(ids) == max(parts, min(count, labels[z].max()))
            assert ids.tolist() == list(range(1, len(ids) + 1))
            assert np.array_equal(level > 0, labels[z] > 0)
            assert all(ndimage.label(level == number)[1] == 1 for number in ids)
        finer = [labels[z], *(level for _, level in finest_first)]
        for fine, coarse in pairwise(finer):
            pairs = set(zip(fine.ravel(), coarse.ravel(), strict=True))
            assert len(pairs) == len(np.unique(fine))


def test_threads_batches_and_single_levels_change_nothing() -> None:
    labels, slices = scene(7, n=5)
    levels = merge(labels, slices, (20, 5), threads=1)
    assert np.array_equal(merge(labels, slices, (20, 5), threads=3), levels)
    assert np.array_equal(merge(labels, slices, 5), levels[1])
    assert np.array_equal(merge(labels[2], slices[2], (20, 5)), levels[:, 2])
    assert np.array_equal(merge(labels[2], slices[2], 20), levels[0, 2])
    channels = np.repeat(slices[..., None], 4, axis=3)
    assert np.mean(merge(labels, channels, 5) == levels[1]) > 0.95


def test_objects_of_one_intensity_become_regions() -> None:
    truth = np.ones((60, 80), int)
    truth[10:30, 10:40], truth[35:50, 30:70] = 2, 3
    slices = truth[None] * 100.0 + np.random.default_rng(0).normal(0, 8, (1, 60, 80))
    regions = merge(slic(slices, 120), slices, 3)[0]
    for number in (1, 2, 3):
        region = regions == np.bincount(regions[truth == number]).argmax()
        both = np.count_nonzero(region & (truth == number))
        assert 2 * both / (region.sum() + (truth == number).sum()) > 0.95


def test_the_cheapest_pair_goes_first() -> None:
    labels = np.repeat([[1, 1, 2, 2, 3, 3, 4, 4]], 2, axis=0)
    slices = np.repeat([[0, 0, 9, 9, 10, 10, 30, 30]], 2, axis=0)
    assert merge(labels, slices, 3)[0].tolist() == [1, 1, 2, 2, 2, 2, 3, 3]
    assert merge(labels, slices, 2)[0].tolist() == [1, 1, 1, 1, 1, 1, 2, 2]


def test_a_long_common_border_is_cheaper_than_a_short_one() -> None:
    labels = np.array([[1, 1, 1, 1], [2, 2, 2, 2], [4, 3, 4, 4]])
    slices = np.array([[0, 0, 0, 0], [10, 10, 10, 10], [90, 20, 90, 90]])
    assert merge(labels, slices, 3).tolist() == [[1, 1, 1, 1], [1, 1, 1, 1], [3, 2, 3, 3]]


def test_constant_slices_and_labels_with_gaps_are_merged() -> None:
    labels = np.array([[0, 5, 5], [2, 2, 6]])
    assert merge(labels, np.zeros((2, 3)), (3, 1)).tolist() == [
        [[0, 2, 2], [1, 1, 3]],
        [[0, 1, 1], [1, 1, 1]],
    ]


def test_what_is_no_number_has_no_say() -> None:
    labels = np.array([[1, 1, 2, 2, 3, 3]])
    slices = np.array([[0.0, np.nan, 1.0, np.inf, 9.0, 9.0]])
    assert merge(labels, slices, 2).tolist() == [[1, 1, 1, 1, 2, 2]]
    assert merge(labels, np.full((1, 6), np.nan), 1).tolist() == [[1] * 6]


def test_nothing_labelled_stays_nothing() -> None:
    assert not merge(np.zeros((2, 4, 4), int), np.ones((2, 4, 4)), 3).any()
    assert merge(np.zeros((0, 4, 4), int), np.ones((0, 4, 4)), (3, 2)).shape == (2, 0, 4, 4)


@pytest.mark.parametrize(
    ("labels", "slices", "wanted", "fault", "said"),
    [
        (np.ones((2, 2), int), np.ones((2, 3)), 1, ShapeError, "labels must be"),
        (np.ones((2, 2)), np.ones((2, 2)), 1, ShapeError, "labels must be whole numbers"),
        (np.full((2, 2), -1), np.ones((2, 2)), 1, LabelError, "got -1 to -1"),
        (np.full((2, 2), 5), np.ones((2, 2)), 1, LabelError, "number them 1 to K"),
        (np.ones((2, 2), int), np.ones((2, 2)), 0, ValueError, "n_regions must be"),
        (np.ones((2, 2), int), np.ones((2, 2)), (), ValueError, "n_regions must be"),
        (np.ones((2, 2), int), np.ones((2, 2)), 2.5, ValueError, "n_regions must be"),
        (np.ones(2, int), np.ones(2), 1, ShapeError, "slices must be"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    labels: np.ndarray, slices: np.ndarray, wanted: object, fault: type[Exception], said: str
) -> None:
    with pytest.raises(fault, match=said):
        merge(labels, slices, wanted)  # type: ignore[arg-type]
