"""The rules by name, and how a user writes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from slicekit.checks import suggest
from slicekit.errors import RecipeError
from slicekit.training.pseudo import with_prior, without_prior
from slicekit.training.pseudo.facts import OrganFacts
from slicekit.training.pseudo.prior import Prior
from slicekit.training.pseudo.verdict import Question, Verdict

_WRITTEN = re.compile(r"\s*(?P<name>[\w-]+)\s*(?:(?P<sign>[<>]=?|==?)\s*(?P<limit>[^\s=]+))?\s*")


@dataclass(frozen=True)
class Kind:
    """A rule before its threshold is chosen."""

    check: Callable[[Question], Verdict]
    threshold: float
    """What it asks for, unless the user says otherwise."""
    most: float = 1.0
    """Largest threshold that can be meant; the smallest is 0."""
    sign: str = ">="
    """Whether values must reach the threshold, or must not pass it (``<=``)."""
    fact: str | None = None
    """Field of ``OrganFacts`` that it needs."""
    argument: str | None = None
    """Argument of ``measure_facts`` that brings that field."""
    needs_prior: bool = False
    judges_absence: bool = False
    """Whether it has something to say where the organ was not found."""


RULES: Mapping[str, Kind] = {
    "volume": Kind(with_prior.volume, 0.5, needs_prior=True),
    "component": Kind(with_prior.component, 0.9),
    "continuity": Kind(with_prior.continuity, 0.95),
    "order": Kind(with_prior.order, 0.9, needs_prior=True),
    "border": Kind(with_prior.border, 0.5, needs_prior=True),
    "voxels": Kind(with_prior.voxels, 2000, most=1e12),
    "confidence": Kind(without_prior.confidence, 0.8, fact="confidence", argument="confidence"),
    "confidence-top": Kind(
        without_prior.confidence_top, 0.95, fact="confidence_top", argument="confidence"
    ),
    "agreement": Kind(
        without_prior.agreement, 0.8, fact="agreement", argument="members", judges_absence=True
    ),
    "stability": Kind(
        without_prior.stability, 0.9, fact="stability", argument="earlier", judges_absence=True
    ),
    "both-ways": Kind(
        without_prior.both_ways, 0.8, fact="both_ways", argument="both_ways", judges_absence=True
    ),
    "loss": Kind(
        without_prior.loss, 0.5, most=1e6, sign="<=", fact="loss", argument="losses"
    ),
}  # fmt: skip
"""The rules by name; what each asks is the first line of its check's docstring."""


@dataclass(frozen=True)
class Rule:
    """One thing that is asked of every organ.

    Raises:
        RecipeError: There is no such rule, or its threshold cannot be meant.
    """

    name: str
    threshold: float

    def __post_init__(self) -> None:
        most = kind_of(self.name).most
        if not (isfinite(self.threshold) and 0 <= self.threshold <= most):
            raise RecipeError(
                f"the threshold of {self.name!r} must be from 0 to {most:g}, got {self.threshold:g}"
            )

    def __str__(self) -> str:
        return f"{self.name}{kind_of(self.name).sign}{self.threshold:g}"

    def __call__(
        self, facts: OrganFacts, case: Mapping[str, OrganFacts], prior: Prior | None
    ) -> Verdict:
        """Judge one organ of a case."""
        return kind_of(self.name).check(Question(facts, case, prior, self.threshold))


def usual_rules(role: str) -> tuple[Rule, ...]:
    """Return what is asked of an organ unless the user says otherwise.

    A volumetric model has no probabilities to ask for.
    """
    written = ("volume", "component", "order")
    return parse_rules(written if role == "volumetric" else (*written, "confidence>=0.7"))


def kind_of(name: str) -> Kind:
    """Return what a rule is.

    Raises:
        RecipeError: There is no such rule; the message suggests the likely one.
    """
    if name not in RULES:
        raise RecipeError(f"unknown rule {name!r}; {suggest(name, RULES)}")
    return RULES[name]


def parse_rules(written: Sequence[str]) -> tuple[Rule, ...]:
    """Read rules as a user writes them.

    Args:
        written: Each a name, or a name with a threshold: ``"agreement=0.8"``, ``"loss=0.3"``. What
            is meant is clear, so ``=`` stands for ``>=`` or ``<=``, whichever the rule compares by;
            a shell takes ``>`` and ``<`` for files unless they stand in quotes.

    Returns:
        The rules in the same order; none for none, and then every organ is accepted.

    Raises:
        RecipeError: A rule is unknown (the likely one is suggested), written twice, compared the
            wrong way round, or its threshold cannot be meant.

    Example:
        >>> [str(rule) for rule in parse_rules(["volume", "agreement=0.9", "voxels >= 500"])]
        ['volume>=0.5', 'agreement>=0.9', 'voxels>=500']
    """
    rules = [_parse(text) for text in written]
    names = [rule.name for rule in rules]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RecipeError(f"the rule {twice[0]!r} is written twice; keep one of the two")
    return tuple(rules)


def _parse(text: str) -> Rule:
    parts = _WRITTEN.fullmatch(text)
    if parts is None:
        raise RecipeError(
            f"a rule is NAME or NAME=NUMBER, such as volume or agreement=0.8, got {text!r}; with "
            f">= or <= it must stand in quotes, since a shell takes > and < for files"
        )
    name = parts["name"]
    kind = kind_of(name)
    if parts["sign"] is None:
        return Rule(name, kind.threshold)
    if parts["sign"] not in ("=", kind.sign):
        raise RecipeError(
            f"the rule {name!r} is good where it is {'high' if kind.sign == '>=' else 'low'}; "
            f"write {name}={parts['limit']}, or '{name}{kind.sign}{parts['limit']}' in quotes, "
            f"since a shell takes > and < for files; got {text!r}"
        )
    try:
        limit = float(parts["limit"])
    except ValueError as fault:
        raise RecipeError(f"the threshold of {name!r} must be a number, got {text!r}") from fault
    return Rule(name, limit)
