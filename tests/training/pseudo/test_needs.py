"""What rules need is asked for before anything is predicted."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from slicekit.data.annotations import FILE_NAME
from slicekit.errors import DatasetError, DataWarning, RecipeError
from slicekit.inference.model import load_model
from slicekit.recipes import parse_recipe
from slicekit.training.pseudo import learn_prior, measure_facts


@pytest.mark.parametrize(
    ("rule", "need"),
    [
        ("loss", r"another model \(--judge\)"),
        ("stability", r"the folder of an earlier round \(--earlier\)"),
        ("both-ways", "a propagator that carries whole slices"),
    ],
)
def test_a_rule_that_needs_what_is_not_there_is_refused(label, predicted, rule, need):
    with pytest.raises(RecipeError, match=f"the rule '{rule}' needs {need}; give it, or leave"):
        label(rules=["volume", rule])
    assert predicted == []


@pytest.mark.parametrize("rule", ["volume", "order", "border"])
def test_without_labelled_scans_rules_that_compare_with_them_are_refused(
    label, boxes, patients, predicted, rule, tmp_path
):
    for name in ("one", "two"):
        (boxes / "labelsTr" / f"{name}.nii.gz").unlink()
        (boxes / "imagesTr" / f"{name}_0000.nii.gz").unlink()
    with pytest.raises(
        RecipeError, match=f"'{rule}' needs labelled scans, drawn on all slices, or"
    ):
        label(rules=["component", rule])
    assert predicted == []
    assert not (tmp_path / "out").exists()
    made = label(rules=["component", "confidence", "agreement"])
    assert made.prior is None
    assert sum(one.accepted for one in made.judgements["sound"].values()) == 3
    names = ["liver", "spleen", "aorta"]
    facts = measure_facts(patients.labels(), made.organs.subset(names), body=(8, 56, 6, 58))
    assert label(rules=[rule], prior=learn_prior([facts, facts])).prior is not None


def test_a_committee_of_one_agrees_with_nobody(label, seer, predicted):
    model = seer()
    alone = model.recipe.model_copy(update={"networks": model.recipe.networks[:1]})
    with pytest.raises(RecipeError, match="'agreement' needs a committee of two"):
        label(rules=["agreement"], model=replace(model, recipe=alone))
    assert predicted == []


def test_a_volumetric_model_tells_no_confidence(label, trial_models, runtime, predicted):
    model = load_model(trial_models / "trial_volumetric.toml", runtime)
    with pytest.raises(RecipeError, match="'confidence' needs a committee of networks"):
        label(rules=["volume", "confidence"], model=model)
    assert predicted == []
    with pytest.raises(RecipeError, match="judge 'trial_volumetric' is a volumetric model"):
        label(rules=["loss"], other=model)


def test_the_model_and_the_judge_name_the_organs_of_the_dataset(label, seer, predicted):
    model = seer()
    given = model.recipe.model_dump() | {"organs": {"liver": 1, "aorta": 2, "spleen": 3}}
    del given["training"]["method"]
    other = replace(model, recipe=parse_recipe({**given, "role": "reference"}, source="other"))
    with pytest.raises(DatasetError, match=r"dataset\.json names other organs than .*ids too"):
        label(model=other)
    with pytest.raises(RecipeError, match="the judge 'trial_reference' names other organs"):
        label(rules=["loss"], other=other)
    assert predicted == []


def test_an_earlier_round_is_a_folder_of_predictions(label, boxes, tmp_path, predicted):
    for folder in (boxes, tmp_path / "nowhere"):
        with pytest.raises(RecipeError, match="holds no labels of an earlier round"):
            label(rules=["stability"], earlier=folder)
    assert predicted == []


def test_an_unknown_rule_is_told_with_the_likely_one(label):
    with pytest.raises(RecipeError, match=r"unknown rule 'agrement'.*'agreement'"):
        label(rules=["agrement"])


@pytest.fixture
def sparse(boxes):
    """Of every labelled scan only some slices were drawn."""
    drawn = {name: {"annotated_slices": [4, 8]} for name in ("one", "two")}
    (boxes / FILE_NAME).write_text(json.dumps(drawn))


@pytest.mark.usefixtures("sparse")
def test_usual_rules_that_lack_what_they_need_are_left_out_with_a_warning(label):
    told = r"rules volume, order cannot be asked, which need labelled scans, .* or a prior.* only "
    with pytest.warns(DataWarning, match=told + "'component>=0.9' 'confidence>=0.7'"):
        made = label(rules=None)
    assert [rule.name for rule in made.rules] == ["component", "confidence"]
    assert made.prior is None
    assert sum(one.accepted for one in made.judgements["sound"].values()) == 3


@pytest.mark.usefixtures("sparse")
def test_rules_that_were_named_are_not_left_out(label, predicted):
    with pytest.raises(RecipeError, match="the rule 'order' needs labelled scans"):
        label(rules=["component", "order"])
    assert predicted == []


def test_with_a_prior_or_whole_scans_all_usual_rules_are_asked(label, patients, boxes):
    usual = ["volume", "component", "order", "confidence"]
    made = label(rules=None)
    assert [rule.name for rule in made.rules] == usual
    drawn = {name: {"annotated_slices": [4, 8]} for name in ("one", "two")}
    (boxes / FILE_NAME).write_text(json.dumps(drawn))
    assert [rule.name for rule in label(rules=None, prior=made.prior).rules] == usual
