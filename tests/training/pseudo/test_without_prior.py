"""Rules that look at how the labels came about."""

from __future__ import annotations

import pytest

from slicekit.training.pseudo import OrganFacts
from slicekit.training.pseudo.rules import RULES
from slicekit.training.pseudo.verdict import Question

BY_FACT = [(name, kind) for name, kind in RULES.items() if kind.fact]


def ask(name, threshold, **known):
    facts = OrganFacts("liver", 1000, 1200.0, **known)
    return RULES[name].check(Question(facts, {"liver": facts}, None, threshold))


@pytest.mark.parametrize(("name", "kind"), BY_FACT)
def test_each_asks_its_own_measurement(name, kind):
    good, bad = (0.9, 0.3) if kind.sign == ">=" else (0.3, 0.9)
    passed, failed = ask(name, 0.6, **{kind.fact: good}), ask(name, 0.6, **{kind.fact: bad})
    assert (passed.rule, passed.passed, failed.passed) == (name, True, False)
    assert passed.score > 0.5 > failed.score
    assert f"{good:.3f}" in passed.reason and "0.6" in passed.reason
    missing = ask(name, 0.0)
    assert not missing.passed and missing.score == 0.0 and "was not measured" in missing.reason
