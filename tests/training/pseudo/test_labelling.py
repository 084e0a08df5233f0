"""Scans without labels become a dataset; what was done is not done again."""

from __future__ import annotations

import json
import logging
import shutil

import numpy as np
import pytest

from slicekit.data.annotations import FILE_NAME
from slicekit.data.cases import find_cases
from slicekit.errors import DatasetError, DataWarning, RecipeError, WriteError
from slicekit.io import read_labels
from slicekit.training.material import gather
from slicekit.training.pseudo import labelling


def names_in(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def accepted(made):
    return {
        case: [organ for organ, one in organs.items() if one.accepted]
        for case, organs in made.judgements.items()
    }


def test_the_new_folder_is_a_dataset_of_true_and_accepted_labels(
    label, boxes, patients, seer, tmp_path
):
    told = []
    made = label(progress=lambda *step: told.append(step))
    assert accepted(made) == {"odd": ["liver", "aorta"], "sound": ["liver", "spleen", "aorta"]}
    assert told == [("prior", 1, 2), ("prior", 2, 2), ("label", 1, 2), ("label", 2, 2)]
    assert made.failures == {}
    dataset = find_cases(made.folder)
    assert {case.name: case.labels_present for case in dataset.cases} == {
        "one": None,
        "two": None,
        "sound": frozenset({"liver", "spleen", "aorta"}),
        "odd": frozenset({"liver", "aorta"}),
    }
    assert dataset.splits == {
        "train": ("odd", "one", "sound", "two"),
        "val": (),
        "unlabelled": (),
        "pseudo": ("odd", "sound"),
    }
    for case in dataset.cases:
        assert case.image.is_symlink()
        assert case.image.resolve() == boxes / "imagesTr" / f"{case.name}_0000.nii.gz"
        assert case.labels.is_symlink() == (case.name in ("one", "two"))
    sound, odd = (read_labels(made.folder / "labelsTr" / f"{n}.nii.gz") for n in ("sound", "odd"))
    assert np.array_equal(sound.array, patients.labels().array)
    assert np.array_equal(odd.array, patients.labels(gone="spleen").array)
    # what was refused is kept beside
    assert np.count_nonzero(read_labels(made.prediction("odd")).array == 2) == 1
    about = json.loads((made.folder / "dataset.json").read_text())
    assert (about["name"], about["numTraining"]) == ("boxes", 4)


@pytest.mark.filterwarnings("ignore::slicekit.errors.DataWarning")
def test_training_finds_in_it_what_was_accepted(label, seer):
    model, made = seer(), label()
    material = gather(model.recipe, [made.folder], ())
    known = {scan.name: scan.known_ids for scan in material.labelled}
    assert known == {
        "one": None, "two": None, "sound": frozenset({1, 2, 3}), "odd": frozenset({1, 3})
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*nothing was accepted")
def test_a_scan_of_which_nothing_is_accepted_stays_unlabelled(label):
    made = label(rules=["voxels>=1e6"])
    dataset = find_cases(made.folder)
    assert [case.name for case in dataset.cases if case.labels is None] == ["odd", "sound"]
    assert dataset.splits["unlabelled"] == ("odd", "sound")
    assert dataset.splits["pseudo"] == ()
    assert names_in(made.folder / "labelsTr") == ["one.nii.gz", "two.nii.gz"]


def test_of_every_organ_the_best_so_many_scans_are_kept(label):
    made = label(per_organ=1)
    assert accepted(made) == {"odd": ["liver", "aorta"], "sound": ["spleen"]}
    assert "is number 2 of 2, the best 1 count" in made.judgements["sound"]["liver"].reason


def test_groups_of_splits_are_kept_apart(label, boxes, patients):
    """The labels of a group that is to be labelled are not looked at, nor carried over."""
    patients.write(boxes, "held", patients.labels(), labelled=True)
    splits = {"val": ["held"], "few": ["one"], "hidden": ["two", "sound"]}
    patients.describe(boxes, **splits)
    made = label(groups={"labelled": "few", "unlabelled": "hidden", "held_out": "val"})
    dataset = find_cases(made.folder)
    assert [case.name for case in dataset.cases] == ["held", "one", "sound", "two"]
    assert dataset.splits["val"] == ("held",)
    assert dataset.splits["pseudo"] == ("sound", "two")
    assert not (made.folder / "labelsTr" / "two.nii.gz").is_symlink()


def test_partly_annotated_cases_keep_their_entries(label, boxes, patients):
    patients.write(boxes, "part", patients.labels(gone="spleen"), labelled=True)
    patients.write(boxes, "thin", patients.labels(), labelled=True)
    mine = {
        "part": {"labels_present": ["aorta", "liver"]},
        "thin": {"annotated_slices": [4, 8]},
    }
    (boxes / FILE_NAME).write_text(json.dumps(mine))
    made = label()
    theirs = json.loads((made.folder / FILE_NAME).read_text())
    assert {name: theirs[name] for name in mine} == mine
    assert theirs.keys() == {*mine, "odd", "sound"}
    # what was drawn in part says nothing of volumes, what was not drawn is not absent
    assert made.prior.cases == 3
    assert (made.prior.organs["spleen"].annotated, made.prior.organs["spleen"].absent) == (2, 0)


@pytest.mark.filterwarnings("ignore:.*nothing was accepted")
def test_names_that_end_in_a_channel_stay_cases(label, boxes, patients):
    """nnU-Net's ``_0000`` belongs to the name where labels of that name say so."""
    for case in ("scan_0000", "scan_0001"):
        image = patients.scan(patients.labels())
        labelling.write_labels(boxes / "labelsTr" / f"{case}.nii.gz", patients.labels(), like=image)
        shutil.copy(boxes / "imagesTr" / "one_0000.nii.gz", boxes / "imagesTr" / f"{case}.nii.gz")
    patients.describe(boxes, hidden=["scan_0000", "scan_0001"])
    made = label(rules=["voxels>=1e6"], groups={"unlabelled": "hidden"})
    dataset = find_cases(made.folder)
    assert dataset.splits["unlabelled"] == ("scan_0000", "scan_0001")
    assert {case.name for case in dataset.cases} == {"one", "two", "scan_0000", "scan_0001"}


def test_an_interrupted_run_is_no_dataset_and_goes_on_where_it_stood(label, predicted, tmp_path):
    def stop(stage, done, total):
        if (stage, done) == ("label", 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        label(progress=stop)
    assert predicted == ["odd"]
    assert names_in(tmp_path / "out") == ["pseudo"]
    with pytest.raises(DatasetError, match="is missing"):
        find_cases(tmp_path / "out")
    made = label()
    assert predicted == ["odd", "sound"]
    assert accepted(made) == {"odd": ["liver", "aorta"], "sound": ["liver", "spleen", "aorta"]}
    whole = label(out=tmp_path / "whole")
    for name in ("dataset.json", "splits.json", FILE_NAME, "labelsTr/odd.nii.gz"):
        assert (made.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert whole.facts == made.facts


def test_interrupted_while_labels_are_written_it_is_no_dataset_either(
    label, predicted, tmp_path, monkeypatch
):
    label()
    written = labelling.write_labels

    def stop(path, *words, **options):
        if path.name == "sound.nii.gz":
            raise KeyboardInterrupt
        return written(path, *words, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(labelling, "write_labels", stop)
        label()
    with pytest.raises(DatasetError, match="is missing"):
        find_cases(tmp_path / "out")
    label()
    assert len(find_cases(tmp_path / "out").cases) == 4
    assert predicted == ["odd", "sound"]


def test_other_rules_judge_anew_without_predicting(label, predicted):
    label()
    made = label(rules=["volume", "voxels>=1000"])
    assert accepted(made) == {"odd": ["liver"], "sound": ["liver", "spleen"]}
    assert find_cases(made.folder).splits["pseudo"] == ("odd", "sound")
    assert set(np.unique(read_labels(made.folder / "labelsTr" / "sound.nii.gz").array)) == {0, 1, 2}
    assert predicted == ["odd", "sound"]


def test_other_weights_scans_or_a_judge_are_predicted_again(
    label, boxes, patients, seer, predicted
):
    label()
    label(model=seer(sha256="second"))
    assert predicted == ["odd", "sound"] * 2
    patients.write(boxes, "odd", patients.labels(wider=2), labelled=False)
    made = label(model=seer(sha256="second"))
    assert predicted == ["odd", "sound"] * 2 + ["odd"]
    assert accepted(made)["odd"] == ["liver", "spleen", "aorta"]
    label(model=seer(sha256="second"), other=seer(sha256="judge"), rules=["loss"])
    assert len(predicted) == 7


@pytest.mark.parametrize("damage", ["facts", "cut", "gone"])
def test_what_is_damaged_is_made_anew(label, predicted, damage):
    made = label()
    file = made.prediction("odd")
    if damage == "facts":
        facts = made.folder / "pseudo" / "facts" / "odd.json"
        facts.write_text(facts.read_text()[:-20])
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-9])
    else:
        file.unlink()
    again = label()
    assert predicted == ["odd", "sound", "odd"]
    assert again.facts == made.facts


def test_rules_that_need_another_model_or_an_earlier_round(label, seer, tmp_path):
    first = label()
    made = label(
        out=tmp_path / "second",
        model=seer(blind="aorta"),
        rules=["agreement", "stability", "loss<=0.2"],
        other=seer(sha256="judge"),
        earlier=first.folder,
    )
    sound = made.facts["sound"]
    assert (sound["liver"].stability, sound["liver"].agreement) == (1.0, 1.0)
    assert sound["liver"].loss < 0.05
    # one member sees it, both together do not
    assert sound["aorta"].voxels == 0
    assert sound["aorta"].agreement == 0.5
    assert accepted(made) == {"odd": ["liver", "spleen"], "sound": ["liver", "spleen"]}


def test_a_scan_that_the_earlier_round_has_not_is_refused_whole(label, tmp_path):
    first = label()
    first.prediction("odd").unlink()
    made = label(out=tmp_path / "second", rules=["stability"], earlier=first.folder)
    assert accepted(made) == {"odd": [], "sound": ["liver", "spleen", "aorta"]}
    assert "stability was not measured" in made.judgements["odd"]["liver"].reason


def test_what_stands_in_the_way_is_refused_and_nothing_is_deleted(label, boxes, tmp_path):
    before = sorted(path for path in boxes.rglob("*"))
    with pytest.raises(WriteError, match="is the dataset itself; name another folder"):
        label(out=boxes)
    mine = tmp_path / "mine"
    (mine / "imagesTr").mkdir(parents=True)
    (mine / "imagesTr" / "precious.nii.gz").write_text("x")
    (mine / "dataset.json").write_text("{}")
    for out in (mine, mine / "dataset.json", tmp_path):
        with pytest.raises(WriteError, match="holds something else"):
            label(out=out)
    assert sorted(path for path in boxes.rglob("*")) == before
    assert names_in(mine) == ["dataset.json", "imagesTr"]
    assert (mine / "imagesTr" / "precious.nii.gz").read_text() == "x"
    first = label()
    with pytest.raises(WriteError, match="is the earlier round itself"):
        label(earlier=first.folder, rules=["stability"])


def test_a_refused_call_leaves_no_folder(label, tmp_path):
    with pytest.raises(RecipeError):
        label(rules=["loss"])
    assert not (tmp_path / "out").exists()


def test_what_was_accepted_is_logged_and_nothing_at_all_is_a_warning(label, caplog):
    with caplog.at_level(logging.INFO):
        made = label()
    assert (
        f"{made.folder}: 5 of 6 organs accepted that were found in 2 scans "
        "(liver: 2 of 2 accepted, spleen: 1 of 2 accepted, aorta: 2 of 2 accepted)"
    ) in caplog.text
    told = r"nothing was accepted in 2 scans, .* none of 6 organs .* the rules 'voxels>=1e\+06'"
    with pytest.warns(DataWarning, match=told):
        label(rules=["voxels>=1e6"])
