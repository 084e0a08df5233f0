"""Cases 20 and 23 of the list of fault cases, and gaps: what a run learns from is looked at first.

The parts are tested in tests/data; here, that a run asks them before it starts.
"""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from slicekit.checkpoint import load_weights
from slicekit.errors import DataWarning, SlicekitError
from slicekit.io import read_labels, write_volume
from slicekit.training.material import gather
from slicekit.training.run import train
from slicekit.volume import Volume


@pytest.fixture
def copied(dataset, tmp_path):
    """The dataset, to be spoilt: one and two are labelled, bare is not, held is held out."""
    return shutil.copytree(dataset, tmp_path / "data")


@pytest.fixture
def refusal(copied, tmp_path, make_recipe, runtime):
    """Start a run that must be refused before it leaves a file; return why."""

    def start(role="reference"):
        recipe = make_recipe(role, steps=1, batch_unlabelled=1)
        with pytest.raises(SlicekitError) as caught:
            train(recipe, data=copied, out=tmp_path / "run", runtime=runtime)
        assert not (tmp_path / "run").exists()
        return str(caught.value)

    return start


def annotate(folder, **entries):
    (folder / "annotations.json").write_text(json.dumps(entries))


def change_labels(path, change):
    labels = read_labels(path)
    path.unlink()
    write_volume(path, Volume(change(labels.array), labels.affine))


def test_case_20_label_faults_of_all_cases_are_listed_before_training(copied, refusal):
    change_labels(copied / "labelsTr" / "one.nii.gz", lambda ids: np.where(ids == 4, 99, ids))
    annotate(copied, two={"labels_present": ["liver"], "annotated_slices": [99]})
    said = refusal().splitlines()
    assert said[0] == "2 scans cannot be used:"
    assert "one.nii.gz holds the ids [99]" in said[1]
    assert "two.nii.gz holds the ids {" in said[2]
    assert "the labels_present of two in annotations.json are liver" in said[2]
    assert "name [99]" in said[2]


def test_case_20_faults_of_the_annotations_are_listed_before_training(copied, refusal):
    annotate(copied, oen={}, one={"labels_present": ["lver"]})
    said = refusal()
    assert "annotations.json has 2 faults" in said
    assert "did you mean 'one'?" in said
    assert "did you mean 'liver'?" in said


@pytest.mark.parametrize("role", ["reference", "propagator"])
def test_case_23_a_held_out_scan_under_another_name_is_not_learned_from(copied, refusal, role):
    for folder, ending in (("imagesTr", "_0000.nii.gz"), ("labelsTr", ".nii.gz")):
        place = copied / folder
        shutil.copy(place / f"held{ending}", place / f"one{ending}")
    assert "held out and trained on at once: one is held, voxel by voxel" in refusal(role)


def test_case_23_an_unlabelled_copy_of_a_held_out_scan_is_a_leak_too(copied, refusal):
    images = copied / "imagesTr"
    (images / "bare_0000.nii.gz").unlink()
    (images / "bare_0000.nii.gz").symlink_to(images / "held_0000.nii.gz")
    assert "bare is held" in refusal()


def told(recipe, folder):
    """What is doubted of a run's scans."""
    with pytest.warns(DataWarning) as warned:
        material = gather(recipe, [folder], ())
    return material, [str(one.message) for one in warned]


def test_organs_that_nobody_annotated_or_nobody_has_are_told(copied, make_recipe):
    recipe = make_recipe()
    liver, *others = recipe.labels.names
    known = [name for name in recipe.labels.names if name not in others[:2]]
    annotate(copied, **{case: {"labels_present": known} for case in ("one", "two")})
    gone = [recipe.organs[name] for name in (liver, *others[:2])]
    for case in ("one", "two"):
        path = copied / "labelsTr" / f"{case}.nii.gz"
        change_labels(path, lambda ids: np.where(np.isin(ids, gone), 0, ids))
    material, said = told(recipe, copied)
    assert [scan.known_ids for scan in material.labelled] == [
        frozenset(recipe.organs[name] for name in known)
    ] * 2
    assert len(said) == 2
    assert said[0].startswith(f"nobody annotated {', '.join(others[:2])} on any of 2 labelled")
    assert said[1].startswith(f"none of 2 labelled scans holds {liver}")


def test_one_labelled_scan_and_one_scan_twice_are_told(copied, make_recipe):
    annotate(copied, one={"labels_present": []})
    _, said = told(make_recipe(), copied)
    assert [text[:38] for text in said] == ["only one labelled scan, two, to learn "]
    annotate(copied)
    shutil.copy(copied / "imagesTr" / "one_0000.nii.gz", copied / "imagesTr" / "two_0000.nii.gz")
    _, said = told(make_recipe(), copied)
    assert said == ["one and two are one scan, voxel by voxel, so it counts 2 times; keep one"]


def test_without_labels_the_message_says_where_to_put_them(copied, refusal):
    annotate(copied, one={"labels_present": []}, two={"annotated_slices": []})
    said = refusal()
    assert "no labelled case to learn from" in said
    assert f"put label maps, named as their cases, into {copied / 'labelsTr'}" in said
    assert "another group than 'train'" in said
    assert "(held out: held)" in said


@pytest.mark.parametrize("split", [True, False])
def test_a_dataset_without_any_label_is_refused_with_what_it_holds(copied, refusal, split):
    shutil.rmtree(copied / "labelsTr")
    if not split:
        (copied / "splits.json").unlink()
    said = refusal()
    assert f"no labelled case to learn from in {copied}: 4 scans (0 labelled, 4 unlabelled)" in said
    assert f"into {copied / 'labelsTr'}" in said
    assert "\n" not in said


@pytest.mark.parametrize("role", ["reference", "propagator", "volumetric"])
def test_a_mask_on_another_grid_is_refused_with_both_grids(copied, refusal, role):
    path = copied / "labelsTr" / "two.nii.gz"
    labels = read_labels(path)
    path.unlink()
    write_volume(path, Volume(labels.array[1:], labels.affine))
    said = refusal(role)
    assert f"{path} is (15, 64, 64)" in said
    assert f"{copied / 'imagesTr' / 'two_0000.nii.gz'} is (16, 64, 64); " in said
    assert "must lie on one grid - resample" in said


def test_held_out_scans_without_labels_are_told(copied, make_recipe):
    (copied / "labelsTr" / "held.nii.gz").unlink()
    _, said = told(make_recipe(), copied)
    assert len(said) == 1
    assert said[0].startswith("no held-out scan has labels (held), so nothing tells how well the")
    assert said[0].endswith(f"put their label maps into {copied / 'labelsTr'}")


@pytest.mark.filterwarnings("ignore:the pseudo labels hold")
@pytest.mark.parametrize("partial", ["marginal", "masked", "dice-only"])
def test_with_an_organ_nobody_annotated_training_goes_on_and_all_numbers_are_finite(
    copied, tmp_path, make_recipe, runtime, partial
):
    recipe = make_recipe(steps=3, batch_unlabelled=1, evaluate_every=1, partial=partial)
    known = [name for name in recipe.labels.names if name != "liver"]
    annotate(copied, **{case: {"labels_present": known} for case in ("one", "two")})
    for case in ("one", "two"):
        change_labels(
            copied / "labelsTr" / f"{case}.nii.gz",
            lambda ids: np.where(ids == recipe.organs["liver"], 0, ids),
        )
    with pytest.warns(DataWarning, match="nobody annotated liver on any of 2 labelled scans"):
        path = train(recipe, data=copied, out=tmp_path / "run", runtime=runtime)
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert len(lines) >= 4
    assert all(value is not None for line in lines for value in json.loads(line).values())
    weights = load_weights(path)
    assert np.isfinite(list(weights.card["scores"].values())).all()
    assert all(bool(t.isfinite().all()) for t in weights.state.values())
