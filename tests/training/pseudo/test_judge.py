"""Phantoms with one fault: the faulty organ is refused, the others are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slicekit.data.phantom import PHANTOM_LABELS
from slicekit.errors import RecipeError
from slicekit.training.pseudo import (
    OrganFacts,
    judge,
    measure_facts,
    parse_rules,
)
from slicekit.training.pseudo.judge import judge_measured

RULES = parse_rules(["volume", "component", "continuity", "order", "border", "voxels>=8"])
BODY = (0, 64, 0, 64)


def judged(labels, prior, rules=RULES, **inputs):
    return judge(measure_facts(labels, PHANTOM_LABELS, body=BODY, **inputs), prior, rules)


def failed(judgement):
    return {verdict.rule for verdict in judgement.verdicts if not verdict.passed}


def test_a_sound_patient_is_accepted_whole(patient, prior):
    for organ, one in judged(patient, prior).items():
        assert one.accepted and not one.absent, (organ, one.reason)
        assert one.score >= 0.5 and one.reason.startswith("accepted; ")


@pytest.mark.parametrize(
    ("fault", "organ", "rule"),
    [
        ("mirrored", "spleen", "order"),
        ("mirrored", "left_kidney", "order"),
        ("mirrored", "gallbladder", "order"),
        ("doubled", "spleen", "component"),
        ("doubled", "left_kidney", "component"),
        ("torn", "liver", "continuity"),
        ("torn", "aorta", "continuity"),
        ("tiny", "spleen", "volume"),
        ("tiny", "pancreas", "voxels"),
        ("at_border", "spleen", "border"),
        ("at_border", "left_kidney", "border"),
    ],
)
def test_one_fault_costs_one_organ(patient, prior, faults, fault, organ, rule):
    found = judged(getattr(faults, fault)(patient, organ), prior)
    assert [name for name, one in found.items() if not one.accepted] == [organ]
    assert rule in failed(found[organ])
    assert found[organ].score < 0.5
    assert found[organ].reason.startswith("unknown; ") and f"{rule}: " in found[organ].reason


def test_kidneys_that_changed_names_are_both_refused(patient, prior):
    swapped = patient.with_array(LEFT_IS_RIGHT[patient.array])
    found = judged(swapped, prior)
    assert {name for name, one in found.items() if not one.accepted} == {
        "left_kidney", "right_kidney",
    }  # fmt: skip


LEFT_IS_RIGHT = np.arange(14, dtype=np.uint8)
LEFT_IS_RIGHT[[2, 3]] = 3, 2


def test_a_patient_stored_inside_out_is_refused_nearly_whole(patient, prior):
    mirrored = patient.with_array(patient.array[:, :, ::-1].copy())
    found = judged(mirrored, prior)
    for organ in ("liver", "spleen", "stomach", "left_kidney", "right_kidney", "gallbladder"):
        assert not found[organ].accepted, organ


def test_an_organ_not_found_is_unknown_unless_it_may_be_absent(patient, prior, faults):
    without = faults.gone(patient, "gallbladder")
    one = judged(without, prior)["gallbladder"]
    assert (one.accepted, one.absent) == (False, True)
    assert one.reason.startswith("unknown, not found; absence: 0 of 4 labelled cases lack it")
    organ = replace(prior.organs["gallbladder"], annotated=5, absent=1)
    lax = replace(prior, organs=prior.organs | {"gallbladder": organ})
    found = judged(without, lax)
    assert not found["gallbladder"].accepted, "no rule was asked that can tell"
    assert "no rule was asked that can tell" in found["gallbladder"].reason
    assert all(one.accepted for name, one in found.items() if name != "gallbladder")
    # a member sees it
    rules = (*RULES, *parse_rules(["agreement>=0.8"]))
    unsure = judged(without, lax, rules, members=[without.array, patient.array])
    assert not unsure["gallbladder"].accepted
    assert failed(unsure["gallbladder"]) == {"agreement"}
    assert unsure["liver"].accepted
    sure = judged(without, lax, rules, members=[without.array, without.array])
    assert (sure["gallbladder"].accepted, sure["gallbladder"].absent) == (True, True)
    assert sure["gallbladder"].reason.startswith("accepted as absent; absence: 1 of 5")
    # without any prior nobody knows
    blind = judged(without, None, parse_rules(["voxels>=8"]))
    assert not blind["gallbladder"].accepted and blind["liver"].accepted


def test_without_rules_all_that_was_found_is_accepted(patient):
    found = judged(patient, None, ())
    assert all(one.accepted and one.score == 1.0 for one in found.values())
    assert found["liver"].reason == "accepted"


@pytest.mark.parametrize("written", ["volume", "order", "border"])
def test_a_rule_that_needs_a_prior_says_so(patient, written):
    with pytest.raises(RecipeError, match=f"'{written}' needs a prior"):
        judged(patient, None, parse_rules([written]))


@pytest.mark.parametrize(
    ("written", "argument"),
    [
        ("confidence", "confidence="), ("confidence-top", "confidence="),
        ("agreement", "members="), ("stability", "earlier="), ("both-ways", "both_ways="),
        ("loss", "losses="),
    ],
)  # fmt: skip
def test_a_rule_that_needs_a_measurement_says_which(patient, prior, written, argument):
    with pytest.raises(RecipeError, match=argument):
        judged(patient, prior, parse_rules([written]))


def test_measurements_without_prior_knowledge_decide_too(patient, faults):
    other = faults.torn(faults.gone(patient, "pancreas"), "liver").array
    rules = parse_rules(["stability", "both-ways", "loss<=0.4", "confidence"])
    sure = np.where(faults.mask(patient, "stomach"), 0.4, 0.99).astype(np.float32)
    found = judged(
        patient,
        None,
        rules,
        earlier=other,
        both_ways=(patient.array, patient.array),
        losses={organ: 0.9 if organ == "aorta" else 0.1 for organ in PHANTOM_LABELS.names},
        confidence=sure,
    )
    told = {name: failed(one) for name, one in found.items() if not one.accepted}
    assert told == {
        "liver": {"stability"}, "pancreas": {"stability"}, "aorta": {"loss"},
        "stomach": {"confidence"},
    }  # fmt: skip


FACTS = st.builds(
    OrganFacts,
    organ=st.just("liver"),
    voxels=st.integers(1, 5000),
    volume_ml=st.floats(0.1, 5000),
    largest_share=st.floats(0.01, 1),
    continuity=st.floats(0.01, 1),
    agreement=st.floats(0, 1),
    loss=st.floats(0, 5),
)


@given(FACTS, st.floats(0, 1), st.floats(0, 1))
def test_a_higher_threshold_never_accepts_more(facts, one, other):
    low, high = sorted((one, other))
    for name in ("component", "agreement", "continuity"):
        lax, strict = (
            judge({"liver": facts}, None, parse_rules([f"{name}>={limit}"]))["liver"]
            for limit in (low, high)
        )
        assert lax.accepted or not strict.accepted
        assert lax.score >= strict.score or lax.accepted == strict.accepted


@given(FACTS)
def test_the_score_tells_whether_it_was_accepted(facts):
    rules = parse_rules(["component", "agreement", "continuity", "loss", "voxels"])
    found = judge({"liver": facts}, None, rules)["liver"]
    assert found.accepted == (found.score >= 0.5) == (found.weakest >= 0.5)
    assert found.weakest <= found.score <= 1
    # one rule more never accepts what was refused
    assert judge({"liver": facts}, None, rules[:3])["liver"].accepted or not found.accepted


def test_facts_of_which_there_was_nothing_to_measure_speak_against_an_organ():
    facts = {"liver": OrganFacts("liver", 10, 1.0), "aorta": OrganFacts("aorta", 0, 0.0)}
    rules = parse_rules(["both-ways"])
    with pytest.raises(RecipeError, match="'both-ways' needs what measure_facts was not given"):
        judge(facts, None, rules)
    for one in judge_measured(facts, None, rules).values():
        assert not one.accepted
        assert "both-ways was not measured, so nothing speaks for it" in one.reason
