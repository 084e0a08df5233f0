"""Rules that need no knowledge of organs, only of how the labels came about."""

from __future__ import annotations

from slicekit.training.pseudo.verdict import Question, Verdict, high_is_good, low_is_good


def confidence(question: Question) -> Verdict:
    """Ask for a mean confidence of the whole organ."""
    facts = question.facts
    if facts.confidence is None:
        return _not_measured("confidence")
    reason = f"its mean confidence is {facts.confidence:.3f}, at least {question.threshold:g} "
    return high_is_good("confidence", facts.confidence, question.threshold, reason + "is wanted")


def confidence_top(question: Question) -> Verdict:
    """Ask for a mean confidence of the organ's surest voxels, of which its edge is none."""
    facts = question.facts
    if facts.confidence_top is None:
        return _not_measured("confidence-top")
    reason = (
        f"the mean confidence of its surest voxels is {facts.confidence_top:.3f}, "
        f"at least {question.threshold:g} is wanted"
    )
    return high_is_good("confidence-top", facts.confidence_top, question.threshold, reason)


def agreement(question: Question) -> Verdict:
    """Ask that the members say what they say together (Pham et al., FLARE22)."""
    return _dice("agreement", question, "each member against all together")


def stability(question: Question) -> Verdict:
    """Ask that the labels were alike a round or a checkpoint ago."""
    return _dice("stability", question, "these labels against an earlier round's")


def both_ways(question: Question) -> Verdict:
    """Ask that it was carried forward to where it was carried backward."""
    return _dice("both-ways", question, "carried forward against carried backward")


def loss(question: Question) -> Verdict:
    """Ask that a network that never learnt from the case is little surprised."""
    value = question.facts.loss
    if value is None:
        return _not_measured("loss")
    reason = f"its loss under a held-out network is {value:.3f}, at most {question.threshold:g} "
    return low_is_good("loss", value, question.threshold, reason + "is wanted")


def _dice(rule: str, question: Question, what: str) -> Verdict:
    value = getattr(question.facts, rule.replace("-", "_"))
    if value is None:
        return _not_measured(rule)
    reason = f"Dice {value:.3f} of {what}, at least {question.threshold:g} is wanted"
    return high_is_good(rule, value, question.threshold, reason)


def _not_measured(rule: str) -> Verdict:
    return Verdict(rule, False, 0.0, f"{rule} was not measured, so nothing speaks for it")
