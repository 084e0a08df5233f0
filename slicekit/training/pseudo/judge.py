"""Which organs of a predicted case are good enough to learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slicekit.errors import RecipeError
from slicekit.metrics import mean_of
from slicekit.training.pseudo.facts import OrganFacts
from slicekit.training.pseudo.prior import Prior
from slicekit.training.pseudo.rules import Rule, kind_of
from slicekit.training.pseudo.verdict import Verdict


@dataclass(frozen=True)
class Judgement:
    """Whether one organ of one case is learned from."""

    organ: str
    accepted: bool
    """Whether the labels are taken as the truth of this organ; else it is unknown there."""
    absent: bool
    """Whether the organ was not found. Accepted, it is taken as not there."""
    verdicts: tuple[Verdict, ...]

    @property
    def score(self) -> float:
        """How good the organ is, 0 to 1: at least 0.5 where it was accepted, below where not.

        The mean of the verdicts' scores where all passed, else the least of them: one thing
        that cannot be right outweighs many that seem to be. 1 where nothing was asked.
        """
        scores = [verdict.score for verdict in self.verdicts]
        return mean_of(scores) if self.accepted and scores else self.weakest

    @property
    def weakest(self) -> float:
        """The least score of a verdict; near 0.5 in a borderline case. 1 where none was asked."""
        return min((verdict.score for verdict in self.verdicts), default=1.0)

    @property
    def reason(self) -> str:
        """What decided, for people: what was failed, or what was passed most narrowly."""
        failed = [verdict for verdict in self.verdicts if not verdict.passed]
        shown = failed or sorted(self.verdicts, key=lambda verdict: verdict.score)[:1]
        words = "; ".join(f"{verdict.rule}: {verdict.reason}" for verdict in shown)
        state = ("accepted" if self.accepted else "unknown") + (" as absent" * self.absent)
        if self.absent and not self.accepted:
            state = "unknown, not found"
        return f"{state}; {words}" if words else state


def judge(
    case: Mapping[str, OrganFacts], prior: Prior | None, rules: Sequence[Rule]
) -> dict[str, Judgement]:
    """Judge every organ of a case on its own; one bad organ does not cost the others.

    An organ that was found is accepted if it passes every rule. One that was not found is
    accepted as absent if some labelled case lacks it too, and a rule that can tell was asked and
    passed (members that do not see it either, an earlier round that did not); otherwise it is
    unknown, for what a model misses it must not unlearn.

    Args:
        case: What was measured, as ``measure_facts`` gives it.
        prior: What the labelled cases show; ``None`` suits rules that need none, and then no
            organ is accepted as absent.
        rules: What is asked, as ``parse_rules`` gives them.

    Raises:
        RecipeError: A rule needs a prior or a measurement that was not made.
    """
    for rule in rules:
        _expect_possible(rule, case, prior)
    return judge_measured(case, prior, rules)


def judge_measured(
    case: Mapping[str, OrganFacts], prior: Prior | None, rules: Sequence[Rule]
) -> dict[str, Judgement]:
    """Judge a case of which was measured what the rules need, as far as there was anything.

    As ``judge``, but a fact that no organ has, as where neither way carried any of them anywhere,
    speaks against the organs and is no mistake of the caller's.
    """
    return {
        name: _judge_present(facts, case, prior, rules)
        if facts.voxels
        else _judge_absent(facts, case, prior, rules)
        for name, facts in case.items()
    }


def _judge_present(
    facts: OrganFacts,
    case: Mapping[str, OrganFacts],
    prior: Prior | None,
    rules: Sequence[Rule],
) -> Judgement:
    verdicts = tuple(rule(facts, case, prior) for rule in rules)
    return Judgement(facts.organ, all(one.passed for one in verdicts), False, verdicts)


def _judge_absent(
    facts: OrganFacts,
    case: Mapping[str, OrganFacts],
    prior: Prior | None,
    rules: Sequence[Rule],
) -> Judgement:
    asked = [rule for rule in rules if kind_of(rule.name).judges_absence]
    verdicts = (_absence(facts, prior), *(rule(facts, case, prior) for rule in asked))
    if not asked:
        verdicts += (Verdict("absence", False, 0.0, "no rule was asked that can tell"),)
    return Judgement(facts.organ, all(one.passed for one in verdicts), True, verdicts)


def _absence(facts: OrganFacts, prior: Prior | None) -> Verdict:
    known = None if prior is None else prior.organs.get(facts.organ)
    if known is None or not known.annotated:
        return Verdict("absence", False, 0.0, "no labelled case tells whether it may be absent")
    reason = f"{known.absent} of {known.annotated} labelled cases lack it"
    if not known.may_be_absent:
        return Verdict("absence", False, 0.0, reason)
    return Verdict("absence", True, 0.5 + 0.5 * known.absent_share, reason)


def _expect_possible(rule: Rule, case: Mapping[str, OrganFacts], prior: Prior | None) -> None:
    """Refuse a rule of which nothing can be known, rather than refuse every organ by it."""
    kind = kind_of(rule.name)
    if kind.needs_prior and prior is None:
        raise RecipeError(
            f"the rule {rule.name!r} needs a prior; learn one from labelled cases (learn_prior), "
            "or leave the rule out"
        )
    asked = [facts for facts in case.values() if facts.voxels]
    if kind.fact and asked and all(getattr(facts, kind.fact) is None for facts in asked):
        raise RecipeError(
            f"the rule {rule.name!r} needs what measure_facts was not given ({kind.argument}=); "
            "give it, or leave the rule out"
        )
