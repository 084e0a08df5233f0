"""What a run that learns from images alone is given."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from slicekit.data.phantom import PHANTOM_LABELS
from slicekit.errors import DatasetError, DataWarning
from slicekit.labels import IGNORE_ID
from slicekit.training.images import gather_images

LIVER, SPLEEN = (PHANTOM_LABELS.ids[name] for name in ("liver", "spleen"))


@pytest.fixture
def recipe(make_recipe):
    made = make_recipe("fewshot", held_out_group=None)
    return made.model_copy(update={"organs": {}})


@pytest.fixture
def taught(recipe):
    """Make a recipe that learns drawn organs, too."""

    def make(*, organs=None, **changes):
        shots = recipe.training.fewshot.model_copy(update={"drawn_share": 0.5, **changes})
        training = recipe.training.model_copy(update={"fewshot": shots})
        return recipe.model_copy(update={"training": training, "organs": organs or {}})

    return make


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


def test_drawn_organs_come_with_their_labels(dataset, recipe, taught):
    extra = dataset / "imagesTr" / "bare_0000.nii.gz"
    bare = gather_images(recipe, [dataset], [extra]).free
    drawn = gather_images(taught(), [dataset], [extra]).free
    assert names(drawn) == names(bare) == ["one", "two", extra.name]
    for with_labels, without in zip(drawn, bare, strict=True):
        assert np.array_equal(with_labels.slices, without.slices)
    assert all({LIVER, SPLEEN} <= scan.slices_of.keys() for scan in drawn[:2])
    assert drawn[2].labels is None


def test_what_was_annotated_in_part_is_known_in_part(dataset, taught, tmp_path):
    root = shutil.copytree(dataset, tmp_path / "data")
    whole = gather_images(taught(), [dataset]).free[0]
    told = {"one": {"annotated_slices": [7]}}
    (root / "annotations.json").write_text(json.dumps(told))
    with pytest.warns(DataWarning, match="taken as unknown"):
        part = gather_images(taught(), [root]).free[0]
    (z,) = part.annotated
    assert (np.delete(part.labels, z, axis=0) == IGNORE_ID).all()
    assert np.array_equal(part.labels[z], whole.labels[z])
    present = sorted(PHANTOM_LABELS.ids)
    (root / "annotations.json").write_text(json.dumps({"one": {"labels_present": present}}))
    assert gather_images(taught(), [root]).free[0].known_ids == set(PHANTOM_LABELS.ids.values())


def test_a_hidden_organ_is_not_drawn_and_nothing_is_known_of_its_slices(dataset, taught):
    for seen, left in zip(
        gather_images(taught(), [dataset]).free,
        gather_images(taught(exclude_classes=("liver",)), [dataset]).free,
        strict=True,
    ):
        held = seen.slices_of[LIVER]
        assert LIVER not in left.slices_of
        assert not left.slices[held].any()
        assert (left.labels[held] == IGNORE_ID).all()
        others = np.setdiff1d(np.arange(len(seen.slices)), held)
        assert np.array_equal(left.labels[others], seen.labels[others])
        assert np.array_equal(left.slices[others], seen.slices[others])


def test_labels_are_held_against_the_organs_of_the_recipe(dataset, taught):
    with pytest.raises(DatasetError, match="but the recipe's organs are"):
        gather_images(taught(organs={"liver": LIVER}), [dataset])
    assert gather_images(taught(organs=dict(PHANTOM_LABELS.ids)), [dataset]).free


def test_one_id_must_not_mean_two_organs(dataset, recipe, taught, tmp_path):
    swapped = {**PHANTOM_LABELS.ids, "liver": SPLEEN, "spleen": LIVER}
    with pytest.raises(DatasetError, match="in the recipe or another dataset"):
        gather_images(taught(organs=swapped), [dataset])
    root = shutil.copytree(dataset, tmp_path / "data")
    (root / "dataset.json").write_text(json.dumps({"labels": {"background": 0, **swapped}}))
    for case in ("one", "two"):  # other scans, so that none counts twice
        (root / "imagesTr" / f"{case}_0000.nii.gz").unlink()
        (root / "labelsTr" / f"{case}.nii.gz").unlink()
    (root / "splits.json").write_text(json.dumps({"train": ["bare"]}))
    with pytest.raises(DatasetError, match="known by their ids, so make them equal"):
        gather_images(taught(), [dataset, root])
    assert names(gather_images(recipe, [dataset, root]).free) == ["one", "two", "bare"]
