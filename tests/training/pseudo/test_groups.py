"""Which cases are true, which are labelled, and which are left alone."""

from __future__ import annotations

import pytest

from slicekit.data.cases import find_cases
from slicekit.errors import DatasetError
from slicekit.training.pseudo.groups import choose_groups, usual_groups


@pytest.fixture
def choose(boxes, patients):
    """Choose groups of the boxes; returns names."""

    def run(labelled=None, unlabelled=None, held_out=None, **splits):
        patients.describe(boxes, **splits)
        groups = choose_groups(
            find_cases(boxes), labelled=labelled, unlabelled=unlabelled, held_out=held_out
        )
        return tuple(" ".join(case.name for case in group) for group in groups)

    return run


def test_without_groups_labels_decide(choose):
    assert choose() == ("one two", "odd sound", "")


def test_held_out_scans_are_neither_learnt_from_nor_labelled(choose):
    groups = choose(held_out="val", val=["one", "odd"])
    assert groups == ("two", "sound", "odd one")


def test_a_group_is_labelled_although_it_has_labels(choose):
    assert choose(unlabelled="more", more=["two", "odd"]) == ("one", "odd two", "")


def test_a_labelled_group_holds_labelled_cases_only(choose):
    assert choose(labelled="train", train=["one", "odd"]) == ("one", "odd sound", "")


@pytest.mark.parametrize(
    "chosen",
    [
        {"labelled": "train", "unlabelled": "more"},
        {"labelled": "train", "held_out": "more"},
        {"unlabelled": "train", "held_out": "more"},
    ],
)
def test_a_case_in_two_groups_is_refused(choose, chosen):
    with pytest.raises(DatasetError, match="at once: two"):
        choose(**chosen, train=["one", "two"], more=["two"])


def test_where_there_is_nothing_to_label_it_is_said(choose, boxes):
    with pytest.raises(DatasetError, match=r"no scan to label in .*imagesTr, or name a group"):
        choose(held_out="val", val=["odd", "sound"])
    with pytest.raises(DatasetError, match=r"no group 'vall'.*'val'"):
        choose(held_out="vall", val=["odd"])


@pytest.fixture
def usual(boxes, patients, seer):
    """Choose as a model was trained, whose groups are train and val; returns names."""

    def run(splits, **said):
        patients.describe(boxes, **splits)
        groups = usual_groups(find_cases(boxes), seer().recipe, **said)
        return tuple(" ".join(case.name for case in group) for group in groups)

    return run


def test_groups_are_those_of_the_models_training(usual):
    assert usual({}) == ("one two", "odd sound", "")
    assert usual({"train": ["one"], "val": ["two"]}) == ("one", "odd sound", "two")


def test_a_group_to_test_on_is_never_taken_for_true_labels(usual):
    assert usual({"train": ["one"], "test": ["two"]}) == ("one", "odd sound", "")
    with pytest.raises(DatasetError, match=r"further groups test, .*--labelled-group"):
        usual({"val": ["one"], "test": ["two"]})
    groups = usual({"mine": ["one"], "test": ["two"]}, labelled="mine")
    assert groups == ("one", "odd sound", "")


def test_what_the_user_says_comes_first(usual):
    said = {"labelled": "mine", "held_out": ""}
    assert usual({"train": ["one"], "val": ["one"], "mine": ["two"]}, **said)[2] == ""
