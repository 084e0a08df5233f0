"""A run goes on with the scans that it began with; the message names those that are others."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slicekit.checkpoint import load_weights, retrieve, store
from slicekit.data.slices import CachedScan, cache_scans
from slicekit.errors import CheckpointError
from slicekit.io import read_labels, write_volume
from slicekit.training.loop import STATE
from slicekit.training.provenance import expect_same_scans, provenance
from slicekit.training.run import train
from slicekit.volume import Volume

PATH = Path("state.safetensors")


def told(*scans: CachedScan, group: str = "labelled"):
    """What a state remembers of one group, as JSON gives it back."""
    return json.loads(json.dumps(provenance({group: scans})))


@pytest.fixture
def scan(scans) -> CachedScan:
    return scans[0]


def test_the_same_scans_on_disk_or_read_again_are_the_same(scans, tmp_path):
    again = [replace(scan, labels=scan.labels.copy()) for scan in scans]
    loaders = [lambda one=one: one for one in scans]
    mapped = cache_scans(loaders, budget_bytes=0, folder=tmp_path)
    assert told(*scans) == told(*again) == told(*mapped)
    assert [name for name, _ in told(*scans)["labelled"]] == [scan.name for scan in scans]
    expect_same_scans(told(*scans), told(*again), path=PATH)


def test_a_state_that_names_no_scans_and_a_run_that_names_none_go_on(scan):
    expect_same_scans(None, told(scan), path=PATH)
    expect_same_scans(told(scan), None, path=PATH)


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "other slices"},
        {"step_mm": 2.5},
        {"known_ids": frozenset({1})},
        {"labels": None},
        "one voxel",
    ],
)
def test_a_scan_that_holds_anything_else_has_changed(scan, change):
    if change == "one voxel":
        change = {"labels": scan.labels.copy()}
        change["labels"][3, 4, 5] += 1
    with pytest.raises(CheckpointError) as caught:
        expect_same_scans(told(scan), told(replace(scan, **change)), path=PATH)
    assert str(caught.value) == (
        "state.safetensors: the run began with other scans; put them back as they were, or choose "
        "another --out: labelled: 'phantom 0' changed"
    )


def test_scans_that_came_or_went_or_changed_places_are_named(scans):
    one, two, three, four = scans

    def said(before, now):
        with pytest.raises(CheckpointError) as caught:
            expect_same_scans(before, now, path=PATH)
        return str(caught.value).rpartition("--out: ")[2]

    assert said(told(one, two), told(three, two, four)) == (
        "labelled: 'phantom 2' 'phantom 3' added, 'phantom 0' gone"
    )
    assert said(told(one, two), told(two, one)).startswith("labelled: in another order")
    assert said(told(one, two), told(one, two, two)).startswith("labelled: in another order")
    moved = told(two) | told(one, group="held out"), told(two, one) | told(group="held out")
    assert said(*moved) == "labelled: 'phantom 0' added; held out: 'phantom 0' gone"
    many = [replace(one, name=str(number)) for number in range(8)]
    assert said(told(*many), told()) == "labelled: '0' '1' '2' '3' '4' and 3 more gone"


def test_of_scans_of_one_name_in_two_datasets_the_changed_one_is_seen(scans):
    one, other = (replace(scan, name="case") for scan in scans[:2])
    expect_same_scans(told(one, other), told(one, other), path=PATH)
    with pytest.raises(CheckpointError, match="labelled: 'case' changed"):
        expect_same_scans(told(one, other), told(one, replace(other, digest="x")), path=PATH)


@pytest.fixture
def copied(dataset, tmp_path):
    """The dataset, to be changed."""
    return shutil.copytree(dataset, tmp_path / "data")


def split(folder: Path, *, train: list[str], val: list[str]) -> None:
    (folder / "splits.json").write_text(json.dumps({"train": train, "val": val}))


@pytest.mark.parametrize("role", ["reference", "propagator", "volumetric"])
def test_a_run_does_not_go_on_with_other_scans_not_even_a_finished_one(
    copied, tmp_path, make_recipe, runtime, role
):
    recipe, out = make_recipe(role, steps=1), tmp_path / "run"
    weights = train(recipe, data=copied, out=out, runtime=runtime)
    before = weights.read_bytes()
    split(copied, train=["one", "held"], val=["two"])
    with pytest.raises(CheckpointError) as caught:
        train(recipe, data=copied, out=out, runtime=runtime)
    assert str(caught.value).endswith(
        "labelled: 'held' added, 'two' gone; held out: 'two' added, 'held' gone"
    )
    assert weights.read_bytes() == before
    split(copied, train=["one", "two"], val=["held"])
    train(recipe, data=copied, out=out, runtime=runtime)
    assert load_weights(weights).card["trained_on"] == ["one", "two"]


def test_a_label_that_was_mended_is_told_and_an_older_state_goes_on(
    copied, tmp_path, make_recipe, runtime
):
    recipe, out = make_recipe("propagator", steps=1), tmp_path / "run"
    train(recipe, data=copied, out=out, runtime=runtime)
    path = copied / "labelsTr" / "two.nii.gz"
    labels = read_labels(path)
    path.unlink()
    array = np.where(labels.array == recipe.organs["liver"], 0, labels.array)
    write_volume(path, Volume(array, labels.affine))
    with pytest.raises(CheckpointError, match=r"labelled: 'two' changed$"):
        train(recipe, data=copied, out=out, runtime=runtime)
    stored = retrieve(out / STATE)
    facts = json.loads(stored.header["run"])
    del facts["scans"]
    store(out / STATE, stored.tensors, {**stored.header, "run": json.dumps(facts)})
    train(recipe, data=copied, out=out, runtime=runtime)
