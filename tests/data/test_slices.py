"""Slices in the cache: the same in memory and on disk, clipped or not, and fairly drawn."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from slicekit.data.cases import Case
from slicekit.data.slices import (
    STEPS,
    CachedScan,
    cache_scan,
    cache_scans,
    crop_or_pad,
    draw_slice,
    read_case,
    unit_slices,
)
from slicekit.errors import DatasetError, DataWarning, GeometryError, WriteError
from slicekit.io import write_volume
from slicekit.labels import IGNORE_ID, LabelSet
from slicekit.volume import Volume


def loaders(scans):
    return [partial(lambda scan: scan, scan) for scan in scans]


def test_steps_span_the_range_that_the_windows_see(phantoms, make_recipe):
    recipe = make_recipe().input.model_copy(update={"body_above_hu": None})
    image = phantoms[0].image
    scan = cache_scan("a", image, None, recipe=recipe)
    low, high = recipe.range_hu
    assert scan.slices.dtype == np.int16
    assert 0 <= scan.slices.min() < scan.slices.max() <= STEPS
    assert scan.labels is None
    assert scan.slices_of == {}
    assert scan.step_mm == 10
    # at the scan's own spacing a step is the only change
    units = unit_slices(scan.slices) * (high - low) + low
    whole = np.clip(image.array, low, high)
    assert units.shape == whole.shape
    assert np.abs(units - whole).max() <= (high - low) / STEPS


def test_a_clipped_scan_is_cached_as_the_unclipped_one(phantoms, make_recipe):
    values = make_recipe().input.model_dump()
    recipe = type(make_recipe().input)(
        **values | {"windows": ((-125, 275), (0, 160), (90, 260)), "spacing_mm": 8.0}
    )
    for made in phantoms:
        clipped = made.image.with_array(np.clip(made.image.array, -125, 275))
        whole, less = (
            cache_scan("a", image, made.labels, recipe=recipe) for image in (made.image, clipped)
        )
        assert whole.slices.tobytes() == less.slices.tobytes()
        assert whole.labels.tobytes() == less.labels.tobytes()
        assert whole.labels.shape == whole.slices.shape


def test_every_slice_that_holds_an_organ_is_known(scans):
    for scan in scans:
        assert set(scan.slices_of) == set(range(1, 14))
        for number, where in scan.slices_of.items():
            wanted = (scan.labels == number).any(axis=(1, 2))
            np.testing.assert_array_equal(where, np.flatnonzero(wanted))
    unknown = CachedScan("a", scan.slices, np.full_like(scan.labels, IGNORE_ID), 1.0)
    assert unknown.slices_of == {}


def test_scans_on_disk_equal_scans_in_memory(scans, tmp_path):
    kept = cache_scans(loaders(scans), budget_bytes=0, folder=tmp_path / "new")
    for scan, mapped in zip(scans, kept, strict=True):
        assert isinstance(mapped.slices, np.memmap)
        assert isinstance(mapped.labels, np.memmap)
        assert (mapped.name, mapped.step_mm) == (scan.name, scan.step_mm)
        np.testing.assert_array_equal(mapped.slices, scan.slices)
        np.testing.assert_array_equal(mapped.labels, scan.labels)
        assert mapped.slices_of.keys() == scan.slices_of.keys()
    assert len(list((tmp_path / "new").iterdir())) == 2 * len(scans)


def test_no_more_than_the_budget_lies_in_memory(scans):
    budget = scans[0].nbytes + scans[1].nbytes
    kept = cache_scans(loaders(scans), budget_bytes=budget)
    here = [scan for scan in kept if not isinstance(scan.slices, np.memmap)]
    assert sum(scan.nbytes for scan in here) <= budget
    assert [scan.name for scan in here] == [scan.name for scan in scans[:2]]
    assert cache_scans([], budget_bytes=0) == ()


def test_the_files_on_disk_go_with_their_scans(scans, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kept = cache_scans(loaders(scans[:2]), budget_bytes=0)
    assert len(list(tmp_path.iterdir())) == 4
    last = replace(kept[1], name="another name of the same")
    del kept
    assert {tmp_path / Path(part.filename).name for part in (last.slices, last.labels)} == {
        *tmp_path.iterdir()
    }
    np.testing.assert_array_equal(last.slices, scans[1].slices)
    del last
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_named(scans, tmp_path, monkeypatch):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(WriteError, match=r"00000_\w+\.npy: .*No space left"):
        cache_scans(loaders(scans), budget_bytes=0, folder=tmp_path)


@pytest.fixture
def case(tmp_path, phantoms):
    """Write a phantom, perhaps with other labels."""

    def write(name="a", labels=None):
        made = phantoms[0]
        image = write_volume(tmp_path / f"{name}.nii.gz", made.image)
        truth = made.labels if labels is None else labels
        return Case(name, image, write_volume(tmp_path / f"{name}_labels.nii.gz", truth))

    return write


def test_what_was_annotated_of_a_case_goes_with_its_scan(case, phantoms, make_recipe, tmp_path):
    recipe, whole = make_recipe(), case()
    labels = phantoms[0].labels
    few = recipe.labels.names[:2]
    only = labels.with_array(np.where(labels.array <= 2, labels.array, 0))
    given = replace(
        case("b", labels=only), labels_present=frozenset(few), annotated_slices=tuple(range(4, 12))
    )
    with pytest.warns(DataWarning, match="on slices that annotations.json does not call annotated"):
        scan = read_case(given, labels=recipe.labels, recipe=recipe.input)
    assert scan.known_ids == {1, 2}
    assert scan.annotated.tolist() == list(range(4, 12))
    assert (scan.labels[:4] == IGNORE_ID).all()
    assert scan.known_classes(14).tolist() == [True] * 3 + [False] * 11
    (mapped,) = cache_scans(loaders([scan]), budget_bytes=0, folder=tmp_path / "cache")
    assert (mapped.known_ids, mapped.digest) == (scan.known_ids, scan.digest)
    assert mapped.annotated.tolist() == scan.annotated.tolist()
    every = read_case(whole, labels=recipe.labels, recipe=recipe.input)
    assert every.known_ids is None
    assert every.known_classes(14).all()
    assert every.digest == scan.digest != ""
    bare = read_case(replace(whole, labels=None), labels=recipe.labels, recipe=recipe.input)
    assert bare.known_classes(14).tolist() == [True] + [False] * 13


def test_a_case_is_read_as_it_was_written(case, phantoms, make_recipe):
    recipe = make_recipe()
    scan = read_case(case(), labels=recipe.labels, recipe=recipe.input)
    made = cache_scan("a", phantoms[0].image, phantoms[0].labels, recipe=recipe.input)
    np.testing.assert_array_equal(scan.slices, made.slices)
    np.testing.assert_array_equal(scan.labels, made.labels)
    unlabelled = Case("a", case("b").image, None)
    assert read_case(unlabelled, labels=recipe.labels, recipe=recipe.input).labels is None


def test_ids_that_the_recipe_does_not_know_are_listed(case, make_recipe):
    few = LabelSet({name: n for name, n in make_recipe().organs.items() if n < 12})
    with pytest.raises(DatasetError, match=r"a_labels.nii.gz holds the ids \[12, 13\]"):
        read_case(case(), labels=few, recipe=make_recipe().input)


def test_unknown_voxels_are_allowed(case, phantoms, make_recipe):
    truth = phantoms[0].labels.array.copy()
    truth[0] = IGNORE_ID
    given = case(labels=phantoms[0].labels.with_array(truth))
    scan = read_case(given, labels=make_recipe().labels, recipe=make_recipe().input)
    assert (scan.labels[0] == IGNORE_ID).all()


def test_every_scan_at_fault_is_listed_before_anything_starts(case, phantoms, make_recipe):
    recipe = make_recipe()
    truth = phantoms[0].labels
    smaller = Volume(truth.array[1:], truth.affine)
    strange = truth.with_array(np.where(truth.array == 3, 77, truth.array))
    cases = [case(), case("small", smaller), case("good"), case("odd", strange)]
    read = [partial(read_case, c, labels=recipe.labels, recipe=recipe.input) for c in cases]
    with pytest.raises(DatasetError) as caught:
        cache_scans(read, budget_bytes=1 << 30)
    said = str(caught.value).splitlines()
    assert said[0] == "2 scans cannot be used:"
    assert "small_labels.nii.gz" in said[1]
    assert "odd_labels.nii.gz holds the ids [77]" in said[2]
    with pytest.raises(GeometryError):  # a single fault keeps its kind
        cache_scans(read[:2], budget_bytes=1 << 30)


def test_half_of_the_draws_begin_with_an_organ_so_rare_ones_are_seen(scans):
    def rare_share(share):
        rng = np.random.default_rng(0)
        drawn = [draw_slice(scans, rng, balanced_share=share) for _ in range(400)]
        return np.mean([z in scan.slices_of[13] for scan, z in drawn])

    plain = np.mean([len(scan.slices_of[13]) / len(scan.slices) for scan in scans])
    assert rare_share(0.0) == pytest.approx(plain, abs=0.06)
    assert rare_share(1.0) > plain + 0.05


def test_each_organ_is_drawn_as_often_and_only_where_it_is():
    empty = np.zeros((50, 2, 2), np.int16)
    labels = np.zeros((50, 2, 2), np.uint8)
    labels[7, 0, 0] = 1
    labels[20:40, 1, 1] = 2
    pair = [CachedScan("a", empty, labels, 1.0), CachedScan("b", empty, None, 1.0)]
    rng = np.random.default_rng(0)
    drawn = [draw_slice(pair, rng, balanced_share=1.0) for _ in range(400)]
    assert {scan.name for scan, _ in drawn} == {"a"}
    assert {z for _, z in drawn} <= {7, *range(20, 40)}
    assert np.mean([z == 7 for _, z in drawn]) == pytest.approx(0.5, abs=0.1)


def test_without_organs_every_slice_counts_the_same():
    pair = [
        CachedScan(n, np.zeros((s, 1, 1), np.int16), None, 1.0) for n, s in (("a", 30), ("b", 10))
    ]
    rng = np.random.default_rng(0)
    drawn = [draw_slice(pair, rng)[0].name for _ in range(400)]
    assert drawn.count("a") / 400 == pytest.approx(0.75, abs=0.08)


def test_no_slice_that_nobody_annotated_is_drawn_as_a_labelled_one():
    empty, labels = np.zeros((30, 2, 2), np.int16), np.full((30, 2, 2), IGNORE_ID, np.uint8)
    labels[[3, 9, 12]] = 0
    labels[9, 0, 0] = 1
    partly = CachedScan("a", empty, labels, 1.0)
    blind = CachedScan("b", empty, np.full_like(labels, IGNORE_ID), 1.0)
    assert partly.annotated.tolist() == [3, 9, 12]
    for share in (0.0, 0.5, 1.0):
        rng = np.random.default_rng(0)
        drawn = [draw_slice([partly, blind], rng, balanced_share=share) for _ in range(100)]
        assert {(scan.name, z) for scan, z in drawn} == {
            ("a", z) for z in ((9,) if share == 1 else (3, 9, 12))
        }
    with pytest.raises(DatasetError, match="no slice of 1 scans is annotated"):
        draw_slice([blind], np.random.default_rng(0))


SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(SIZES, SIZES, st.integers(0, 2**32 - 1), st.data())
def test_a_window_is_cut_from_all_arrays_alike_and_holds_its_pixel(have, want, seed, data):
    image = 1 + np.arange(2 * have[0] * have[1], dtype=np.int16).reshape(2, *have)
    mask = (image % 200).astype(np.uint8)
    about = data.draw(st.none() | st.tuples(*(st.integers(0, size - 1) for size in have)))
    cut, cut_mask = crop_or_pad(
        [image, mask], want, fills=[0, 255], rng=np.random.default_rng(seed), about=about
    )
    assert cut.shape == cut_mask.shape == (2, *want)
    assert (cut.dtype, cut_mask.dtype) == (np.int16, np.uint8)
    inside = cut > 0
    np.testing.assert_array_equal(cut_mask[inside], (cut[inside] % 200).astype(np.uint8))
    assert (cut_mask[~inside] == 255).all()
    # whatever could be kept was kept, and neighbours are still neighbours
    assert inside.sum() == 2 * min(have[0], want[0]) * min(have[1], want[1])
    assert np.array_equal(np.sort(cut[0][inside[0]]), cut[0][inside[0]])
    if about is not None:
        assert image[0][about] in cut[0]


def test_every_window_is_drawn_sometimes():
    image = np.arange(5)[None, None]
    rng = np.random.default_rng(0)
    starts = {int(crop_or_pad([image], (1, 3), fills=[-1], rng=rng)[0][0, 0, 0]) for _ in range(60)}
    assert starts == {0, 1, 2}


def test_pictures_that_know_no_hu_span_the_first_window(tmp_path, make_recipe):
    recipe = make_recipe().input.model_copy(update={"body_above_hu": None})
    halves = np.zeros((30, 40), np.uint8)
    halves[:, 20:] = 255
    for z in range(3):
        Image.fromarray(halves).save(tmp_path / f"slice_{z}.png")
    with pytest.warns(DataWarning) as told:
        scan = read_case(Case("a", tmp_path, None), labels=make_recipe().labels, recipe=recipe)
    assert any("-150 to 250 HU" in str(warning.message) for warning in told)
    low, high = recipe.range_hu
    seen = unit_slices(scan.slices) * (high - low) + low
    assert (seen.min(), seen.max()) == pytest.approx(recipe.three_windows[0].range_hu, abs=0.2)
