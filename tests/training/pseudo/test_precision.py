"""Whether accepted organs are better than refused ones."""

from __future__ import annotations

import math

import numpy as np
import pytest

from slicekit.data.phantom import PHANTOM_LABELS
from slicekit.labels import LabelSet
from slicekit.training.pseudo import (
    JudgedCase,
    Judgement,
    judge,
    measure_facts,
    parse_rules,
    precision_of_choice,
)

NAMES = LabelSet({"liver": 1, "spleen": 2})
TRUTH = np.array([[[1, 1, 1, 1, 2, 2, 0, 0]]], np.uint8)
GUESS = np.array([[[1, 1, 1, 1, 0, 0, 2, 2]]], np.uint8)


def said(**accepted):
    return {organ: Judgement(organ, taken, False, ()) for organ, taken in accepted.items()}


def test_means_of_accepted_and_refused():
    cases = [
        JudgedCase(GUESS, TRUTH, said(liver=True, spleen=False)),
        JudgedCase(TRUTH, TRUTH, said(liver=True, spleen=False)),
    ]
    whole, by_organ = precision_of_choice(iter(cases), NAMES)
    assert (whole.accepted_dsc, whole.refused_dsc) == (1.0, 0.5)
    assert (whole.accepted, whole.refused) == (2, 2)
    assert whole.gain == pytest.approx(0.25)
    assert (by_organ["spleen"].accepted, by_organ["spleen"].refused_dsc) == (0, 0.5)
    assert math.isnan(by_organ["spleen"].accepted_dsc)
    assert by_organ["spleen"].gain == 0.0


def test_organs_that_the_truth_does_not_tell_of_are_passed_over():
    case = JudgedCase(GUESS, TRUTH, said(liver=True, spleen=False), frozenset({"liver"}))
    whole, by_organ = precision_of_choice([case], NAMES)
    assert (whole.accepted, whole.refused) == (1, 0)
    assert math.isnan(by_organ["spleen"].gain)
    unknown = TRUTH.copy()
    unknown[..., 4:] = 255
    whole, _ = precision_of_choice([JudgedCase(GUESS, unknown, said(spleen=True))], NAMES)
    assert whole.accepted_dsc == 1.0  # neither map has it where anything is known


def test_an_organ_wrongly_accepted_as_absent_costs():
    case = JudgedCase(np.zeros_like(TRUTH), TRUTH, {"liver": Judgement("liver", True, True, ())})
    assert precision_of_choice([case], NAMES)[0].accepted_dsc == 0.0
    whole, _ = precision_of_choice([], NAMES)
    assert whole.accepted == 0 and math.isnan(whole.gain)


def test_rules_choose_well_among_faulty_phantoms(patient, prior, faults):
    rules = parse_rules(["volume", "component", "continuity", "order", "border"])
    cases = []
    for fault, organ in [("mirrored", "spleen"), ("torn", "liver"), ("tiny", "stomach")]:
        labels = getattr(faults, fault)(patient, organ)
        found = judge(measure_facts(labels, PHANTOM_LABELS), prior, rules)
        cases.append(JudgedCase(labels.array, patient.array, found))
    whole, _ = precision_of_choice(cases, PHANTOM_LABELS)
    assert (whole.accepted, whole.refused) == (36, 3)
    assert whole.accepted_dsc > 0.95 and whole.refused_dsc < 0.7
