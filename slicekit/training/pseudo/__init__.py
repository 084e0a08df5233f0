"""Which predicted organs are good enough to learn from.

``measure_facts`` measures every organ of a predicted case, ``learn_prior`` learns from labelled
cases what organs are like, ``judge`` asks rules of both, and ``accepted_labels`` keeps what
passed. What was refused becomes unknown; the rest of its case is still learned from.
``precision_of_choice`` tells whether that was a good choice.
"""

from __future__ import annotations

from slicekit.training.pseudo.accept import Accepted, accepted_labels
from slicekit.training.pseudo.facts import OrganFacts, measure_facts
from slicekit.training.pseudo.judge import Judgement, judge
from slicekit.training.pseudo.precision import ChoicePrecision, JudgedCase, precision_of_choice
from slicekit.training.pseudo.prior import (
    Order,
    OrganPrior,
    Prior,
    PriorSettings,
    learn_prior,
)
from slicekit.training.pseudo.prior_file import read_prior, write_prior
from slicekit.training.pseudo.ranking import Ranked, Ranking, keep_best, rank
from slicekit.training.pseudo.rules import RULES, Rule, parse_rules, usual_rules
from slicekit.training.pseudo.verdict import Verdict

__all__ = [
    "RULES",
    "Accepted",
    "ChoicePrecision",
    "JudgedCase",
    "Judgement",
    "Order",
    "OrganFacts",
    "OrganPrior",
    "Prior",
    "PriorSettings",
    "Ranked",
    "Ranking",
    "Rule",
    "Verdict",
    "accepted_labels",
    "judge",
    "keep_best",
    "learn_prior",
    "measure_facts",
    "parse_rules",
    "precision_of_choice",
    "rank",
    "read_prior",
    "usual_rules",
    "write_prior",
]
