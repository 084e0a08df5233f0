"""Judgements of many cases beside one another."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from slicekit.training.pseudo import Judgement, Verdict, keep_best, rank


def one(*scores, absent=False):
    verdicts = tuple(Verdict("r", score >= 0.5, score, "") for score in scores)
    return Judgement("liver", all(score >= 0.5 for score in scores), absent, verdicts)


CASES = {
    "good": {"liver": one(0.95, 0.9)},
    "narrow": {"liver": one(0.99, 0.52)},
    "bad": {"liver": one(0.9, 0.1)},
    "fair": {"liver": one(0.7, 0.7)},
    "missing": {"liver": one(0.0, absent=True)},
    "lacking": {"liver": one(0.6, absent=True)},
}


def test_ranking_shows_the_best_the_worst_and_the_borderline():
    ranking = rank(CASES, count=2)
    assert [row.case for row in ranking.best] == ["good", "narrow"]
    assert [row.case for row in ranking.worst] == ["bad", "fair"]
    assert [row.case for row in ranking.borderline] == ["narrow", "fair"]
    assert rank({}) == ((), (), ())


def test_only_the_best_of_every_organ_are_kept():
    kept = keep_best(CASES, per_organ=1)
    assert {case for case, organs in kept.items() if organs["liver"].accepted} == {
        "good", "lacking",
    }  # fmt: skip
    assert kept["good"] == CASES["good"] and kept["bad"] == CASES["bad"]
    told = kept["fair"]["liver"]
    assert told.reason == "unknown; rank: its score 0.700 is number 3 of 3, the best 1 count"
    assert told.score < 0.5
    assert keep_best({"a": {"liver": one(0.9), "spleen": one(0.6)}}, per_organ=1)["a"][
        "spleen"
    ].accepted  # organs do not compete with one another


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.fixed_dictionaries(
        {"liver": st.lists(st.floats(0, 1), min_size=1, max_size=3).map(lambda s: one(*s))}
    )),
    st.integers(0, 7),
)  # fmt: skip
def test_a_larger_budget_never_drops_a_case(cases, budget):
    few, more = (keep_best(cases, per_organ=n) for n in (budget, budget + 1))

    def accepted(judged):
        return {case for case, organs in judged.items() if organs["liver"].accepted}

    assert accepted(few) <= accepted(more) <= accepted(cases)
    assert len(accepted(few)) == min(budget, len(accepted(cases)))
    for organs in (*few.values(), *more.values()):
        assert organs["liver"].accepted == (organs["liver"].score >= 0.5)
