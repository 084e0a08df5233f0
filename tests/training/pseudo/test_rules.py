"""How rules are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slicekit.errors import RecipeError
from slicekit.training.pseudo import RULES, OrganFacts, Rule, parse_rules, usual_rules


def test_names_thresholds_and_blanks():
    assert parse_rules(["volume", "agreement>=0.8", " voxels >= 2e3 ", "loss<=0.1"]) == (
        Rule("volume", 0.5),
        Rule("agreement", 0.8),
        Rule("voxels", 2000.0),
        Rule("loss", 0.1),
    )
    assert parse_rules([]) == ()
    assert RULES["voxels"].threshold == 2000  # Gao et al.


@pytest.mark.parametrize(
    ("written", "same"), [("agreement=0.9", "agreement>=0.9"), ("loss = 0.2", "loss<=0.2")]
)
def test_a_rule_can_be_written_without_signs_that_a_shell_takes(written, same):
    assert parse_rules([written]) == parse_rules([same])
    assert str(parse_rules([written])[0]) == same


@given(st.sampled_from(sorted(RULES)), st.floats(0, 1))
def test_what_a_rule_says_of_itself_can_be_read_again(name, threshold):
    (rule,) = parse_rules([str(Rule(name, threshold))])
    assert rule.name == name
    assert rule.threshold == pytest.approx(threshold, rel=1e-5)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (["volum"], "did you mean 'volume'"),
        (["both_ways>=0.5"], "did you mean 'both-ways'"),
        (["agreement<=0.8"], "is high; write agreement=0.8, or 'agreement>=0.8' in quotes, since"),
        (["loss>=0.8"], "good where it is low; write loss=0.8, or 'loss<=0.8' in quotes"),
        (["agreement==0.8"], "write agreement=0.8"),
        (["agreement>0.8"], "write agreement=0.8"),
        (["agreement>=much"], "must be a number"),
        (["agreement>=1.5"], "from 0 to 1, got 1.5"),
        (["agreement>=nan"], "from 0 to 1, got nan"),
        (["voxels>=-3"], "got -3"),
        ([""], "a rule is NAME"),
        (["agreement 0.8"], "such as volume or agreement=0.8.* a shell takes > and < for files"),
        (["agreement>="], "a rule is NAME"),
        (["volume", "order", "volume>=0.2"], "'volume' is written twice"),
    ],
)
def test_what_cannot_be_meant_is_told(written, told):
    with pytest.raises(RecipeError, match=told):
        parse_rules(written)


def test_a_rule_judges():
    facts = OrganFacts("liver", 100, 1.0)
    assert Rule("voxels", 100)(facts, {"liver": facts}, None).passed
    assert not Rule("voxels", 101)(facts, {"liver": facts}, None).passed
    with pytest.raises(RecipeError, match="did you mean 'voxels'"):
        Rule("voxel", 1.0)


def test_every_rule_says_what_it_asks():
    for name, kind in RULES.items():
        assert kind.check.__doc__.startswith("Ask"), name


def test_the_usual_rules_ask_a_volumetric_model_for_no_probabilities() -> None:
    asked = {
        role: [rule.name for rule in usual_rules(role)] for role in ("reference", "volumetric")
    }
    assert "confidence" in asked["reference"]
    assert set(asked["reference"]) - set(asked["volumetric"]) == {"confidence"}
