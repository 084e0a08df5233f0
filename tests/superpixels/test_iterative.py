"""Superpixels: every promise of ``slic`` and ``slic_each``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from slicekit.errors import ShapeError
from slicekit.superpixels.cluster import cluster
from slicekit.superpixels.features import standardise
from slicekit.superpixels.iterative import slic, slic_each


def blobs(*shape: int, seed: int = 0) -> np.ndarray:
    """Smooth random pictures with noise: ``(n, y, x)`` float32."""
    rng = np.random.default_rng(seed)
    rough = rng.normal(size=shape)
    return (ndimage.gaussian_filter(rough, (0, 3, 3)) * 100 + rough).astype(np.float32)


def expect_superpixels(labels: np.ndarray, inside: np.ndarray) -> None:
    """Ids without gaps in the order in which they begin, 0 outside only, each in one piece."""
    assert labels.dtype == np.int32
    for one, mask in zip(labels, inside, strict=True):
        assert np.array_equal(one > 0, mask)
        ids, begins = np.unique(one[mask], return_index=True)
        assert ids.tolist() == list(range(1, len(ids) + 1))
        assert (np.diff(begins) > 0).all()
        assert all(ndimage.label(one == number)[1] == 1 for number in ids)


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """Slices of any small size, with or without channels, masks and holes of NaN."""
    n, y, x = draw(st.integers(0, 3)), draw(st.integers(1, 40)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    shape = (n, y, x, draw(st.integers(1, 3))) if draw(st.booleans()) else (n, y, x)
    kind = draw(st.sampled_from(["uint8", "int16", "float32", "float64", "flat", "bool"]))
    slices = rng.integers(0, 200, shape)
    slices = np.zeros(shape) if kind == "flat" else slices.astype(kind)
    if slices.dtype.kind == "f" and draw(st.booleans()):
        slices[rng.random(shape) < 0.1] = draw(st.sampled_from([np.nan, np.inf]))
    mask = rng.random((n, y, x)) < draw(st.sampled_from([0.0, 0.1, 0.7, 0.98]))
    return {
        "slices": slices,
        "n_segments": draw(st.integers(1, 60)),
        "mask": draw(st.sampled_from([None, mask])),
        "compactness": draw(st.sampled_from([0.01, 0.7, 50.0])),
        "iterations": draw(st.integers(1, 6)),
        "fast": draw(st.booleans()),
    }


@settings(max_examples=80, deadline=None)
@given(cases())
def test_labels_are_connected_numbered_and_inside(case: dict[str, Any]) -> None:
    slices, mask = case["slices"], case["mask"]
    finite = np.isfinite(slices)
    inside = finite.all(axis=3) if slices.ndim == 4 else finite
    labels = slic(**case, threads=1)
    expect_superpixels(labels, inside if mask is None else inside & mask)


@settings(max_examples=20, deadline=None)
@given(cases(), st.integers(2, 4))
def test_threads_batches_and_streams_change_nothing(case: dict[str, Any], threads: int) -> None:
    labels = slic(**case, threads=1)
    assert np.array_equal(slic(**case, threads=threads), labels)
    slices, mask, rest = case.pop("slices"), case.pop("mask"), case
    for z, one in enumerate(labels):
        alone = slic(slices[z : z + 1], mask=None if mask is None else mask[z], threads=1, **rest)
        assert np.array_equal(alone[0], one)
    each = list(slic_each(iter(slices), masks=mask, threads=threads, **rest))
    assert len(each) == len(labels)
    assert all(np.array_equal(a, b) for a, b in zip(each, labels, strict=True))


@pytest.mark.parametrize("fast", [False, True])
def test_about_as_many_come_as_are_wanted(fast: bool) -> None:
    slices = blobs(2, 120, 100)
    mask = np.zeros((120, 100), dtype=bool)
    mask[20:90, 10:80] = True
    for n_segments in (10, 50, 200):
        for where in (None, mask):
            counts = slic(slices, n_segments, mask=where, fast=fast).max(axis=(1, 2))
            assert (counts > 0.75 * n_segments).all()
            assert (counts < 1.35 * n_segments).all()


def test_borders_of_clear_objects_are_found() -> None:
    y, x = np.mgrid[:96, :96]
    disc = np.hypot(y - 50, x - 44) < 21.3
    slices = disc[None] * 100 + np.random.default_rng(1).normal(0, 5, (1, 96, 96))
    for fast in (False, True):
        labels = slic(slices, 80, fast=fast)[0]
        within = ndimage.mean(disc, labels, np.arange(1, labels.max() + 1))
        mixed = np.minimum(within, 1 - within) * np.bincount(labels.ravel())[1:]
        assert mixed.sum() < 0.01 * disc.sum()


def test_one_intensity_gives_the_regular_grid() -> None:
    labels = slic(np.full((1, 40, 60), 7, np.int16), 24)[0]
    expected = np.arange(40)[:, None] // 10 * 6 + np.arange(60) // 10 + 1
    assert np.array_equal(labels, expected)


def test_scale_and_offset_of_intensities_do_not_matter() -> None:
    slices = np.random.default_rng(2).integers(0, 256, (2, 50, 70))
    assert np.array_equal(slic(slices, 40), slic(slices.astype(np.uint8), 40))
    for other in (slices * 4 - 1024, slices / 256):
        assert np.mean(slic(other, 40) == slic(slices, 40)) > 0.99


def test_a_repeated_channel_changes_nothing() -> None:
    gray = blobs(2, 64, 64, seed=3)
    assert np.array_equal(slic(gray[..., None], 60), slic(gray, 60))
    four = slic(np.repeat(gray[..., None], 4, axis=3), 60)  # the root of 4 is exact
    assert np.mean(four == slic(gray, 60)) > 0.99


def test_higher_compactness_is_squarer() -> None:
    slices = blobs(1, 96, 96, seed=4)

    def border(compactness: float) -> int:
        labels = slic(slices, 60, compactness=compactness)[0]
        return int((np.diff(labels, axis=0) != 0).sum() + (np.diff(labels, axis=1) != 0).sum())

    assert border(0.1) > border(1.0) > border(100.0)


def test_more_segments_than_pixels_give_every_pixel_its_own() -> None:
    assert slic(np.zeros((1, 3, 4)), 99)[0].tolist() == [
        [1, 2, 3, 4],
        [5, 6, 7, 8],
        [9, 10, 11, 12],
    ]
    mask = np.zeros((3, 4), bool)
    mask[1, 1:3] = True
    assert slic(np.zeros((1, 3, 4)), 99, mask=mask)[0].tolist() == [[0] * 4, [0, 1, 2, 0], [0] * 4]


def test_nothing_inside_gives_zeros() -> None:
    slices = blobs(2, 20, 20)
    assert not slic(slices, 5, mask=np.zeros((20, 20), bool)).any()
    assert not slic(np.full((1, 8, 8), np.nan), 5).any()
    slices[1] = np.inf
    labels = slic(slices, 5)
    assert labels[0].all()
    assert not labels[1].any()


def test_a_mask_of_air_alone_is_cut_as_any_other() -> None:
    slices = np.zeros((1, 64, 64), np.int16)
    slices[0, 20:40, 20:40] = 300
    air = slices == 0
    expect_superpixels(slic(slices, 30, mask=air), air)


def test_a_mask_too_thin_for_the_grid_is_cut_all_the_same() -> None:
    mask = np.zeros((1, 100, 100), bool)
    mask[0, 33, 2:98] = True
    labels = slic(blobs(1, 100, 100), 6, mask=mask)
    expect_superpixels(labels, mask)
    assert labels.max() >= 4


def test_slices_that_are_no_blocks_in_memory_are_read_right() -> None:
    slices = blobs(4, 40, 60)
    assert np.array_equal(slic(slices[::2, ::-1, ::2], 20), slic(slices[::2, ::-1, ::2].copy(), 20))
    assert np.array_equal(slic(slices.astype(">f4"), 20), slic(slices, 20))


@pytest.mark.parametrize(
    ("change", "fault", "said"),
    [
        ({"n_segments": 0}, ValueError, "n_segments must be a whole number of at least 1, got 0"),
        ({"n_segments": 2.5}, ValueError, "n_segments must be a whole number"),
        ({"iterations": 0}, ValueError, "iterations must be"),
        ({"compactness": 0.0}, ValueError, "compactness must be above 0"),
        ({"compactness": math.nan}, ValueError, "compactness must be above 0"),
        ({"threads": 0}, ValueError, "threads must be at least 1"),
        ({"slices": np.zeros((4, 4))}, ShapeError, r"slices must be \(n, y, x\)"),
        ({"slices": np.zeros((1, 0, 4))}, ShapeError, "pixels a side"),
        ({"slices": np.zeros((1, 4, 4, 0))}, ShapeError, "and a channel"),
        ({"slices": np.zeros((1, 4, 4), complex)}, ShapeError, "got complex128"),
        ({"slices": np.zeros((1, 4, 4), object)}, ShapeError, "got object"),
        ({"mask": np.ones((2, 4, 4), bool)}, ShapeError, "mask must be"),
        ({"mask": np.ones((1, 4, 4))}, ShapeError, "threshold it"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    change: dict[str, Any], fault: type[Exception], said: str
) -> None:
    with pytest.raises(fault, match=said):
        slic(**({"slices": np.zeros((1, 4, 4)), "n_segments": 2} | change))


def test_masks_and_slices_of_a_stream_must_be_as_many() -> None:
    with pytest.raises(ShapeError, match="as many masks as slices"):
        list(slic_each([np.zeros((4, 4))] * 3, 2, masks=[None] * 2))


def test_a_stream_is_read_little_ahead_and_sizes_may_differ() -> None:
    read = []

    def slices() -> Any:
        for z in range(20):
            read.append(z)
            yield np.zeros((10 + z, 12))

    stream = slic_each(slices(), 4, threads=2)
    assert next(stream).shape == (10, 12)
    assert len(read) <= 5
    assert [one.shape[0] for one in stream] == list(range(11, 30))


def test_the_kernel_does_what_the_textbook_says() -> None:
    slice_, step, m = blobs(1, 60, 80, seed=5)[0], 10.0, 0.7
    features, _ = standardise(slice_[..., None], np.zeros((0, 0), bool), 80)
    runs = cluster(features.copy(), 80, step, 48, m, 4, 1)
    got = np.repeat(runs[3], runs[2] - runs[1]).reshape(60, 80)
    assert np.mean(got == textbook(features[0], step, m, iterations=4)) > 0.995


def textbook(plane: np.ndarray, step: float, m: float, *, iterations: int) -> np.ndarray:
    """Algorithm 1 of Achanta et al. 2012 in the plainest words, up to connectivity."""
    height, width = plane.shape
    gradient = np.full(plane.shape, np.inf)
    down, right = plane[2:] - plane[:-2], plane[:, 2:] - plane[:, :-2]
    gradient[1:-1, 1:-1] = down[:, 1:-1] ** 2 + right[1:-1] ** 2
    centres = []
    for cy in np.arange(step / 2, height, step) - 0.5:
        for cx in np.arange(step / 2, width, step) - 0.5:
            y, x = int(cy + 0.5), int(cx + 0.5)
            near = gradient[y - 1 : y + 2, x - 1 : x + 2]
            dy, dx = np.unravel_index(near.argmin(), near.shape)
            centres.append((cy + dy - 1, cx + dx - 1, plane[y + dy - 1, x + dx - 1]))
    reach, y, x = math.ceil(step), *np.mgrid[:height, :width]
    for _ in range(iterations + 1):
        best, owner = np.full(plane.shape, np.inf), np.full(plane.shape, -2)
        for name, (cy, cx, value) in enumerate(centres):
            row, column = int(cy + 0.5), int(cx + 0.5)
            left, right_ = max(0, column - reach) // 16 * 16, (column + reach) // 16 * 16 + 16
            window = (abs(y - row) <= reach) & (x >= left) & (x < right_)
            space = ((y - cy) ** 2 + (x - cx) ** 2) / step**2
            distance = np.where(window, ((plane - value) / m) ** 2 + space, np.inf)
            owner[distance < best] = name
            best = np.minimum(best, distance)
        centres = [
            (y[owner == k].mean(), x[owner == k].mean(), plane[owner == k].mean())
            for k in range(len(centres))
        ]
    return owner


def test_the_package_offers_functions_whichever_module_was_loaded_before() -> None:
    from slicekit.superpixels import foreground, merge, slic, slic_each

    assert all(callable(one) for one in (foreground, merge, slic, slic_each))
