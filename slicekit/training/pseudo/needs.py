"""What rules need beside the scans, asked for before anything is predicted."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slicekit.data.cases import Case, Dataset
from slicekit.errors import DatasetError, DataWarning, RecipeError
from slicekit.inference.model import Carrier, Model
from slicekit.recipes import Recipe
from slicekit.training.pseudo.prior import Prior
from slicekit.training.pseudo.rules import Rule, kind_of, usual_rules

WORK = "pseudo"
"""Folder, inside of the new dataset, of what was predicted and measured."""


@dataclass(frozen=True, eq=False)
class Helpers:
    """What rules may want beside the model."""

    prior: Prior | None = None
    """What organs are like; learned from the labelled cases when ``None``."""
    other: Model | None = None
    """A committee that never learnt from the scans, for the rule ``loss``."""
    earlier: Path | None = None
    """The folder of an earlier round, for the rule ``stability``."""
    per_organ: int | None = None
    """How many cases an organ keeps, the best ones; all that pass for ``None``."""


def choose_rules(
    dataset: Dataset,
    labelled: Sequence[Case],
    recipe: Recipe,
    *,
    rules: Sequence[Rule] | None,
    helpers: Helpers,
    carrier: Carrier | None,
) -> tuple[Rule, ...]:
    """Say what is asked of organs, and refuse at the door what would fail after hours.

    Args:
        dataset: Where the scans come from.
        labelled: Cases whose labels are true.
        recipe: Of the model that is to name the organs.
        rules: What an organ must pass, as a user names it; ``None`` for the usual rules.
        helpers: What there is beside the model.
        carrier: The model's propagator.

    Returns:
        The rules that were named, or the usual ones without those that lack what they need.

    Raises:
        DatasetError: The dataset names other organs than the model.
        RecipeError: A rule that was named needs what is not there.

    Warns:
        DataWarning: Usual rules were left out; the message names them.
    """
    if dict(dataset.labels.ids) != recipe.organs:
        raise DatasetError(
            f"{dataset.folder / 'dataset.json'} names other organs than {recipe.name!r}: "
            f"{dict(dataset.labels.ids)} against {recipe.organs}; make them equal, ids too"
        )
    _expect_helpers(recipe, helpers)
    missing = _missing(labelled, recipe, helpers, carrier)
    asked = usual_rules(recipe.role) if rules is None else tuple(rules)
    lacks = {rule: lack for rule in asked if (lack := _lack(rule, missing))}
    if not lacks:
        return asked
    if rules is not None:
        rule, lack = next(iter(lacks.items()))
        raise RecipeError(f"the rule {rule.name!r} needs {lack}; give it, or leave the rule out")
    left = tuple(rule for rule in asked if rule not in lacks)
    warnings.warn(
        f"of the usual rules {', '.join(rule.name for rule in lacks)} cannot be asked, which need "
        f"{' and '.join(dict.fromkeys(lacks.values()))}; asked are only "
        f"{' '.join(repr(str(rule)) for rule in left)}",
        DataWarning,
        stacklevel=3,
    )
    return left


def _missing(
    labelled: Sequence[Case], recipe: Recipe, helpers: Helpers, carrier: Carrier | None
) -> dict[str, str | None]:
    """Name what rules need and is not there: need to what would help, ``None`` where it is."""
    whole_slices = carrier is not None and not carrier.in_regions
    knows = helpers.prior is not None or bool(drawn_whole(labelled))
    wanted = {
        "losses": (helpers.other is not None, "another model (--judge)"),
        "earlier": (helpers.earlier is not None, "the folder of an earlier round (--earlier)"),
        "members": (len(recipe.networks) > 1, "a committee of two networks or more"),
        "confidence": (recipe.role != "volumetric", "a committee of networks"),
        "both_ways": (whole_slices, "a propagator that carries whole slices"),
        "prior": (knows, "labelled scans, drawn on all slices, or a prior (--prior)"),
    }
    return {need: None if there else what for need, (there, what) in wanted.items()}


def _lack(rule: Rule, missing: Mapping[str, str | None]) -> str | None:
    """Say what a rule lacks; nothing where it can be asked."""
    kind = kind_of(rule.name)
    needs = (kind.argument, "prior" if kind.needs_prior else None)
    return next((lack for need in needs if need and (lack := missing[need])), None)


def drawn_whole(cases: Sequence[Case]) -> list[Case]:
    """Return the cases that tell how large organs are: those that were drawn on all slices."""
    return [case for case in cases if case.annotated_slices is None and case.labels is not None]


def prediction(folder: Path, case: str) -> Path:
    """Return where the labels of a case lie as they were predicted, nothing refused."""
    return folder / WORK / "predictions" / f"{case}.nii.gz"


def _expect_helpers(recipe: Recipe, helpers: Helpers) -> None:
    """Refuse a judge that names other organs, and an earlier round that is none."""
    other, earlier = helpers.other, helpers.earlier
    if other is not None and other.recipe.role != "reference":
        raise RecipeError(
            f"the judge {other.recipe.name!r} is a {other.recipe.role} model, wanted a reference; "
            "it is asked slice by slice"
        )
    if other is not None and other.recipe.organs != recipe.organs:
        raise RecipeError(
            f"the judge {other.recipe.name!r} names other organs than {recipe.name!r}: "
            f"{other.recipe.organs} against {recipe.organs}; take one that names the same, ids too"
        )
    if earlier is not None and not prediction(earlier, "any").parent.is_dir():
        raise RecipeError(
            f"{earlier} holds no labels of an earlier round; name a folder that slicekit pseudo "
            "wrote"
        )
