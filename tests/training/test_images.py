"""What a run that learns from images alone is given."""

from __future__ import annotations

import json
import shutil

import pytest

from slicekit.errors import DatasetError, DataWarning
from slicekit.training.images import gather_images


@pytest.fixture
def recipe(make_recipe):
    made = make_recipe("fewshot", held_out_group=None)
    return made.model_copy(update={"organs": {}})


def names(scans):
    return [scan.name for scan in scans]


def test_the_group_to_learn_from_is_taken_without_labels(dataset, recipe):
    found = gather_images(recipe, [dataset])
    assert names(found.free) == ["one", "two"]
    assert all(scan.labels is None for scan in found.free)
    assert found.held_out == ()


def test_scans_from_elsewhere_are_added_unless_held_out(dataset, recipe, make_recipe):
    extra = dataset / "imagesTr" / "bare_0000.nii.gz"
    assert names(gather_images(recipe, [dataset], [extra]).free)[-1] == extra.name
    apart = recipe.model_copy(
        update={"training": recipe.training.model_copy(update={"held_out_group": "val"})}
    )
    held = dataset / "imagesTr" / "held_0000.nii.gz"
    with pytest.raises(DatasetError, match="leave them out of --unlabelled"):
        gather_images(apart, [dataset], [held])


def test_groups_that_overlap_are_refused(dataset, recipe, tmp_path):
    root = shutil.copytree(dataset, tmp_path / "data")
    (root / "splits.json").write_text(json.dumps({"train": ["one", "two"], "val": ["two"]}))
    both = recipe.model_copy(
        update={"training": recipe.training.model_copy(update={"held_out_group": "val"})}
    )
    with pytest.raises(DatasetError, match="at once: two"):
        gather_images(both, [root])


def test_one_scan_under_two_names_is_told(dataset, recipe, tmp_path):
    extra = shutil.copy(dataset / "imagesTr" / "one_0000.nii.gz", tmp_path / "copy.nii.gz")
    with pytest.warns(DataWarning, match="are one scan"):
        gather_images(recipe, [dataset], [extra])
