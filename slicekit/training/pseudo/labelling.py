"""Label the unlabelled scans of a dataset, keep what can be believed, write a dataset of it.

What was predicted and measured is kept beside the result, under ``pseudo/``: an interrupted run
goes on where it stood, and other rules judge again without asking a network.
"""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slicekit.data.cases import Case, Dataset, Groups
from slicekit.data.intensity import as_expected
from slicekit.data.truth import read_truth
from slicekit.errors import DatasetError, DataWarning, SlicekitError, WriteError, lacks_memory
from slicekit.inference.model import Model
from slicekit.io import read_labels, read_volume, write_labels
from slicekit.labels import LabelSet
from slicekit.training.pseudo.accept import accepted_labels
from slicekit.training.pseudo.claim import claim, expect_ours
from slicekit.training.pseudo.facts import OrganFacts, measure_facts
from slicekit.training.pseudo.facts_file import read_facts, write_facts
from slicekit.training.pseudo.folder import (
    FolderPlan,
    begin_folder,
    finish_folder,
    labels_path,
)
from slicekit.training.pseudo.judge import Judgement, judge_measured
from slicekit.training.pseudo.needs import (
    WORK,
    Helpers,
    choose_rules,
    drawn_whole,
    prediction,
)
from slicekit.training.pseudo.predict import body_of, losses_of, predict_scan
from slicekit.training.pseudo.prior import Prior, learn_prior
from slicekit.training.pseudo.prior_file import write_prior
from slicekit.training.pseudo.ranking import keep_best
from slicekit.training.pseudo.rules import Rule
from slicekit.training.pseudo.tally import tally

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Told the stage, the scans done and the scans in all."""


@dataclass(frozen=True, eq=False)
class PseudoDataset:
    """What came out; ``folder`` is a dataset to train on."""

    folder: Path
    organs: LabelSet
    rules: tuple[Rule, ...]
    prior: Prior | None
    cases: Mapping[str, Case]
    """The scans that were labelled."""
    facts: Mapping[str, Mapping[str, OrganFacts]]
    judgements: Mapping[str, Mapping[str, Judgement]]
    failures: Mapping[str, str]
    """Scans that could not be labelled, with the reason."""

    def prediction(self, case: str) -> Path:
        """Return where the labels of a case lie as they were predicted, nothing refused."""
        return prediction(self.folder, case)


def label_dataset(
    dataset: Dataset,
    groups: Groups,
    model: Model,
    out: Path,
    *,
    rules: Sequence[Rule] | None,
    helpers: Helpers = Helpers(),
    progress: Progress = lambda stage, done, total: None,
) -> PseudoDataset:
    """Predict scans, judge every organ of each, write a dataset of what was accepted.

    Args:
        dataset: Where the scans come from.
        groups: Which of them are labelled, to be labelled, held out.
        model: Names the organs, with its propagator or without.
        out: Folder of the result; a folder that an earlier run of this began is gone on with.
        rules: What an organ must pass, as ``parse_rules`` gives them; for ``None`` the usual ones
            of those that can be asked here.
        helpers: What rules need besides.
        progress: Told about every scan.

    Returns:
        What came out. In ``out`` lie ``imagesTr`` and ``labelsTr``, ``annotations.json``,
        ``splits.json`` and, written last, ``dataset.json``; and what was predicted, under
        ``pseudo``.

    Raises:
        DatasetError: The dataset names other organs than the model, or no scan could be labelled.
        RecipeError: A rule needs what is not there.
        WriteError: ``out`` holds something else, or cannot be written. What was finished before
            stays and is not computed again.
    """
    asked = choose_rules(
        dataset, groups.labelled, model.recipe, rules=rules, helpers=helpers, carrier=model.carrier
    )
    expect_ours(out, dataset.folder, earlier=helpers.earlier)
    claim(out, dataset.folder)
    prior = helpers.prior or _learn(groups.labelled, dataset.labels, model, progress)
    if prior is not None:
        write_prior(out / WORK / "prior.json", prior, overwrite=True)
    facts, failures = _measure(groups.free, model, out, asked, helpers, progress)
    judgements = {name: judge_measured(one, prior, asked) for name, one in facts.items()}
    if helpers.per_organ is not None:
        judgements = keep_best(judgements, per_organ=helpers.per_organ)
    free = {case.name: case for case in groups.free if case.name in facts}
    made = PseudoDataset(out, dataset.labels, asked, prior, free, facts, judgements, failures)
    _write(made, dataset, groups)
    _tell(made)
    return made


def _measure(
    cases: Sequence[Case],
    model: Model,
    out: Path,
    rules: Sequence[Rule],
    helpers: Helpers,
    progress: Progress,
) -> tuple[dict[str, dict[str, OrganFacts]], dict[str, str]]:
    """Predict and measure scans one by one; what cannot be labelled is noted, the others go on."""
    facts: dict[str, dict[str, OrganFacts]] = {}
    failures: dict[str, str] = {}
    for done, case in enumerate(cases, start=1):
        try:
            facts[case.name] = _facts_of(case, model, out, rules=rules, helpers=helpers)
        except WriteError:
            raise
        except Exception as fault:
            if not (isinstance(fault, SlicekitError) or lacks_memory(fault)):
                raise
            why = "there is not enough memory" if lacks_memory(fault) else str(fault)
            failures[case.name] = why
            log.warning("%s: cannot be labelled: %s", case.name, why)
        progress("label", done, len(cases))
    if not facts:
        raise DatasetError(
            f"none of {len(cases)} scans could be labelled: {next(iter(failures.values()))}"
        )
    return facts, failures


def _tell(made: PseudoDataset) -> None:
    """Log how much was accepted; warn where nothing was, for then nothing more is learnt."""
    counts = tally(made.judgements, made.organs)
    accepted = sum(one.accepted for one in counts.values())
    found = sum(one.found for one in counts.values())
    log.info(
        "%s: %d of %d organs accepted that were found in %d scans (%s)",
        made.folder, accepted, found, len(made.cases),
        ", ".join(f"{organ}: {one}" for organ, one in counts.items()),
    )  # fmt: skip
    if any(one.accepted for organs in made.judgements.values() for one in organs.values()):
        return
    why = (
        f"none of {found} organs that were found passed the rules "
        f"{' '.join(repr(str(rule)) for rule in made.rules)}; the reasons are in pseudo.csv"
        if found
        else "the model found no organ; train it longer, or give it scans of its own kind"
    )
    warnings.warn(
        f"{made.folder}: nothing was accepted in {len(made.cases)} scans, so they teach nothing "
        f"new: {why}",
        DataWarning,
        stacklevel=3,
    )


def _learn(
    cases: Sequence[Case], organs: LabelSet, model: Model, progress: Progress
) -> Prior | None:
    """Learn what organs are like from cases that were drawn on all slices."""
    whole, facts = drawn_whole(cases), []
    for done, case in enumerate(whole, start=1):
        image = read_volume(case.image)
        truth = read_truth(case.labels or case.image, case, image=image, organs=organs)
        known = truth.known_ids
        names = [name for name, n in organs.ids.items() if known is None or n in known]
        body = body_of(as_expected(image, model.recipe.input), model)
        facts.append(measure_facts(truth.labels, organs.subset(names), body=body))
        progress("prior", done, len(whole))
    return learn_prior(facts) if facts else None


def _facts_of(
    case: Case, model: Model, out: Path, *, rules: Sequence[Rule], helpers: Helpers
) -> dict[str, OrganFacts]:
    """Predict and measure one case, unless that was done before."""
    earlier = prediction(helpers.earlier, case.name) if helpers.earlier else None
    both_ways = any(rule.name == "both-ways" for rule in rules)
    made_by = _fingerprint(case, model, helpers.other, earlier, both_ways=both_ways)
    path = out / WORK / "facts" / f"{case.name}.json"
    known = read_facts(path, made_by=made_by)
    if known is not None and _is_whole(prediction(out, case.name)):
        return known
    scan = read_volume(case.image)
    said = predict_scan(scan, model, both_ways=both_ways, name=str(case.image))
    before = None
    if earlier is not None and earlier.is_file():
        before = read_labels(earlier, like=scan).array
    facts = measure_facts(
        said.labels,
        model.recipe.labels,
        confidence=said.confidence,
        members=said.members,
        earlier=before,
        both_ways=said.both_ways,
        losses=None if helpers.other is None else losses_of(scan, said.labels, helpers.other),
        body=said.body,
    )
    write_labels(prediction(out, case.name), said.labels, like=scan, overwrite=True)
    write_facts(path, facts, made_by=made_by)
    return facts


def _is_whole(path: Path) -> bool:
    """Tell whether labels can be read to their end."""
    try:
        read_labels(path)
    except SlicekitError:
        return False
    return True


def _fingerprint(
    case: Case, model: Model, other: Model | None, earlier: Path | None, *, both_ways: bool
) -> str:
    """Tell whether a prediction is of this scan and these weights."""
    files = [_stamp(path) for path in (case.image, earlier) if path is not None]
    weights = [model.sha256, None if other is None else other.sha256]
    recipe = model.recipe.model_dump(mode="json", include={"input", "organs", "inference"})
    text = json.dumps([files, weights, recipe, both_ways], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _stamp(path: Path) -> list[object]:
    try:
        state = path.stat()
    except OSError:
        return [str(path)]
    return [str(path.resolve()), state.st_size, state.st_mtime_ns]


def _write(made: PseudoDataset, dataset: Dataset, groups: Groups) -> None:
    """Write the dataset folder of what was accepted."""
    order = made.organs.names
    accepted = {
        name: [organ for organ in order if organ in organs and organs[organ].accepted]
        for name, organs in made.judgements.items()
    }
    plan = FolderPlan(
        dataset, groups.labelled, accepted, tuple(made.cases.values()), groups.held_out
    )
    begin_folder(made.folder, plan)
    for name, organs in accepted.items():
        if organs:
            said = read_labels(made.prediction(name))
            kept = accepted_labels(said.array, made.judgements[name], made.organs)
            write_labels(labels_path(made.folder, name), kept.labels, like=said, overwrite=True)
    finish_folder(made.folder, plan)
